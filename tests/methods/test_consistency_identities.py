"""One engine, the papers' formulas: invariants 8, 16, 17, 19 and 27 on a network known by heart."""

import copy
from typing import Any

import pytest
import torch

from quickstep.diffusion.addim import addim_step, clean_variance
from quickstep.diffusion.consistency import boundary_scalings
from quickstep.diffusion.schedule import spread
from quickstep.diffusion.solver import ddim_step, inverse_ddim
from quickstep.losses.distance import pseudo_huber
from quickstep.methods.consistency import Consistency, ConsistencyConfig
from quickstep.methods.presets import multistep_cm, pcm, videolcm
from quickstep.teachers.protocol import Denoiser


@pytest.fixture
def build(gain_pair, schedule):
    def build(config: ConsistencyConfig | None = None, **settings) -> Consistency:
        teacher, student = (copy.deepcopy(network) for network in gain_pair)
        return Consistency(
            student,
            Denoiser(teacher, schedule, "clean"),
            config or ConsistencyConfig(**{"guidance": 2.0, **settings}),
            conditions=lambda batch: batch["shift"],
        )

    return build


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def loss_of(method, batch, progress=1.0):
    return method.loss(batch, generator=seeded(), progress=progress)


def clean_of(method, network, noisy, t, batch, *, guidance=1.0):
    denoiser = method.denoiser(network)
    features = denoiser.encode(batch["shift"])
    return denoiser.guided(noisy, t, features, guidance=guidance)


def test_8_phased_consistency_is_the_edge_space(build, gain_batch, schedule):
    """Invariant 8: PCM's loss, between states on the edge, its target x_prev where that is one."""
    method = build(pcm(guidance=2.0).config)
    step = method.draw(gain_batch, generator=seeded(), progress=1.0)
    (t_from, t_to, edge), noisy = step.pair, step.noisy
    assert (t_to == edge).any() and not (t_to == edge).all()
    where = {"schedule": schedule}
    with torch.no_grad():
        teacher = clean_of(method, method.teacher.network, noisy, t_from, gain_batch, guidance=2.0)
        x_prev = ddim_step(teacher, noisy, t_from=t_from, t_to=t_to, **where)
        answer = clean_of(method, method.target, x_prev, t_to.clamp(min=0), gain_batch)
        jumped = ddim_step(answer[t_to > edge], x_prev[t_to > edge], **_some(t_to, edge), **where)
        target = x_prev.index_copy(0, (t_to > edge).nonzero()[:, 0], jumped)
        student = clean_of(method, method.trainable, noisy, t_from, gain_batch)
        landed = ddim_step(student, noisy, t_from=t_from, t_to=edge, **where)
    theirs = pseudo_huber(landed, target, scale=0.001).mean()
    torch.testing.assert_close(loss_of(method, gain_batch).value.detach(), theirs)


def _some(t_to, edge):
    return {"t_from": t_to[t_to > edge], "t_to": edge[t_to > edge]}


@pytest.mark.parametrize("teacher_step", ["ddim", "addim"])
def test_8_multistep_consistency_is_the_clean_space_times_snr_plus_1(
    build, gain_batch, schedule, teacher_step
):
    """Invariant 8: Multistep CM, Algorithm 2, by its own inverse DDIM; its norm, not squared."""
    config = multistep_cm(guidance=2.0).config
    assert isinstance(config, ConsistencyConfig) and config.teacher_step == "addim"
    eta = config.addim_eta if teacher_step == "addim" else 0.0
    method = build(ConsistencyConfig(**{**vars(config), "addim_eta": eta}))
    step = method.draw(gain_batch, generator=seeded(), progress=0.4)
    (t_from, t_to, edge), z_t = step.pair, step.noisy
    assert not (t_to == edge).all()
    with torch.no_grad():
        x_teacher = clean_of(method, method.teacher.network, z_t, t_from, gain_batch, guidance=2.0)
        variance = clean_variance(step.clean, x_teacher, eta=eta)
        z_s = addim_step(
            x_teacher, z_t, variance=variance, t_from=t_from, t_to=t_to, schedule=schedule
        )
        x_ref = clean_of(method, method.trainable, z_s, t_to.clamp(min=0), gain_batch)
        z_ref, above = z_s.clone(), t_to > edge
        z_ref[above] = ddim_step(x_ref[above], z_s[above], **_some(t_to, edge), schedule=schedule)
        target = inverse_ddim(z_ref, z_t, t_from=t_from, t_to=edge, schedule=schedule)
        student = clean_of(method, method.trainable, z_t, t_from, gain_batch)
    norms = (student - target).flatten(1).norm(dim=1) / target[0].numel() ** 0.5
    theirs = (norms * (schedule.kappa(t_from).square() + 1).float()).mean()
    found = method.loss(gain_batch, generator=seeded(), progress=0.4).value.detach()
    torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-6)


def test_8_videolcm_is_one_segment(build, gain_batch, schedule):
    """Invariant 8: LCM's c_skip x + c_out f, at every grid time but the first."""
    method = build(videolcm(guidance=2.0).config)
    step = method.draw(gain_batch, generator=seeded(), progress=0.0)
    (t_from, t_to, _), noisy = step.pair, step.noisy
    ours = method.target_estimate(step)
    with torch.no_grad():
        teacher = clean_of(method, method.teacher.network, noisy, t_from, gain_batch, guidance=2.0)
        earlier = ddim_step(teacher, noisy, t_from=t_from, t_to=t_to, schedule=schedule)
        answer = clean_of(method, method.target, earlier, t_to.clamp(min=0), gain_batch)
    c_skip, c_out = (
        spread(scaling, noisy, dtype=torch.float32) for scaling in boundary_scalings(t_to)
    )
    later = t_from > 19
    theirs = (c_skip * earlier + c_out * answer)[later]
    relative = (ours[later] - theirs).flatten(1).norm(dim=1) / theirs.flatten(1).norm(dim=1)
    assert relative.max() < 1.5e-5


