"""Samplers: times on the trained grid (invariant 10), exact laws (invariant 11), and manners."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.sampling import (
    Jump,
    plan,
    sample,
    segment_times,
    trailing_times,
    upstream_times,
)
from quickstep.diffusion.schedule import CLEAN
from quickstep.diffusion.segments import Grid, Segments
from quickstep.teachers.analytic import Gaussian, GaussianMixture


def test_trailing_times_start_at_pure_noise():
    assert trailing_times(4) == [999, 749, 499, 249]
    assert trailing_times(3) == [999, 666, 332]  # as diffusers gives, rounded the same way
    assert trailing_times(1) == [999]
    assert len(trailing_times(50)) == 50 and trailing_times(50)[-1] == 19


@pytest.mark.parametrize(
    ("num_steps", "count", "expected"),
    [
        (1, 1, [999]),
        (4, 1, [999, 759, 499, 259]),
        (2, 2, [999, 499]),
        (4, 2, [999, 759, 499, 259]),
        (8, 2, [999, 879, 759, 639, 499, 379, 259, 139]),
        (3, 2, [999, 759, 499]),
        (4, 4, [999, 739, 499, 239]),
        (1, 2, [999]),
        (2, 4, [999, 499]),
    ],
)
def test_10_segment_times(num_steps, count, expected):
    """Invariant 10: the published times; one segment is LCM's scheduler."""
    assert segment_times(num_steps, Segments(count=count)) == expected


@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from(["clean", "first"]))
@settings(max_examples=60, deadline=None)
def test_10_inference_times_are_trained_times(num_steps, count, anchor):
    """Invariant 10: any number of steps: on the grid, falling, and none of the segments missed."""
    segments = Segments(count=count, anchor=anchor)
    times = segment_times(num_steps, segments)
    assert len(times) == num_steps and times[0] == 999
    assert set(times) <= set(segments.grid.points.tolist())
    if num_steps < count:
        return
    for jump in plan(times, sampler="segment", segments=segments):
        assert jump.edge <= jump.t_next < jump.t
    owners = segments.segment_of(torch.tensor(times)).bincount(minlength=count)
    assert (owners > 0).all()


def test_plans_of_the_four_samplers():
    two = Segments(count=2)
    times = [999, 759, 499, 259]
    landings = {
        sampler: [(jump.edge, jump.t_next) for jump in plan(times, sampler=sampler, segments=two)]
        for sampler in ("ddim", "lcm", "segment")
    }
    assert landings["ddim"] == [(759, 759), (499, 499), (259, 259), (-1, -1)]
    assert landings["lcm"] == [(-1, 759), (-1, 499), (-1, 259), (-1, -1)]
    assert landings["segment"] == [(499, 759), (499, 499), (-1, 259), (-1, -1)]
    assert plan([999, 499], sampler="edges", segments=two) == [
        Jump(999, 499, 499),
        Jump(499, -1, -1),
    ]
    assert plan([751, 1], sampler="ddim", end=0)[-1] == Jump(1, 0, 0)


@pytest.mark.parametrize("sampler", ["edges", "segment"])
def test_fewer_steps_than_segments_jump_to_clean_and_warn(sampler):
    segments = Segments(count=4)
    with pytest.warns(UserWarning, match="2 steps for a student of 4 segments"):
        jumps = plan(segment_times(2, segments), sampler=sampler, segments=segments)
    assert jumps == [Jump(999, CLEAN, 499), Jump(499, CLEAN, CLEAN)]


@pytest.mark.parametrize(
    ("times", "sampler", "count", "message"),
    [
        ([499, 999], "ddim", None, "strictly falling"),
        ([], "ddim", None, "not empty"),
        ([999, 499], "segment", None, "segments must be given"),
        ([999, 749, 499, 249], "segment", 2, r"trained grid.*\[749, 249\]"),
        ([999, 979], "segment", 2, "every segment: got t=979"),
        ([999, 259], "segment", 2, "every segment: got t=999, which lands on 499, before 259"),
        ([999, 759, 499], "edges", 2, r"must be \[999, 499\]"),
    ],
)
def test_times_that_a_sampler_cannot_use_are_refused(times, sampler, count, message):
    segments = None if count is None else Segments(count=count)
    with pytest.raises(ValueError, match=message):
        plan(times, sampler=sampler, segments=segments)


@pytest.mark.parametrize("num_steps", [0, 51])
def test_step_counts_out_of_range_are_refused(num_steps):
    with pytest.raises(ValueError, match=f"between 1 and 50: got {num_steps}"):
        segment_times(num_steps, Segments(count=2))
    with pytest.raises(ValueError, match="between 1 and 1000: got 0"):
        upstream_times(0)


@pytest.fixture(scope="module")
def mixture(schedule):
    return GaussianMixture(
        weights=torch.tensor([0.35, 0.65]),
        means=torch.tensor([-1.6, 0.9]),
        variances=torch.tensor([0.04, 0.09]),
        schedule=schedule,
    )


def exact_student(teacher, segments, *, num_steps=48):
    """A student whose every jump lands exactly on its edge."""

    def denoise(noisy, t):
        edge = segments.edge_below(t)
        return teacher.edge_clean(noisy, t=t, edge=edge, num_steps=num_steps)

    return denoise


def distance(first, second):
    """Wasserstein-1 between two samples of one size."""
    return (first.flatten().sort().values - second.flatten().sort().values).abs().mean().item()


