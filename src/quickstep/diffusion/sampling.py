"""From noise to clean data in a given number of steps.

Every sampler is a list of jumps: evaluate at `t`, move by DDIM to `edge`, add fresh noise up to
`t_next`. They differ in where the jumps land:

- "ddim": on the next time. For teachers; deterministic.
- "lcm": on clean data, then noise up (LCM, Algorithm 3). For students with one segment.
- "edges": from edge to edge of the segments, one step each; deterministic.
- "segment": on the edge of the segment the time stands in, then noise up by the exact forward
  kernel while steps are left in that segment. Exact in law if the student is exact.
- "tcd": between the two: a share `gamma` of the way from the next time down to the edge, then
  noise up. 0 is "ddim"; 1 is "segment", or "lcm" with one segment (TCD's strategic sampling).
- "perflow": on the next time along the segment's straight line, never noise (PeRFlow).
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.diffusion.lines import Line, line_step
from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.schedule import CLEAN, Schedule, state_dtype
from quickstep.diffusion.segments import Segments
from quickstep.diffusion.solver import ddim_step, renoise

Sampler = Literal["ddim", "lcm", "edges", "segment", "tcd", "perflow"]
"""How a denoiser is turned into a generator; see the module's text."""

DEFAULT_GAMMA = 0.3
"""Of sampler "tcd": the reference code's (its paper says 0.2)."""

Callback = Callable[[int, int, Tensor, Tensor], None]
"""Called after every evaluation with (step index, t, noisy, clean); `clean` is its preview."""


Step = Callable[..., Tensor]
"""``step(clean, noisy, *, t_from, t_to, schedule) -> noisy``: `ddim_step`, or one like it."""


