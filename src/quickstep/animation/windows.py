"""Overlapping windows: how a network of fixed length runs over a dance of any length.

UniAnimate's rule with smooth weights: windows of the trained length start every
``length - overlap`` frames, the last one is moved back so that it is full, and where windows
overlap their predictions are blended. Upstream takes the plain mean there, which steps at each
window's border; a raised cosine over the overlap does not.

Champ's rule closes the loop: the last window goes on into the first frames, so that the end of the
dance is blended with its start. That suits a dance that ends as it begins, and no other.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Blend = Literal["smooth", "mean", "loop"]
"""How windows lie and are weighed where they overlap: ours; UniAnimate's, with the plain mean; or
Champ's, with the plain mean round a closed loop."""


@dataclass(frozen=True)
class Window:
    """The frames ``start`` to ``stop - 1`` of a clip.

    Attributes:
        start: its first frame.
        stop: the frame behind its last.
        around: length of the clip, for a window that goes on from the clip's end into its start.
    """

    start: int
    stop: int
    around: int | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def frames(self) -> slice | list[int]:
        """The window as an index."""
        if self.around is None:
            return slice(self.start, self.stop)
        return [frame % self.around for frame in range(self.start, self.stop)]


def windows_of(num_frames: int, *, length: int, blend: Blend = "smooth") -> list[Window]:
    """The windows that belong to a blend.

    Raises:
        ValueError: as `cut_windows`.
    """
    cut = loop_windows if blend == "loop" else cut_windows
    return cut(num_frames, length=length)


def cut_windows(num_frames: int, *, length: int, overlap: int | None = None) -> list[Window]:
    """Windows that cover a clip, each of the trained length, in order.

    Args:
        num_frames: frames of the clip, at least one.
        length: frames of a window. A clip no longer than this is one window of its own length.
        overlap: frames shared by neighbours, 0 to ``length - 1``; a quarter of the length unless
            given (UniAnimate: 8 of 32). The last window overlaps more where the clip needs it.

    Raises:
        ValueError: a count out of range.

    Example:
        >>> [(w.start, w.stop) for w in cut_windows(64, length=32, overlap=8)]
        [(0, 32), (24, 56), (32, 64)]
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1: got {num_frames}")
    if length < 1:
        raise ValueError(f"length must be at least 1: got {length}")
    overlap = length // 4 if overlap is None else overlap
    if not 0 <= overlap < length:
        raise ValueError(f"overlap must be between 0 and length - 1 = {length - 1}: got {overlap}")
    if num_frames <= length:
        return [Window(0, num_frames)]
    last = num_frames - length
    starts = [*range(0, last, length - overlap), last]
    return [Window(start, start + length) for start in starts]


def loop_windows(num_frames: int, *, length: int, overlap: int | None = None) -> list[Window]:
    """Champ's windows: one every ``length - overlap`` frames, the last ones round the end.

    Args:
        num_frames: as for `cut_windows`; so is ``length``.
        length: frames of a window.
        overlap: frames shared by neighbours, a sixth of the length unless given (Champ: 4 of 24).

    Raises:
        ValueError: a count out of range.

    Example:
        >>> [window.frames for window in loop_windows(7, length=4)]
        [slice(0, 4, None), slice(3, 7, None), [6, 0, 1, 2]]
    """
    overlap = round(length / 6) if overlap is None else overlap
    if len(cut_windows(num_frames, length=length, overlap=overlap)) == 1:
        return [Window(0, num_frames)]
    return [
        Window(start, start + length, num_frames if start + length > num_frames else None)
        for start in range(0, num_frames, length - overlap)
    ]


def blend_weights(windows: list[Window], *, blend: Blend = "smooth") -> list[Float[Tensor, " f"]]:
    """One weight per frame of each window; over the windows of a frame they add up to one.

    A window's weight rises as a raised cosine over the frames it shares with the window before
    it, and falls over those it shares with the next. A single window has weight one.

    Args:
        windows: neighbours in order, as :func:`windows_of` gives them.
        blend: "mean" and "loop" give all windows of a frame the same weight.

    Example:
        >>> blend_weights(cut_windows(5, length=3, overlap=1))[0].tolist()
        [1.0, 1.0, 0.5]
    """
    raw = [torch.ones(len(window), dtype=torch.float64) for window in windows]
    for number, (before, after) in enumerate(itertools.pairwise(windows)):
        shared = before.stop - after.start
        if shared > 0 and blend == "smooth":
            ramp = _raised_cosine(shared)
            raw[number][-shared:] *= ramp.flip(0)
            raw[number + 1][:shared] *= ramp
    total = torch.zeros(windows[-1].around or windows[-1].stop, dtype=torch.float64)
    for window, weight in zip(windows, raw, strict=True):
        total[window.frames] += weight
    return [
        (weight / total[window.frames]).float() for window, weight in zip(windows, raw, strict=True)
    ]


def _raised_cosine(count: int) -> Float[Tensor, " f"]:
    """Values from near 0 to near 1, symmetric: a ramp and its mirror image add up to one."""
    places = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return torch.sin(places * math.pi / 2) ** 2
