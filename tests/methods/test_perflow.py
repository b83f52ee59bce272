"""PeRFlow as a method (invariant 9): what it asks of the student is the exact line."""

import copy

import pytest
import torch

from quickstep.diffusion.lines import Ends, Line, line_ends, line_state
from quickstep.diffusion.solver import ddim_weights, solve
from quickstep.methods.perflow import PeRFlow, PeRFlowConfig
from quickstep.teachers.protocol import Denoiser


@pytest.fixture
def build(gain_network, schedule):
    def build(**settings):
        return PeRFlow(
            copy.deepcopy(gain_network),
            Denoiser(gain_network, schedule, "clean"),
            PeRFlowConfig(**{"guidance": 1.0, **settings}),
            conditions=lambda batch: batch["shift"],
        )

    return build


@pytest.fixture
def unit_batch():
    """Unit Gaussian data, which the flow leaves as it is: every line stands still."""
    generator = torch.Generator().manual_seed(4)
    return {"latents": torch.randn(64, 1, 1, 2, 2, generator=generator), "shift": torch.zeros(64)}


def loss_of(method, batch):
    return method.loss(batch, generator=torch.Generator().manual_seed(6), progress=0.0)


def exact_gain(method, schedule):
    """The clean estimate over the state, on lines whose two ends are equal: (1 - q) / c."""
    t = torch.arange(1000)
    segments = method.segments
    ratio, weight = ddim_weights(segments.edge_above(t), segments.edge_below(t), schedule=schedule)
    return ((1 - ratio) / weight).float()


@pytest.mark.parametrize("loss_space", ["clean", "velocity"])
def test_9_the_exact_student_has_no_loss(build, unit_batch, schedule, loss_space):
    """Invariant 9: as the teacher's steps grow finer its line is the exact flow's."""
    losses = []
    for solver_steps in (8, 32, 128):
        method = build(solver_steps=solver_steps, loss_space=loss_space)
        with torch.no_grad():
            method.trainable.gain.copy_(exact_gain(method, schedule))
        losses.append(loss_of(method, unit_batch).value.item())
    # Errors are of first order, their squares of second.
    assert losses[1] < 0.1 * losses[0] and losses[2] < 0.1 * losses[1]
    assert losses[2] < 1e-4


def test_training_finds_the_line(build, unit_batch, schedule):
    """What training ends in directs every line of the teacher's solution to its end."""
    method = build()
    gain, steps = method.trainable.gain, 100
    optimizer = torch.optim.Adam([gain], lr=0.05, betas=(0.5, 0.99))
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        method.loss(unit_batch, generator=generator, progress=0.0).value.backward()
        optimizer.step()
    t = method.segments.start_times
    line = Line(method.segments.edge_above(t), method.segments.edge_below(t))
    start = torch.ones(len(t), 1, 1, 1, 1)
    teacher = method.teacher_denoise(torch.zeros(len(t)))
    where = {"t_from": line.t_start, "t_to": line.t_end, "schedule": schedule}
    with torch.no_grad():
        ends = Ends(start, solve(teacher, start, num_steps=8, **where))
        state = line_state(ends, t, line=line)
        clean = gain[t][:, None, None, None, None] * state
    found = line_ends(clean, state, t=t, line=line, schedule=schedule).end
    torch.testing.assert_close(found, ends.end, rtol=0, atol=1e-3)


def test_the_gradient_reaches_the_student_alone(build, gain_network, gain_batch):
    method = build(guidance=2.0)
    loss = loss_of(method, gain_batch)
    loss.value.backward()
    assert method.trainable.gain.grad.any()
    assert gain_network.gain.grad is None
    assert method.extra_state() == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guidance": 0.5}, "guidance=0.5"),
        ({"solver_steps": 0}, "got solver_steps=0"),
        ({"num_segments": 50, "solver_steps": 21}, "shortest segment's 20 times"),
        ({"person_weight": -1.0}, "person_weight=-1.0"),
        ({"noise_offset": -0.1}, "noise_offset=-0.1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PeRFlowConfig(**settings)


def test_another_noise_than_the_teachers_is_refused(build):
    with pytest.raises(ValueError, match="noise_offset must be 0.0, which the teacher was trained"):
        build(noise_offset=0.1)
