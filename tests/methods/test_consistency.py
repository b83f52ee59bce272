import copy

import pytest
import torch

from quickstep.diffusion.schedule import Schedule
from quickstep.methods.consistency import Consistency, ConsistencyConfig
from quickstep.teachers.protocol import Denoiser
from quickstep.teachers.unianimate import unianimate_conditions


@pytest.fixture
def build(network):
    def build(**settings) -> Consistency:
        schedule = Schedule.scaled_linear().with_zero_terminal_snr()
        teacher = Denoiser(copy.deepcopy(network), schedule)
        config = ConsistencyConfig(**settings)
        return Consistency(network, teacher, config, conditions=unianimate_conditions)

    return build


def test_the_gradient_reaches_the_student_alone(build, clip_batch, generator):
    method = build()
    method.loss(clip_batch, generator=generator, progress=0.0).value.backward()
    assert any(parameter.grad is not None for parameter in method.trainable.parameters())
    for frozen in (method.teacher.network, method.target):
        assert all(parameter.grad is None for parameter in frozen.parameters())
        assert not frozen.training


def test_a_student_equal_to_its_teacher_learns_little_at_small_gaps(build, clip_batch):
    """Invariant 7 on a real network: the residual falls with the gap."""
    losses = []
    for skip in (4, 20, 100):
        method = build(skip=skip, guidance=1.0, num_segments=2, huber_scale=1e-6)
        generator = torch.Generator().manual_seed(3)
        losses.append(method.loss(clip_batch, generator=generator, progress=0.0).value.item())
    assert losses == sorted(losses)
    assert losses[0] < 0.5 * losses[2]


def test_the_target_follows_the_student_slowly(build, clip_batch):
    method = build(target_decay=0.75)
    before = {name: value.clone() for name, value in method.target.state_dict().items()}
    with torch.no_grad():
        for parameter in method.trainable.parameters():
            parameter.add_(1.0)
    method.after_step()
    for name, parameter in method.target.named_parameters():
        torch.testing.assert_close(parameter, before[name] + 0.25)


def test_the_target_is_state_that_a_resumed_run_gets_back(build):
    method = build()
    state = {name: value + 1 for name, value in method.extra_state().items()}
    method.load_extra_state(state)
    for name, value in method.target.state_dict().items():
        torch.testing.assert_close(value, state[name])


def test_the_student_can_be_its_own_target(build, clip_batch, generator):
    method = build(target="student")
    assert method.target is method.trainable
    assert method.extra_state() == {}
    method.loss(clip_batch, generator=generator, progress=0.0).value.backward()
    assert any(parameter.requires_grad for parameter in method.trainable.parameters())


@pytest.mark.parametrize(("field", "value"), [("guidance", 0.5), ("target_decay", 1.0)])
def test_settings_that_cannot_be_meant_are_refused(field, value):
    with pytest.raises(ValueError, match=str(value)):
        ConsistencyConfig(**{field: value})


def test_the_noise_is_what_the_teacher_was_trained_with(gain_network, gain_batch, schedule):
    """Drawn with the teacher's offset, which the settings may repeat and not contradict."""
    noises = []
    for known, given in ((0.0, None), (2.0, None), (2.0, 2.0)):
        method = Consistency(
            copy.deepcopy(gain_network),
            Denoiser(gain_network, schedule, "clean", noise_offset=known),
            ConsistencyConfig(guidance=1.0, noise_offset=given),
            conditions=lambda batch: batch["shift"],
        )
        step = method.draw(gain_batch, generator=torch.Generator().manual_seed(2), progress=0.0)
        alpha, sigma = (
            value(step.pair.t_from).float()[:, None, None, None, None]
            for value in (schedule.alpha, schedule.sigma)
        )
        noises.append((step.noisy - alpha * step.clean) / sigma)
    plain, offset, repeated = noises
    shared = offset.mean((-2, -1))
    assert plain.mean((-2, -1)).std() < 0.7 and shared.std() > 1.7
    assert torch.equal(offset, repeated)
    with pytest.raises(ValueError, match="must be 0.05, which the teacher .*noise_offset=0.1"):
        Consistency(
            copy.deepcopy(gain_network),
            Denoiser(gain_network, schedule, "clean", noise_offset=0.05),
            ConsistencyConfig(noise_offset=0.1),
            conditions=lambda batch: batch["shift"],
        )
