"""What is added to consistency: motion, real latents, told edges; and what a step costs."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from quickstep.diffusion.solver import ddim_weights
from quickstep.losses.distance import pseudo_huber
from quickstep.methods.consistency import Consistency, ConsistencyConfig
from quickstep.methods.distances import distances_by_time
from quickstep.methods.perflow import PeRFlow, PeRFlowConfig
from quickstep.methods.presets import PRESETS
from quickstep.teachers.protocol import Denoiser


@pytest.fixture
def with_head(gain_pair):
    """A student whose second answer is its own gain times the state, halved."""

    class WithHead(type(gain_pair[0])):
        calls = 0

        def forward_both(self, noisy, t, features):
            type(self).calls += 1
            prediction = self.forward(noisy, t, features)
            return prediction, 0.5 * prediction

    return WithHead(gain_pair[1].gain.detach())


@pytest.fixture
def build(gain_pair, schedule):
    def build(student=None, *, config=None, **settings):
        config = config or ConsistencyConfig(**settings)
        kind: Any = Consistency if isinstance(config, ConsistencyConfig) else PeRFlow
        return kind(
            student or copy.deepcopy(gain_pair[1]),
            Denoiser(copy.deepcopy(gain_pair[0]), schedule, "clean"),
            config,
            conditions=lambda batch: batch["shift"],
        )

    return build


def loss_of(method, batch, *, progress=1.0):
    return method.loss(batch, generator=torch.Generator().manual_seed(5), progress=progress)


def with_motion(batch, value):
    clips, frames, _, height, width = batch["latents"].shape
    return {**batch, "motion": value * torch.ones(clips, frames, height, width)}


def test_20_no_motion_and_no_strength_are_the_plain_loss(build, gain_batch):
    """Invariant 20 through the method: bit for bit."""
    plain = loss_of(build(), gain_batch).value
    assert torch.equal(loss_of(build(motion_weight=0.5), with_motion(gain_batch, 0)).value, plain)
    assert torch.equal(loss_of(build(motion_weight=0.0), with_motion(gain_batch, 1)).value, plain)


def test_motion_everywhere_counts_half_as_much_again(build, gain_batch):
    plain = loss_of(build(), gain_batch)
    for norm in ("mean", "masked-mean"):
        method = build(motion_weight=0.5, motion_norm=norm)
        moved = loss_of(method, with_motion(gain_batch, 1))
        torch.testing.assert_close(moved.value, 1.5 * plain.value)
        assert moved.parts["distance"] == plain.parts["distance"]
        assert moved.parts["motion"] == 1


def test_motion_has_weight_only_where_it_is(build, gain_batch):
    """Eq. 7 by hand: the mean distance, and half of what lies in the moving cells."""
    method = build(motion_weight=0.5)
    moving = torch.rand(64, 2, 2, 2, generator=torch.Generator().manual_seed(0)) < 0.3
    found = loss_of(method, {**gain_batch, "motion": moving}).value
    step = method.draw(gain_batch, generator=torch.Generator().manual_seed(5), progress=1.0)
    distance = pseudo_huber(method.student_estimates(step).clean, method.target_estimate(step))
    expected = distance.mean() + 0.5 * (distance * moving[:, :, None]).mean()
    torch.testing.assert_close(found, expected)


def test_motion_that_the_data_lack_is_one_clear_line(build, gain_batch):
    with pytest.raises(
        ValueError, match=r"motion_weight=0.5 .* set method.motion_weight=0"
    ) as info:
        loss_of(build(motion_weight=0.5), gain_batch)
    assert "\n" not in str(info.value)


def test_real_latents_supervise_the_head(build, with_head, gain_batch):
    """Eq. 5 and 8: lambda_2 times the head's distance to the real latents, once evaluated."""
    method = build(with_head, auxiliary_weight=0.1)
    plain = loss_of(build(copy.deepcopy(with_head)), gain_batch)
    assert type(with_head).calls == 0
    both = loss_of(method, gain_batch)
    assert type(with_head).calls == 1
    step = method.draw(gain_batch, generator=torch.Generator().manual_seed(5), progress=1.0)
    estimate = 0.5 * method.student_estimates(step).clean
    auxiliary = pseudo_huber(estimate, gain_batch["latents"]).mean()
    torch.testing.assert_close(both.parts["auxiliary"], auxiliary.detach())
    torch.testing.assert_close(both.value, plain.value + 0.1 * auxiliary)
    with_head.zero_grad()
    both.value.backward()
    assert with_head.gain.grad is not None and with_head.gain.grad.any()


