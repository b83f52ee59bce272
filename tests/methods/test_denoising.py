import pytest
import torch

from quickstep.diffusion.schedule import Schedule
from quickstep.methods.denoising import (
    Denoising,
    DenoisingConfig,
    min_snr_weight,
    stratified_times,
)
from quickstep.networks.folder import Settings
from quickstep.teachers.families import conditions_of
from quickstep.teachers.unianimate import unianimate_conditions


def method_of(network, **settings) -> Denoising:
    schedule = Schedule.scaled_linear().with_zero_terminal_snr()
    return Denoising(
        network, schedule, DenoisingConfig(**settings), conditions=unianimate_conditions
    )


def test_the_gradient_reaches_every_weight_that_is_told_something(network, clip_batch, generator):
    method = method_of(network, drop_probability=0.0)
    method.loss(clip_batch, generator=generator, progress=0.0).value.backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None and not name.startswith("local_image")
    ]
    assert not without


def test_a_loss_is_a_pure_function_of_batch_and_generator(network, clip_batch):
    batch = dict(clip_batch)
    losses = [
        method_of(network)
        .loss(batch, generator=torch.Generator().manual_seed(seed), progress=0.0)
        .value.item()
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_person_weight_of_an_even_picture_changes_nothing(network, clip_batch):
    batch = dict(clip_batch)
    batch["person"] = torch.ones_like(batch["person"])
    plain, weighted = (
        method_of(network, person_weight=weight)
        .loss(batch, generator=torch.Generator().manual_seed(1), progress=0.0)
        .value.item()
        for weight in (0.0, 3.0)
    )
    assert weighted == pytest.approx(plain, rel=1e-5)


def test_min_snr_at_1_is_the_error_of_the_clean_estimate():
    schedule = Schedule.scaled_linear().with_zero_terminal_snr()
    t = torch.tensor([0, 300, 999])
    weight = min_snr_weight(t, gamma=1.0, schedule=schedule)
    torch.testing.assert_close(weight, schedule.sigma(t).square().float())
    champ = min_snr_weight(t, gamma=5.0, schedule=schedule)
    snr = schedule.kappa(t).square()
    torch.testing.assert_close(champ, (snr.add(1).clamp(max=5) / (snr + 1)).float())
    assert champ[-1] == weight[-1] == 1


def test_min_snr_is_for_v_alone(network):
    with pytest.raises(ValueError, match="method.min_snr=none"):
        Denoising(
            network,
            Schedule.scaled_linear(),
            DenoisingConfig(min_snr=1.0),
            conditions=unianimate_conditions,
            parametrisation="clean",
        )


def test_times_are_one_in_each_stratum(generator):
    t = stratified_times(10, num_timesteps=1000, generator=generator)
    assert sorted((t // 100).tolist()) == list(range(10))
    many = torch.cat(
        [stratified_times(4, num_timesteps=1000, generator=generator) for _ in range(500)]
    )
    assert many.float().mean().item() == pytest.approx(499.5, abs=10)
    assert many.min() < 10
    assert many.max() > 989


@pytest.mark.parametrize(("field", "value"), [("drop_probability", 1.0), ("person_weight", -1.0)])
def test_settings_that_cannot_be_meant_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}={value}"):
        DenoisingConfig(**{field: value})


def test_a_network_told_the_reference_everywhere_learns_from_its_picture(network, clip_batch):
    settings = Settings(role="teacher", method="denoising", reference_everywhere=True)
    schedule = Schedule.scaled_linear().with_zero_terminal_snr()
    batch = dict(clip_batch, picture=clip_batch["reference_pose"])
    method = Denoising(network, schedule, DenoisingConfig(), conditions=conditions_of(settings))
    method.loss(batch, generator=torch.Generator().manual_seed(0), progress=0.0).value.backward()
    told = [
        parameter.grad
        for name, parameter in network.named_parameters()
        if name.startswith("local_image_embedding.")
    ]
    assert told
    assert all(grad is not None and grad.any() for grad in told)
