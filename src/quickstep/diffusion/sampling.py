"""From noise to clean data in a given number of steps.

Every sampler is a list of jumps: evaluate at `t`, move by DDIM to `edge`, add fresh noise up to
`t_next`. They differ in where the jumps land:

- "ddim": on the next time. For teachers; deterministic.
- "lcm": on clean data, then noise up (LCM, Algorithm 3). For students with one segment.
- "edges": from edge to edge of the segments, one step each; deterministic.
- "segment": on the edge of the segment the time stands in, then noise up by the exact forward
  kernel while steps are left in that segment. Exact in law if the student is exact.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.schedule import CLEAN, Schedule, state_dtype
from quickstep.diffusion.segments import Segments
from quickstep.diffusion.solver import Denoise, ddim_step, renoise

Sampler = Literal["ddim", "lcm", "edges", "segment"]
"""How a denoiser is turned into a generator; see the module's text."""

Callback = Callable[[int, int, Tensor, Tensor], None]
"""Called after every evaluation with (step index, t, noisy, clean); `clean` is its preview."""


@dataclass(frozen=True)
class Jump:
    """One step of a sampler: evaluate at `t`, land on `edge`, noise up to `t_next`."""

    t: int
    edge: int
    t_next: int


def trailing_times(num_steps: int, *, num_timesteps: int = 1000) -> list[int]:
    """Times for few-step sampling, equally spaced and starting at the noisiest.

    Lin et al. 2023, Table 2 ("trailing"); the same numbers as diffusers gives.

    Raises:
        ValueError: `num_steps` is not in 1..num_timesteps.

    Example:
        >>> trailing_times(4)
        [999, 749, 499, 249]
    """
    _check_num_steps(num_steps, num_timesteps)
    spacing = num_timesteps / num_steps
    return [round(num_timesteps - i * spacing) - 1 for i in range(num_steps)]