def test_the_head_can_be_asked_less_of_noise(build, with_head, gain_batch, schedule):
    """min(1, SNR): nothing at pure noise."""
    method = build(with_head, auxiliary_weight=1.0, auxiliary_time_weight="snr")
    step = method.draw(gain_batch, generator=torch.Generator().manual_seed(5), progress=1.0)
    estimate = 0.5 * method.student_estimates(step).clean
    distance = pseudo_huber(estimate, gain_batch["latents"]).flatten(1).mean(1)
    weight = schedule.kappa(step.pair.t_from).square().clamp(max=1).float()
    assert weight.min() < 0.01 and weight.max() == 1
    found = loss_of(method, gain_batch).parts["auxiliary"]
    torch.testing.assert_close(found, (distance * weight).mean().detach())


def test_a_head_that_is_not_there_is_one_clear_line(build):
    with pytest.raises(ValueError, match="auxiliary_weight needs a student network with forward_"):
        build(auxiliary_weight=0.1)
    with pytest.raises(ValueError, match="tell_edge needs a student network with tell_edge"):
        build(tell_edge=True)


def test_a_told_student_hears_of_every_edge(build, gain_pair, gain_batch):
    told = []

    class Told(type(gain_pair[0])):
        def tell_edge(self, features, edge):
            told.append(edge)
            return features

    method = build(
        Told(gain_pair[1].gain.detach()), num_segments=4, edge="lower", tell_edge=True, guidance=1.0
    )
    loss_of(method, gain_batch)
    step = method.draw(gain_batch, generator=torch.Generator().manual_seed(5), progress=1.0)
    target, student = told
    assert torch.equal(student, step.pair.edge)
    assert torch.equal(target, step.pair.edge)
    own = method.segments.edge_below(step.pair.t_from)
    assert 0 < (step.pair.edge < own).float().mean() < 0.4


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"skip_target": False}, 6.0),
        ({"skip_target": False, "guidance": 1.0}, 5.0),
        ({"skip_target": False, "solver_steps": 3}, 10.0),
        ({}, 6 - 2 / 50),
        ({"num_segments": 4}, 6 - 4 / 50),
        ({"num_segments": 1, "edge": "any"}, None),
        ({"num_segments": 4, "pair": "multistep", "target": "student"}, None),
    ],
)
def test_26_a_step_costs_what_the_ledger_says(build, gain_batch, count_rows, settings, expected):
    """Invariant 26 for consistency: 6F, less what the skipped target saves; counted at networks."""
    config = ConsistencyConfig(**settings)
    if expected is not None:
        assert config.cost().total == pytest.approx(expected)
        assert config.cost(checkpointing=True).total == pytest.approx(expected + 1)
    method = build(config=config)
    teacher, student = count_rows(method.teacher.network), count_rows(method.trainable)
    target = count_rows(method.target) if config.target == "ema" else []
    generator, steps = torch.Generator().manual_seed(3), 12
    losses = [method.loss(gain_batch, generator=generator, progress=1.0) for _ in range(steps)]
    clips = steps * 64
    rows = sum(teacher) + sum(target) + sum(student) + 2 * clips  # backward is two more
    assert method.ledger.clips == clips
    assert method.ledger.mean.total == pytest.approx(rows / clips)
    assert method.ledger.mean.total == pytest.approx(config.cost().total, abs=0.05)
    told = sum(loss.parts["evaluations"].item() for loss in losses) / steps
    assert told == pytest.approx(rows / clips)


def test_26_perflow_costs_19(build, gain_batch, count_rows):
    """Invariant 26 for PeRFlow: 8 guided teacher steps and the student."""
    method = build(config=PeRFlowConfig())
    teacher, student = count_rows(method.teacher.network), count_rows(method.trainable)
    loss = loss_of(method, gain_batch)
    assert (sum(teacher), sum(student)) == (16 * 64, 64)
    assert loss.parts["evaluations"] == method.ledger.mean.total == 19
    assert PeRFlowConfig().cost().total == 19


def test_an_empty_ledger_says_so(build):
    with pytest.raises(ValueError, match="no batch has been counted"):
        _ = build().ledger.mean


def test_a_student_that_is_its_own_target_answers_without_dropout(build, gain_pair, gain_batch):
    modes = []

    class Noted(type(gain_pair[0])):
        def forward(self, noisy, t, features):
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(noisy, t, features)

    student = Noted(gain_pair[1].gain.detach()).train()
    loss_of(build(student, target="student"), gain_batch)
    assert modes == [(False, False), (True, True)]
    assert student.training


def test_distances_are_also_told_by_time(build, gain_batch):
    parts = loss_of(build(), gain_batch).parts
    by_time = [name for name in parts if name.startswith("distance_from_")]
    assert sorted(by_time) == [f"distance_from_{t:03d}" for t in range(0, 1000, 200)]
    found = distances_by_time(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 199, 999]))
    assert {name: value.item() for name, value in found.items()} == {
        "distance_from_000": 2.0,
        "distance_from_800": 5.0,
    }


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_trains(build, with_head, gain_batch, name):
    """The papers' settings, one step each: a finite loss, a gradient in the student alone."""
    preset = PRESETS[name](guidance=2.5)
    assert preset.config.guidance == 2.5 and preset.config.noise_offset is None
    method = build(with_head, config=preset.config)
    for progress in (0.0, 0.99):
        loss = loss_of(method, with_motion(gain_batch, 1), progress=progress)
        assert loss.value.isfinite()
        assert all(value.isfinite() for value in loss.parts.values())
    loss.value.backward()
    assert method.trainable.gain.grad.any()
    assert method.teacher.network.gain.grad is None


