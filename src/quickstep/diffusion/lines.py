"""PeRFlow's straight lines: within a segment, the state moves from its upper to its lower end.

Piecewise Rectified Flow (Yan et al. 2024) noises data to a segment's upper edge, lets the teacher
solve down to the lower edge, and teaches a student the straight line (in the time index) between
the two states. Its code writes the line by the noise it keeps, with a factor ``alpha_end /
alpha_start`` that is infinite at zero terminal SNR. Here it is written by the clean estimate:
``end = q start + c clean``, with DDIM's two coefficients q and c, which are finite everywhere.

With ``r = (t - t_start) / (t_end - t_start)`` and ``D(r) = 1 - r + r q`` the state on the line is
``D(r) start + r c clean``, so that a state and the clean estimate give the line and its ends.
"""

from typing import NamedTuple

from jaxtyping import Float, Float64, Int
from torch import Tensor

from quickstep.diffusion.schedule import Schedule, spread, state_dtype
from quickstep.diffusion.solver import ddim_weights


class Ends(NamedTuple):
    """The two ends of the line through a state."""

    start: Float[Tensor, "b ..."]
    """The state on the segment's upper edge."""

    end: Float[Tensor, "b ..."]
    """The state on its lower edge."""


class Line(NamedTuple):
    """Which lines a batch of states is on: the edges of each one's segment."""

    t_start: Int[Tensor, " b"]
    """The upper, noisier edge."""

    t_end: Int[Tensor, " b"]
    """The lower edge."""

    def share(self, t: Int[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """How much of the way is done at `t`: 0 at the start, 1 at the end."""
        return (t - self.t_start).double() / (self.t_end - self.t_start)


def line_state(ends: Ends, t: Int[Tensor, " b"], *, line: Line) -> Float[Tensor, "b ..."]:
    """The state at `t` on the straight line between two ends: what the student is shown."""
    dtype = state_dtype(*ends)
    share = spread(line.share(t), ends.start, dtype=dtype)
    return (1 - share) * ends.start + share * ends.end


def line_ends(
    clean: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    *,
    t: Int[Tensor, " b"],
    line: Line,
    schedule: Schedule,
) -> Ends:
    """Both ends of the line that a state is on, given the clean estimate that directs it.

    Args:
        clean: what ``end = q start + c clean`` holds for (`inverse_ddim` of the two ends).
        noisy: the state at `t`.
        t: a time of the segment above its lower edge.
        line: the segment.
        schedule: the schedule.

    Raises:
        ValueError: `t` is not in the segment, or is its lower edge (checked on the CPU).
    """
    _check_inside(t, line)
    dtype = state_dtype(clean, noisy)
    ratio, weight = ddim_weights(line.t_start, line.t_end, schedule=schedule)
    share = line.share(t)
    kept = 1 - share + share * ratio
    start = spread(1 / kept, noisy, dtype=dtype) * noisy - (
        spread(share * weight / kept, noisy, dtype=dtype) * clean
    )
    end = spread(ratio, noisy, dtype=dtype) * start + spread(weight, noisy, dtype=dtype) * clean
    return Ends(start, end)


def line_step(
    clean: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    *,
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    line: Line,
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """Moves a state along its line: PeRFlow's Euler step, exact if `clean` is.

    ``D(r_to) / D(r_from) noisy + (r_to - r_from) c / D(r_from) clean``. From the upper edge to
    the lower it is the DDIM step.

    Args:
        clean: the student's clean estimate at `t_from`.
        noisy: the state at `t_from`.
        t_from: a time of the segment above its lower edge.
        t_to: a later one; the lower edge is allowed.
        line: the segment.
        schedule: the schedule.

    Returns:
        The state at `t_to`, float32 (float64 for float64 input).

    Raises:
        ValueError: a time is not in the segment (checked on the CPU).
    """
    _check_inside(t_from, line)
    dtype = state_dtype(clean, noisy)
    ratio, weight = ddim_weights(line.t_start, line.t_end, schedule=schedule)
    here, there = line.share(t_from), line.share(t_to)
    kept = 1 - here + here * ratio
    first = (1 - there + there * ratio) / kept
    second = (there - here) * weight / kept
    return spread(first, noisy, dtype=dtype) * noisy + spread(second, noisy, dtype=dtype) * clean


def velocity_scale(
    t: Int[Tensor, " b"], *, line: Line, schedule: Schedule
) -> Float64[Tensor, " b"]:
    """What a residual of the clean estimate at `t` becomes in the line's velocity.

    ``c / D(r)``: the velocity ``end - start`` is that much clean estimate, beside a multiple of
    the state that the student and its target share.
    """
    ratio, weight = ddim_weights(line.t_start, line.t_end, schedule=schedule)
    share = line.share(t)
    return weight / (1 - share + share * ratio)


def _check_inside(t: Int[Tensor, " b"], line: Line) -> None:
    if t.device.type == "cpu" and bool(((t > line.t_start) | (t <= line.t_end)).any()):
        raise ValueError("t must lie above its segment's lower edge, and not above its upper one")
