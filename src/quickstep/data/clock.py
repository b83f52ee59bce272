"""Frames by the clock: footage is not shown at an even rate, what is made of it is."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from quickstep.data.decoding import TimedFrame, VideoError

SAME_RATE = 0.02
"""Relative difference of two frame rates that are taken for one (29.97 and 30)."""
_GAP = 1.5
_UNEVEN = 0.25


def in_order(frames: Iterable[TimedFrame], path: str | Path) -> Iterator[TimedFrame]:
    """The same frames.

    Raises:
        VideoError: one is shown before the one that it follows.
    """
    last = -np.inf
    for frame in frames:
        if frame.seconds <= last:
            raise VideoError(f"{path}: the time runs backwards at frame {frame.number}")
        last = frame.seconds
        yield frame


def running_rate(times: Float[np.ndarray, " n"]) -> float | None:
    """Frames per second while frames come: a gap does not count.

    Args:
        times: when each is shown, in order.

    Returns:
        None where they do not tell: there are fewer than two, or most have one time.

    Example:
        >>> round(running_rate(np.array([0.0, 0.1, 0.2, 0.7, 0.8])), 6)
        10.0
    """
    waits = np.diff(times)
    if len(waits) == 0 or np.median(waits) <= 0:
        return None
    return 1 / float(waits[waits <= _GAP * np.median(waits)].mean())


def is_even(times: Float[np.ndarray, " n"]) -> bool:
    """Whether frames come by an even clock, give or take a quarter of a frame."""
    rate = running_rate(times)
    if rate is None:
        return True
    due = times[0] + np.arange(len(times)) / rate
    return bool((np.abs(times - due) * rate).max() <= _UNEVEN)


class Tick(NamedTuple):
    """A frame that stands for a moment of a clock.

    Attributes:
        frame: the nearest one.
        away: how far it is, in ticks.
    """

    frame: TimedFrame
    away: float


def resampled(
    frames: Iterable[TimedFrame], *, fps: float | int, rate: float | int | None = None
) -> Iterator[Tick]:
    """For each tick of a clock the frame that is nearest to it in time.

    Args:
        frames: in the order of their times.
        fps: ticks a second.
        rate: of the source; when nearly `fps`, the clock is the source's own.
    """
    if rate is not None and abs(rate / fps - 1) <= SAME_RATE:
        fps = rate
    step, slack = 1 / Fraction(fps).limit_denominator(100_000), 1e-6
    start, tick, before = 0.0, 0, None
    for frame in frames:
        if before is None:
            start = frame.seconds
        while (due := start + float(tick * step)) <= frame.seconds + slack:
            chosen = frame
            if before is not None and due - before.seconds < frame.seconds - due - slack:
                chosen = before
            yield Tick(chosen, abs(chosen.seconds - due) / float(step))
            tick += 1
        before = frame