def upstream_times(num_steps: int, *, num_timesteps: int = 1000) -> list[int]:
    """UniAnimate's own times, ``1 + arange(0, T, T // num_steps)`` downwards.

    They never visit pure noise, and their number can be one more than asked for. Sample with
    ``end=0``, where upstream's last step lands.

    Raises:
        ValueError: `num_steps` is not in 1..num_timesteps.

    Example:
        >>> upstream_times(4), len(upstream_times(30))
        ([751, 501, 251, 1], 31)
    """
    _check_num_steps(num_steps, num_timesteps)
    times = range(1, num_timesteps + 1, num_timesteps // num_steps)
    return sorted({min(t, num_timesteps - 1) for t in times}, reverse=True)


def segment_times(num_steps: int, segments: Segments) -> list[int]:
    """Trained times for `num_steps` steps, shared out evenly over the segments.

    Steps that do not divide go to the noisiest segments. Inside a segment the times are those of
    LCM's scheduler; one segment gives exactly these. With fewer steps than segments, the times are
    those of one segment over the whole grid (see `plan`).

    Raises:
        ValueError: `num_steps` is not in 1..number of grid times.

    Example:
        >>> segment_times(4, Segments(count=2)), segment_times(4, Segments(count=1))
        ([999, 759, 499, 259], [999, 759, 499, 259])
        >>> segment_times(3, Segments(count=2))
        [999, 759, 499]
    """
    starts = segments.start_times
    _check_num_steps(num_steps, starts.numel())
    if num_steps < segments.count:
        pieces = [starts.tolist()]
    else:
        owner = segments.segment_of(starts)
        pieces = [starts[owner == o].tolist() for o in range(segments.count)]
    counts = [0] * len(pieces)
    while sum(counts) < num_steps:
        for o in reversed(range(len(pieces))):
            if counts[o] < len(pieces[o]) and sum(counts) < num_steps:
                counts[o] += 1
    return [
        piece[-1 - i * len(piece) // count]
        for piece, count in reversed(list(zip(pieces, counts, strict=True)))
        for i in range(count)
    ]


def plan(
    times: Sequence[int],
    *,
    sampler: Sampler,
    segments: Segments | None = None,
    end: int = CLEAN,
) -> list[Jump]:
    """The jumps of a sampler through the given times.

    With fewer steps than segments, "edges" and "segment" have no exact answer: they jump to clean
    data as "lcm" does, which blurs, and warn.

    Args:
        times: times to evaluate at, strictly falling.
        sampler: where the jumps land.
        segments: the student's segments. Needed by "edges" and "segment"; whenever given, the
            times must lie on its grid.
        end: where the last jump lands: `CLEAN`, or 0 for `upstream_times`.

    Raises:
        ValueError: the times do not fall, are not trained, or skip a segment; segments are missing.

    Example:
        >>> plan([999, 499], sampler="edges", segments=Segments(count=2))
        [Jump(t=999, edge=499, t_next=499), Jump(t=499, edge=-1, t_next=-1)]
    """
    _check_times(times, sampler=sampler, segments=segments)
    following = [*times[1:], end]
    if sampler == "ddim":
        return [Jump(t, t_next, t_next) for t, t_next in zip(times, following, strict=True)]
    landings = [CLEAN] * len(times)
    if sampler != "lcm" and segments is not None:
        landings = _landings(times, sampler=sampler, segments=segments)
    landings[-1] = end
    return [
        Jump(t, edge, t_next) for t, edge, t_next in zip(times, landings, following, strict=True)
    ]


@torch.no_grad()
def sample(
    denoise: Denoise,
    noise: Float[Tensor, "b ..."],
    *,
    times: Sequence[int],
    schedule: Schedule,
    sampler: Sampler = "ddim",
    segments: Segments | None = None,
    end: int = CLEAN,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    noise_offset: float = 0.0,
    callback: Callback | None = None,
) -> Float[Tensor, "b ..."]:
    """Turns noise into clean data.

    Args:
        denoise: ``denoise(noisy, t) -> clean``, with float32 `noisy` and times ``(b,)``; its
            answer may be of any float type.
        noise: the state at ``times[0]``: standard normal if that is pure noise.
        times: from `trailing_times`, `upstream_times` or `segment_times`.
        schedule: the schedule.
        sampler: "ddim", "lcm", "edges" or "segment".
        segments: the student's segments, for "edges" and "segment".
        end: where the last jump lands; see `plan`.
        generator: source of the fresh noise; one, or one per sample.
        noise_offset: law of the fresh noise, as in training; see `draw_noise`. `noise` itself is
            to be drawn alike.
        callback: called after each evaluation with (step index, t, noisy, clean).

    Returns:
        The state at `end`, float32 (float64 for float64 noise).

    Raises:
        ValueError: as `plan`; or fresh noise is needed and `generator` is None.
    """
    jumps = plan(times, sampler=sampler, segments=segments, end=end)
    if generator is None and any(jump.edge != jump.t_next for jump in jumps):
        raise ValueError(f"generator must be given: sampler={sampler!r} draws fresh noise here")
    noisy = noise.to(state_dtype(noise))
    for step_index, jump in enumerate(jumps):
        t, edge, t_next = (
            torch.full((noisy.shape[0],), time, device=noisy.device)
            for time in (jump.t, jump.edge, jump.t_next)
        )
        clean = denoise(noisy, t)
        if callback is not None:
            callback(step_index, jump.t, noisy, clean)
        noisy = ddim_step(clean, noisy, t_from=t, t_to=edge, schedule=schedule)
        if jump.t_next != jump.edge and generator is not None:
            fresh = draw_noise(
                noisy.shape,
                generator=generator,
                offset=noise_offset,
                device=noisy.device,
                dtype=noisy.dtype,
            )
            noisy = renoise(noisy, fresh, t_from=edge, t_to=t_next, schedule=schedule)
    return noisy


def _check_num_steps(num_steps: int, most: int) -> None:
    if not 1 <= num_steps <= most:
        raise ValueError(f"num_steps must be between 1 and {most}: got {num_steps}")


def _check_times(times: Sequence[int], *, sampler: str, segments: Segments | None) -> None:
    if sampler not in get_args(Sampler):
        raise ValueError(f"sampler must be one of {get_args(Sampler)}: got {sampler!r}")
    if not times or any(t <= t_next for t, t_next in pairwise(times)):
        raise ValueError(f"times must be strictly falling and not empty: got {list(times)}")
    if segments is None:
        if sampler in ("edges", "segment"):
            raise ValueError(f"segments must be given for sampler={sampler!r}: got None")
        return
    on_grid = segments.grid.contains(torch.tensor(times)).tolist()
    off_grid = [t for t, trained in zip(times, on_grid, strict=True) if not trained]
    if off_grid:
        raise ValueError(
            f"times must lie on the trained grid (skip {segments.grid.skip}, last "
            f"{segments.grid.num_timesteps - 1}): got {off_grid}"
        )


def _landings(times: Sequence[int], *, sampler: str, segments: Segments) -> list[int]:
    """The edge under each time; clean data for all when there are too few to visit every edge."""
    if len(times) < segments.count:
        warnings.warn(
            f"{len(times)} steps for a student of {segments.count} segments: jumping straight to "
            f"clean data, which blurs; use {segments.count} steps or more",
            stacklevel=3,
        )
        return [CLEAN] * len(times)
    landings = segments.edge_below(torch.tensor(times)).tolist()
    for t, edge, t_next in zip(times, landings, [*times[1:], int(segments.edges[0])], strict=True):
        if edge > t_next:
            raise ValueError(
                f"times must visit every segment: got t={t}, which lands on {edge}, before {t_next}"
            )
    upper_edges = segments.edges[1:].flip(0).tolist()
    if sampler == "edges" and list(times) != upper_edges:
        raise ValueError(f"times of sampler 'edges' must be {upper_edges}: got {list(times)}")
    return landings
