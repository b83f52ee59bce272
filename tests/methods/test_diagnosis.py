"""The numbers of a distillation: against closed forms, and on samples that are plainly dead."""

import pytest
import torch

from quickstep.diffusion.segments import Segments
from quickstep.methods.diagnosis import sample_signs, seam_jumps, solver_errors
from quickstep.teachers.protocol import Denoiser


@pytest.fixture
def states(schedule, generator):
    clean, noise = torch.randn(2, 4, 2, 1, 2, 2, generator=generator)
    return lambda t: schedule.add_noise(clean, noise, t)


VARIANCE = 0.25


@pytest.fixture
def narrow(gain_network, schedule):
    """The perfect denoiser of Gaussian data with a quarter of unit variance."""
    t = torch.arange(1000)
    alpha, sigma = schedule.alpha(t).double(), schedule.sigma(t).double()
    gain = alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2)
    return type(gain_network)(gain.float())


def denoise(network, schedule):
    denoiser = Denoiser(network, schedule, "clean")
    features = network.encode(torch.zeros(4))
    return lambda noisy, t: denoiser.clean(noisy, t, features)


def test_a_teacher_that_is_sure_makes_no_solver_error(schedule, states):
    errors = solver_errors(
        lambda noisy, t: torch.ones_like(noisy),
        states,
        [999, 499, 259],
        gap=20,
        schedule=schedule,
        batch=4,
    )
    assert list(errors) == [999, 499, 259]
    assert max(errors.values()) < 1e-4


def test_the_solver_error_grows_with_the_gap(narrow, schedule, states):
    teacher = denoise(narrow, schedule)

    def error(gap: int) -> float:
        return solver_errors(teacher, states, [599], gap=gap, schedule=schedule, batch=4)[599]

    assert 0 < error(20) < error(100) < error(400)


def test_the_solver_error_of_a_gaussian_is_known(narrow, schedule, states):
    """One step multiplies every state by a factor, and so do many."""
    t, gap, fine = 599, 400, 400
    found = solver_errors(
        denoise(narrow, schedule),
        states,
        [t],
        gap=gap,
        schedule=schedule,
        batch=4,
        fine=fine,
    )[t]

    def factor(steps: int) -> float:
        times = torch.linspace(t, t - gap, steps + 1).round().long()
        alpha, sigma = schedule.alpha(times).double(), schedule.sigma(times).double()
        gain, ratio = narrow.gain.detach().double()[times][:-1], sigma[1:] / sigma[:-1]
        return float((alpha[1:] * gain + ratio * (1 - alpha[:-1] * gain)).prod())

    once, better = factor(1), factor(fine)
    assert found == pytest.approx(abs(once - better) / abs(better - 1), rel=1e-3)


def test_a_student_that_is_the_teacher_has_no_jump(gain_pair, schedule, states):
    teacher, student = (denoise(network, schedule) for network in gain_pair)
    common = {"segments": Segments(count=4), "schedule": schedule, "batch": 4}
    same = seam_jumps(teacher, teacher, states, **common)
    assert list(same) == Segments(count=4).edges[1:-1].tolist()
    assert set(same.values()) == {0.0}
    other = seam_jumps(student, teacher, states, **common)
    assert min(other.values()) > 0.01
    assert seam_jumps(teacher, teacher, states, **{**common, "segments": Segments(count=1)}) == {}


@pytest.fixture
def truth(generator):
    return 1.2 * torch.rand(1, 4, 3, 16, 16, generator=generator) - 0.6


def test_the_truth_shows_no_sign_of_collapse(truth):
    signs = sample_signs(truth, truth)
    assert (signs.motion, signs.light, signs.clipped, signs.contrast) == (1.0, 1.0, 0.0, 1.0)
    assert signs.warnings == []


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda video: video[:, :1].expand_as(video), "static"),
        (lambda video: torch.full_like(video, -1.0), "black"),
        (lambda video: (5 * video).clamp(-1, 1), "saturated"),
    ],
)
def test_dead_samples_are_named(truth, spoil, word):
    assert any(word in line for line in sample_signs(spoil(truth), truth).warnings)


def test_blur_shows_in_the_contrast(truth):
    blurred = torch.nn.functional.avg_pool2d(truth[0], 3, stride=1, padding=1)[None]
    assert sample_signs(blurred, truth).contrast < 0.5


def test_one_frame_cannot_be_static(truth):
    assert sample_signs(truth[:, :1], truth[:, :1]).warnings == []