@pytest.mark.parametrize("name", ["videolcm", "dancelcm", "pcm", "multistep_cm"])
def test_7_the_exact_student_of_every_preset_has_little_loss(
    build, gain_network, schedule, generator, name
):
    """Invariant 7 for the papers' settings: with small gaps the exact maps are what they ask for.

    Unit Gaussian data, whose flow leaves a state as it is: the exact student's clean estimate
    lands on its edge with the state unchanged.
    """
    batch = {"latents": torch.randn(64, 1, 1, 4, 4, generator=generator), "shift": torch.zeros(64)}
    losses = []
    for skip in (20, 4):
        config = PRESETS[name](guidance=1.0).config
        assert isinstance(config, ConsistencyConfig)
        eta = 0.0 if config.teacher_step == "addim" else config.addim_eta
        config = replace(config, skip=skip, motion_weight=0.0, auxiliary_weight=0.0, addim_eta=eta)
        method = build(copy.deepcopy(gain_network), config=config)
        t = torch.arange(1000)
        ratio, weight = ddim_weights(t, method.segments.edge_below(t), schedule=schedule)
        with torch.no_grad():
            for network in {method.trainable, method.target}:
                network.gain.copy_((1 - ratio) / weight)
        losses.append(loss_of(method, batch).value.item())
    assert losses[1] < 0.15 * losses[0]


def test_presets_hold_the_papers_numbers():
    made = {name: preset(guidance=2.5) for name, preset in PRESETS.items()}
    dance, video, multistep = (
        made[name].config for name in ("dancelcm", "videolcm", "multistep_cm")
    )
    assert isinstance(dance, ConsistencyConfig) and isinstance(video, ConsistencyConfig)
    assert (dance.num_segments, dance.motion_weight, dance.auxiliary_weight) == (2, 0.5, 0.1)
    # VideoLCM is DanceLCM without what DanceLCM adds.
    assert video == replace(dance, num_segments=1, motion_weight=0.0, auxiliary_weight=0.0)
    assert (video.skip, video.target_decay, video.huber_scale) == (20, 0.95, 0.001)
    assert isinstance(multistep, ConsistencyConfig)
    assert (multistep.num_segments, multistep.addim_eta) == (4, 0.75)
    assert multistep.teacher_step == "addim"
    assert made["perflow"].config == PeRFlowConfig(guidance=2.5)
    assert {name: preset.sampler for name, preset in made.items()} == {
        "dancelcm": "segment",
        "videolcm": "lcm",
        "multistep_cm": "edges",
        "pcm": "edges",
        "tcd": "tcd",
        "perflow": "perflow",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_segments": 51}, "50 points: got count=51"),
        ({"skip": 30}, "skip=30"),
        ({"solver_steps": 21}, "between 1 and skip=20: got solver_steps=21"),
        ({"teacher_step": "addim", "solver_steps": 2}, "must be 1 with teacher_step='addim'"),
        ({"edge": "lower"}, "tell_edge must be true"),
        ({"huber_scale": 0.0}, "huber_scale=0.0"),
        ({"motion_weight": -1.0}, "motion_weight=-1.0"),
        ({"lower_edge_share": 2.0}, "got 2.0"),
        ({"lower_edge_share": 0.5}, "no effect without edge='lower': got lower_edge_share=0.5"),
        ({"addim_eta": 0.5}, "no effect without teacher_step='addim'"),
        ({"target": "student", "target_decay": 0.9}, "no effect without target='ema'"),
        ({"distance": "squared", "huber_scale": 0.1}, "no effect without distance='pseudo-huber'"),
        ({"motion_norm": "masked-mean"}, "no effect without motion_weight above 0"),
        ({"auxiliary_time_weight": "snr"}, "no effect without auxiliary_weight above 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ConsistencyConfig(**settings)


def test_teachers_that_do_not_fit_are_refused(gain_pair, schedule):
    network = gain_pair[0]
    settings = {"config": ConsistencyConfig(), "conditions": lambda batch: batch["shift"]}
    with pytest.raises(ValueError, match="epsilon on a schedule with zero terminal SNR"):
        Consistency(network, Denoiser(network, schedule, "epsilon"), **settings)
    short = type(schedule)(schedule.alpha_bar[:500])
    with pytest.raises(ValueError, match="1000 times, the teacher's schedule 500"):
        Consistency(network, Denoiser(network, short, "clean"), **settings)