@pytest.mark.parametrize(("space", "power"), [("clean", 0.0), ("v", 1.0)])
def test_squares_in_v_space_weigh_snr_plus_1(build, gain_batch, schedule, space, power):
    method = build(loss_space=space, distance="squared")
    step = method.draw(gain_batch, generator=seeded(), progress=1.0)
    with torch.no_grad():
        error = method.student_estimates(step).clean - method.target_estimate(step)
    weight = (schedule.kappa(step.pair.t_from).square() + 1) ** power
    expected = (error.square().flatten(1).mean(1) * weight.float()).mean()
    torch.testing.assert_close(loss_of(method, gain_batch).value.detach(), expected)


@pytest.mark.parametrize("settings", [{}, {"num_segments": 10}, {"edge": "any"}])
def test_16_leaving_the_target_out_changes_nothing(build, gain_batch, settings):
    """Invariant 16: on the edge the target's answer has no share: same loss, same gradient."""
    results = []
    for skip_target in (True, False):
        method = build(skip_target=skip_target, **settings)
        loss = loss_of(method, gain_batch)
        loss.value.backward()
        results.append((loss.value.detach(), method.trainable.gain.grad))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_16_a_segment_per_grid_step_never_asks_the_target(build, gain_batch, count_rows):
    """Invariant 16: with K = N every pair ends on its edge."""
    method = build(num_segments=50)
    asked = count_rows(method.target)
    loss = loss_of(method, gain_batch)
    assert asked == []
    assert loss.parts["evaluations"].item() == 5.0


def test_17_the_order_of_passes_is_nothing(build, gain_batch):
    """Invariant 17: the student before the teacher gives the same gradient, bit for bit."""
    gradients = []
    for student_first in (True, False):
        method = build(distance="squared")
        step = method.draw(gain_batch, generator=seeded(), progress=1.0)
        if student_first:
            estimate = method.student_estimates(step).clean
            target = method.target_estimate(step)
        else:
            target = method.target_estimate(step)
            estimate = method.student_estimates(step).clean
        (estimate - target).square().flatten(1).mean(1).mean().backward()
        gradients.append(method.trainable.gain.grad)
    assert torch.equal(*gradients)
    method = build(distance="squared")
    loss_of(method, gain_batch).value.backward()
    torch.testing.assert_close(method.trainable.gain.grad, gradients[0])


def test_19_the_target_follows_the_closed_form(build):
    """Invariant 19: mu^n theta_0 + (1 - mu) sum_i mu^(n-1-i) theta_i after n steps."""
    method, decay, count = build(target_decay=0.8), 0.8, 5
    start = method.target.gain.detach().double()
    expected = decay**count * start
    for index in range(count):
        with torch.no_grad():
            method.trainable.gain.add_(0.1 * index)
        weight = (1 - decay) * decay ** (count - 1 - index)
        expected = expected + weight * method.trainable.gain.detach().double()
        method.after_step()
    torch.testing.assert_close(method.target.gain.double(), expected, rtol=0, atol=1e-6)


def test_27_all_but_the_networks_is_float32(gain_pair, schedule, gain_batch):
    """Invariant 27: under bfloat16 autocast networks answer in it, and nothing else is in it."""
    seen = []

    class Rounded(type(gain_pair[0])):
        def forward(self, noisy, t, features):
            seen.append(noisy.dtype)
            return super().forward(noisy, t, features).bfloat16()

    teacher, student = (Rounded(network.gain.detach()) for network in gain_pair)
    variants: list[dict[str, Any]] = [{}, {"teacher_step": "addim"}, {"solver_steps": 4}]
    for settings in variants:
        method = Consistency(
            student,
            Denoiser(teacher, schedule, "clean"),
            ConsistencyConfig(**settings),
            conditions=lambda batch: batch["shift"],
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            step = method.draw(gain_batch, generator=seeded(), progress=0.0)
            target = method.target_estimate(step)
            loss = loss_of(method, gain_batch)
        assert target.dtype == step.noisy.dtype == loss.value.dtype == torch.float32
        assert {value.dtype for value in loss.parts.values()} == {torch.float32}
    assert set(seen) == {torch.float32}


def test_more_teacher_steps_come_nearer_to_the_exact_target(build, gain_batch, schedule):
    """Wide pairs: with unit Gaussian data, whose flow keeps the state, many steps err less."""
    batch = {**gain_batch, "shift": torch.zeros(64)}
    errors = []
    for solver_steps in (1, 4, 20):
        method = build(pair="uniform", guidance=1.0, solver_steps=solver_steps)
        step = method.draw(batch, generator=seeded(), progress=0.0)
        clean = method._teacher_estimate(step)
        landed = ddim_step(
            clean, step.noisy, t_from=step.pair.t_from, t_to=step.pair.t_to, schedule=schedule
        )
        errors.append((landed - step.noisy).square().mean().sqrt().item())
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.4 * errors[1]