@pytest.mark.parametrize("num_steps", [2, 4, 8])
def test_11_segment_sampler_with_exact_maps_draws_the_data(mixture, num_steps):
    """Invariant 11: W1 to the data stays at the noise floor for N = 2, 4, 8 over K = 2."""
    generator = torch.Generator().manual_seed(1)
    segments, size = Segments(count=2), (6000, 1)
    data = mixture.draw(size, generator=generator)
    floor = max(distance(data, mixture.draw(size, generator=generator)) for _ in range(8))
    drawn = sample(
        exact_student(mixture, segments),
        draw_noise(size, generator=generator),
        times=segment_times(num_steps, segments),
        schedule=mixture.schedule,
        sampler="segment",
        segments=segments,
        generator=generator,
    )
    assert drawn.std().item() == pytest.approx(data.std().item(), rel=0.03)
    assert distance(data, drawn) < 1.5 * floor


def test_11_ignoring_the_edges_is_worse(mixture):
    """Invariant 11's reason: the same student, sampled as if its jumps reached clean data."""
    segments, size = Segments(count=2), (6000, 1)
    errors = {}
    for sampler in ("segment", "lcm", "ddim"):
        generator = torch.Generator().manual_seed(2)
        drawn = sample(
            exact_student(mixture, segments),
            draw_noise(size, generator=generator),
            times=segment_times(4, segments),
            schedule=mixture.schedule,
            sampler=sampler,
            segments=segments,
            generator=generator,
        )
        errors[sampler] = distance(mixture.draw(size, generator=generator), drawn)
    assert errors["segment"] < 0.6 * min(errors["lcm"], errors["ddim"])


@pytest.mark.parametrize("count", [2, 4])
def test_11_a_step_per_segment_composes_the_exact_maps(mixture, count, generator):
    """Invariant 11: N = K draws no noise and equals the exact flow from end to end."""
    segments = Segments(count=count)
    noise = draw_noise((16, 1), generator=generator, dtype=torch.float64)
    times = segment_times(count, segments)
    results = [
        sample(
            exact_student(mixture, segments, num_steps=128),
            noise,
            times=times,
            schedule=mixture.schedule,
            sampler=sampler,
            segments=segments,
        )
        for sampler in ("segment", "edges")
    ]
    exact = mixture.solution(
        noise, t_from=torch.full((16,), 999), t_to=torch.full((16,), CLEAN), num_steps=512
    )
    assert torch.equal(results[0], results[1])
    torch.testing.assert_close(results[0], exact, rtol=0, atol=2e-3)


def test_11_one_segment_with_the_exact_map_needs_one_step(schedule, generator):
    """Invariant 11 for K=1: LCM's sampler and `segment` are one, and one jump is enough."""
    teacher, segments = Gaussian(0.5, 0.3, schedule=schedule), Segments(count=1)
    noise = draw_noise((5, 3), generator=generator)
    how = {"schedule": schedule, "segments": segments}
    denoise = exact_student(teacher, segments)
    one = sample(denoise, noise, times=[999], sampler="lcm", **how)
    exact = teacher.solution(noise, t_from=torch.full((5,), 999), t_to=torch.full((5,), CLEAN))
    torch.testing.assert_close(one, exact)
    many = [
        sample(
            denoise,
            noise,
            times=segment_times(4, segments),
            sampler=sampler,
            generator=torch.Generator().manual_seed(4),
            **how,
        )
        for sampler in ("lcm", "segment")
    ]
    assert torch.equal(*many)


def test_ddim_follows_the_teacher_to_clean_data(schedule, generator):
    teacher = Gaussian(0.5, 0.3, schedule=schedule)
    noise = draw_noise((4, 2), generator=generator)
    drawn = sample(teacher, noise, times=trailing_times(100), schedule=schedule)
    exact = teacher.solution(noise, t_from=torch.full((4,), 999), t_to=torch.full((4,), CLEAN))
    torch.testing.assert_close(drawn, exact, rtol=0, atol=0.05)


def test_callback_sees_every_step_and_the_network_float32(schedule, generator):
    seen = []

    def denoise(noisy, t):
        assert noisy.dtype == torch.float32 and t.tolist() == [seen_t[len(seen)]] * 2
        return (noisy * 0.5).bfloat16()

    seen_t = segment_times(4, Segments(count=2))
    drawn = sample(
        denoise,
        draw_noise((2, 1, 4, 2, 2), generator=generator),
        times=seen_t,
        schedule=schedule,
        sampler="segment",
        segments=Segments(count=2),
        generator=generator,
        noise_offset=0.1,
        callback=lambda *what: seen.append(what),
    )
    assert [(step, t) for step, t, _, _ in seen] == list(enumerate(seen_t))
    assert torch.equal(drawn, seen[-1][3].float()) and drawn.dtype == torch.float32
    assert all(torch.equal(clean, (noisy * 0.5).bfloat16()) for _, _, noisy, clean in seen)


def test_fresh_noise_needs_a_generator(schedule):
    with pytest.raises(ValueError, match="sampler='lcm' draws fresh noise"):
        sample(
            lambda noisy, t: noisy,
            torch.zeros(1, 1),
            times=[999, 499],
            schedule=schedule,
            sampler="lcm",
        )


def test_a_generator_per_sample_makes_batches_not_matter(schedule):
    def run(seeds):
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        noise = draw_noise((len(seeds), 2, 1, 2, 2), generator=generators, offset=0.1)
        return sample(
            lambda noisy, t: noisy.tanh(),
            noise,
            times=segment_times(4, Segments()),
            schedule=schedule,
            sampler="lcm",
            generator=generators,
            noise_offset=0.1,
        )

    assert torch.equal(run([5, 6, 7])[1:], run([6, 7]))
    with pytest.raises(ValueError, match="one per sample, 3: got 2"):
        draw_noise((3, 1), generator=[torch.Generator(), torch.Generator()])


def test_upstream_times_and_grid_of_another_skip():
    assert upstream_times(4) == [751, 501, 251, 1]
    assert segment_times(4, Segments(count=2, grid=Grid(skip=25))) == [999, 749, 499, 249]