@dataclass(frozen=True)
class Jump:
    """One step of a sampler: evaluate at `t`, land on `edge`, noise up to `t_next`.

    With a `start` it goes to `t_next` along the straight line from `start` to `edge` instead.
    """

    t: int
    edge: int
    t_next: int
    start: int | None = None

    @property
    def draws_noise(self) -> bool:
        """Whether fresh noise leads from the landing up to the next time."""
        return self.start is None and self.edge != self.t_next


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
    ``end=0``, where upstream's last step lands, and with `ddim_step_through_noise`, which rounds as
    upstream does.

    Raises:
        ValueError: `num_steps` is not in 1..num_timesteps.

    Example:
        >>> upstream_times(4), len(upstream_times(30))
        ([751, 501, 251, 1], 31)
    """
    _check_num_steps(num_steps, num_timesteps)
    times = range(1, num_timesteps + 1, num_timesteps // num_steps)
    return sorted({min(t, num_timesteps - 1) for t in times}, reverse=True)


def segment_times(num_steps: int, segments: Segments, *, told: bool = False) -> list[int]:
    """Trained times for `num_steps` steps, shared out evenly over the segments.

    Steps that do not divide go to the noisiest segments. Inside a segment the times are those of
    LCM's scheduler; one segment gives exactly these. With fewer steps than segments, the times are
    those of one segment over the whole grid, or upper edges for a student that is `told` where to
    land (see `plan`).

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
    if num_steps < segments.count and told:
        tops = segments.edges[1:].flip(0).tolist()
        return [tops[i * len(tops) // num_steps] for i in range(num_steps)]
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
    gamma: float = DEFAULT_GAMMA,
    told: bool = False,
) -> list[Jump]:
    """The jumps of a sampler through the given times.

    With fewer steps than segments, "edges", "segment" and "tcd" have no exact answer: they jump
    to clean data as "lcm" does, which blurs, and warn. A student that is `told` the edge it shall
    land on has one: it jumps from time to time. "perflow" needs a step for every segment.

    Args:
        times: times to evaluate at, strictly falling.
        sampler: where the jumps land.
        segments: the student's segments. Needed by "edges", "segment" and "perflow"; whenever
            given, the times must lie on its grid.
        end: where the last jump lands: `CLEAN`, or 0 for `upstream_times`.
        gamma: how far under the next time "tcd" lands, as a share of the way to the edge, in
            [0, 1]; more suits more steps.
        told: whether the student is told its edge (`segment_times` with ``told``).

    Raises:
        ValueError: the times do not fall, are not trained, or skip a segment; segments are
            missing; `gamma` is out of range.

    Example:
        >>> jumps = plan([999, 759, 499], sampler="segment", segments=Segments(count=2))
        >>> [(jump.t, jump.edge, jump.t_next) for jump in jumps]
        [(999, 499, 759), (759, 499, 499), (499, -1, -1)]
    """
    _check_times(times, sampler=sampler, segments=segments)
    following = [*times[1:], end]
    if sampler == "ddim":
        return [Jump(t, t_next, t_next) for t, t_next in zip(times, following, strict=True)]
    landings = [CLEAN if sampler == "lcm" else end] * len(times)
    if sampler != "lcm" and segments is not None:
        landings = _landings(times, sampler=sampler, segments=segments, told=told)
    landings[-1] = end
    if sampler == "tcd":
        landings = _raised(landings, following, gamma=gamma)
    if sampler == "perflow" and segments is not None:
        starts = segments.edge_above(torch.tensor(times)).tolist()
        steps = zip(times, landings, following, starts, strict=True)
        return [Jump(t, edge, t_next, start) for t, edge, t_next, start in steps]
    return [
        Jump(t, edge, t_next) for t, edge, t_next in zip(times, landings, following, strict=True)
    ]


def expect_sampler(
    sampler: Sampler, *, segments: Segments | None, told: bool = False, learns_lines: bool = False
) -> None:
    """Refuses a sampler that takes a student's answers for what it never learned to give.

    Args:
        sampler: how it shall be run.
        segments: of its time axis; None for a teacher, or a model that knows none.
        told: whether it is told the edge it shall land on.
        learns_lines: whether it learns PeRFlow's straight lines.

    Raises:
        ValueError: the sampler is for other students, or needs one.
    """
    if segments is None:
        if sampler in ("edges", "segment", "perflow"):
            raise ValueError(f"sampler {sampler!r} needs a segmented student: this model is none")
        return
    if learns_lines != (sampler == "perflow"):
        raise ValueError(
            f"sampler must {'' if learns_lines else 'not '}be 'perflow' for a student that learns "
            f"{'' if learns_lines else 'no '}straight lines: got {sampler!r}"
        )
    if sampler == "lcm" and segments.count > 1 and not told:
        raise ValueError(
            f"sampler must not be 'lcm' for a student of {segments.count} segments, which learns "
            "to jump to their edges and not to clean data: use 'segment'"
        )


@torch.no_grad()
def sample(
    denoise: Callable[..., Tensor],
    noise: Float[Tensor, "b ..."],
    *,
    times: Sequence[int],
    schedule: Schedule,
    sampler: Sampler = "ddim",
    segments: Segments | None = None,
    end: int = CLEAN,
    gamma: float = DEFAULT_GAMMA,
    told: bool = False,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    noise_offset: float = 0.0,
    step: Step = ddim_step,
    callback: Callback | None = None,
) -> Float[Tensor, "b ..."]:
    """Turns noise into clean data.

    Args:
        denoise: ``denoise(noisy, t) -> clean``, with float32 `noisy` and times ``(b,)``; its
            answer may be of any float type. With `told`, ``denoise(noisy, t, edge)``.
        noise: the state at ``times[0]``: standard normal if that is pure noise.
        times: from `trailing_times`, `upstream_times` or `segment_times`.
        schedule: the schedule.
        sampler: see the module's text.
        segments: the student's segments; see `plan`.
        end: where the last jump lands; see `plan`.
        gamma: for "tcd"; see `plan`.
        told: whether `denoise` is told the edge that the jump shall land on.
        generator: source of the fresh noise; one, or one per sample.
        noise_offset: law of the fresh noise, as in training; see `draw_noise`. `noise` itself is
            to be drawn alike.
        step: how one gets from a noise level to a landing; `ddim_step_through_noise` with
            `upstream_times` is UniAnimate's sampler to the bit.
        callback: called after each evaluation with (step index, t, noisy, clean).

    Returns:
        The state at `end`, float32 (float64 for float64 noise).

    Raises:
        ValueError: as `plan`; or fresh noise is needed and `generator` is None.
    """
    jumps = plan(times, sampler=sampler, segments=segments, end=end, gamma=gamma, told=told)
    if generator is None and any(jump.draws_noise for jump in jumps):
        raise ValueError(f"generator must be given: sampler={sampler!r} draws fresh noise here")
    noisy = noise.to(state_dtype(noise))
    for step_index, jump in enumerate(jumps):
        t, edge, t_next = (
            torch.full((noisy.shape[0],), time, device=noisy.device)
            for time in (jump.t, jump.edge, jump.t_next)
        )
        clean = denoise(noisy, t, edge) if told else denoise(noisy, t)
        if callback is not None:
            callback(step_index, jump.t, noisy, clean)
        if jump.start is not None:
            line = Line(torch.full_like(t, jump.start), edge)
            noisy = line_step(clean, noisy, t_from=t, t_to=t_next, line=line, schedule=schedule)
            continue
        noisy = step(clean, noisy, t_from=t, t_to=edge, schedule=schedule)
        if jump.draws_noise and generator is not None:
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
        if sampler in ("edges", "segment", "perflow"):
            raise ValueError(f"segments must be given for sampler={sampler!r}: got None")
        return
    on_grid = segments.grid.contains(torch.tensor(times)).tolist()
    off_grid = [t for t, trained in zip(times, on_grid, strict=True) if not trained]
    if off_grid:
        raise ValueError(
            f"times must lie on the trained grid (skip {segments.grid.skip}, last "
            f"{segments.grid.num_timesteps - 1}): got {off_grid}"
        )


def _raised(landings: Sequence[int], following: Sequence[int], *, gamma: float) -> list[int]:
    """Landings of "tcd": from the next time a share `gamma` of the way down to the edge."""
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1]: got {gamma}")
    # Rounded first: .7 * 760 is 531.99... in floating point, and must not lose a whole step.
    return [
        edge + math.floor(round((1 - gamma) * (t_next - edge), 6))
        for edge, t_next in zip(landings, following, strict=True)
    ]


def _landings(times: Sequence[int], *, sampler: str, segments: Segments, told: bool) -> list[int]:
    """The edge under each time; clean data for all when there are too few to visit every edge."""
    if len(times) < segments.count:
        if sampler == "perflow":
            raise ValueError(
                f"times of sampler 'perflow' must be {segments.count} or more, one for each "
                f"segment: got {len(times)}"
            )
        if told:
            return _told_landings(times, segments)
        warnings.warn(
            f"{len(times)} step{'s' * (len(times) > 1)} for a student of {segments.count} "
            f"segments: jumping straight to clean data, which blurs; use {segments.count} steps or "
            "more",
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


def _told_landings(times: Sequence[int], segments: Segments) -> list[int]:
    """From edge to edge, segments left out in between: only for a student that is told so."""
    tops = segments.edges[1:].tolist()
    if not set(times) <= set(tops):
        raise ValueError(
            f"times of fewer steps than segments must be among {tops[::-1]} for a student that is "
            f"told its edge: got {list(times)}"
        )
    return [*times[1:], int(segments.edges[0])]
