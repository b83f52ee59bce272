"""Frames of a source as they are shown, brought to another rate, and cut where they break."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import av
import av.error
import cv2
import numpy as np
from jaxtyping import Float, UInt8

from quickstep.data.clock import SAME_RATE, Tick, in_order, running_rate
from quickstep.data.image import numbered_pictures, read_image
from quickstep.data.video import TimedFrame, VideoError, timed_frames, video_info
from quickstep.preparation.settings import Fault, PrepareSettings
from quickstep.preparation.sources import Source

MAX_SIDE = 1920
"""Pixels of a picture's longer side; larger ones are reduced, which bounds memory."""
THUMBNAIL = 48
_FARTHEST = 0.75
_LEAST_SPREAD = 3.0
_CHANGES_KEPT, _CHANGES_AFTER = 4, 2

Verdict = Literal["good", "cut", "flat", "still", "held"]

REASONS: dict[Verdict, str] = {
    "flat": "one colour all over",
    "still": "the picture is frozen",
    "held": "frames are missing here, and none is repeated",
}


def source_frames(source: Source) -> Iterator[TimedFrame]:
    """The frames of a video, or of a folder of numbered pictures, none larger than `MAX_SIDE`.

    Raises:
        ValueError: the source is damaged, cut short, out of order, or of several sizes; the
            message says at which frame.
    """
    frames = _pictures(source) if source.video.is_dir() else timed_frames(source.video)
    for frame in in_order(frames, source.video):
        yield TimedFrame(frame.number, frame.seconds, _reduced(frame.picture))


def _pictures(source: Source) -> Iterator[TimedFrame]:
    shape = None
    for number, path in enumerate(numbered_pictures(source.video)):
        picture = read_image(path)
        shape = shape or picture.shape
        if picture.shape != shape:
            raise VideoError(
                f"{path}: the size changes at frame {number}: "
                f"{picture.shape[1]}x{picture.shape[0]} after {shape[1]}x{shape[0]}"
            )
        yield TimedFrame(number, number / source.fps, picture)


def _reduced(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    height, width = picture.shape[:2]
    share = MAX_SIDE / max(height, width)
    if share >= 1:
        return picture
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def source_rate(source: Source) -> float:
    """Frames per second of a source while it runs: a gap does not count.

    Raises:
        VideoError: the file is no video.
    """
    if source.video.is_dir():
        return float(source.fps)
    average = float(video_info(source.video).fps)
    return running_rate(np.sort(_packet_times(source))) or average


def _packet_times(source: Source) -> Float[np.ndarray, " n"]:
    """Seconds at which frames are shown, read without decoding them."""
    with av.open(str(source.video)) as container:
        try:
            packets = list(container.demux(container.streams.video[0]))
        except av.error.FFmpegError:
            return np.zeros(0)  # decoding says where it is damaged
    known = [packet.pts * packet.time_base for packet in packets if packet.pts is not None]
    return np.array(known, np.float64)


def expect_rate(source: Source, fps: float | int) -> float:
    """The rate of a source, which must not be below the one asked for.

    Raises:
        VideoError: it is.
    """
    rate = source_rate(source)
    if rate < fps * (1 - SAME_RATE):
        raise VideoError(
            f"{source.video}: {rate:.4g} frames a second are less than the {fps:g} asked for, and "
            "none is invented: ask for fewer"
        )
    return rate


@dataclass(frozen=True)
class _Measured:
    """A frame and how it differs from the one before.

    Attributes:
        frame: the frame.
        change: mean change of a small picture of it, in grey levels; None where nothing is before.
        spread: standard deviation of its values.
        held: whether it only stands for one that is missing.
    """

    frame: TimedFrame
    change: float | None
    spread: float
    held: bool


def _measured(ticks: Iterable[Tick]) -> Iterator[_Measured]:
    number, before = -1, None
    for frame, away in ticks:
        held = frame.number == number or away > _FARTHEST
        number = number if held else frame.number
        small = thumbnail(frame.picture)
        change = None if before is None or held else float(np.abs(small - before).mean())
        yield _Measured(frame, change, float(small.std()), held)
        before = small


def _with_next(items: Iterable[_Measured], count: int) -> Iterator[tuple[_Measured, ...]]:
    """Each item with up to `count` that follow it."""
    window: deque[_Measured] = deque()
    for item in items:
        window.append(item)
        if len(window) > count:
            yield tuple(window)
            window.popleft()
    while window:
        yield tuple(window)
        window.popleft()


@dataclass
class _Judge:
    """Tells cuts and bad frames by how pictures change.

    A cut is a change that is large beside the changes before and after it: a fast dance changes
    pictures as much, but for longer.
    """

    settings: PrepareSettings
    changes: deque[float] = field(default_factory=lambda: deque(maxlen=_CHANGES_KEPT))
    still: int = 0

    def verdict(self, here: _Measured, *after: _Measured) -> Verdict:
        if here.held:
            return "held"
        if here.spread < _LEAST_SPREAD:
            return "flat"
        if here.change is None:
            return "good"
        self.still = self.still + 1 if here.change == 0 else 0
        if self.still >= self.settings.still_frames - 1:
            return "still"
        others = [*self.changes, *(each.change for each in after if each.change is not None)]
        usual = float(np.median(others)) if others else 0.0
        if here.change > max(self.settings.cut_change, self.settings.cut_ratio * usual):
            self.changes.clear()
            return "cut"
        self.changes.append(here.change)
        return "good"


def thumbnail(picture: UInt8[np.ndarray, "H W 3"]) -> Float[np.ndarray, "h w 3"]:
    """A picture so small that only its composition is left."""
    small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def stretches(
    ticks: Iterable[Tick], settings: PrepareSettings
) -> Iterator[list[TimedFrame] | Fault]:
    """Runs of good frames of one scene, at most `num_frames` long, and the bad ones between.

    Only one run is held in memory.
    """
    judge, kept, bad = _Judge(settings), list[TimedFrame](), list[TimedFrame]()
    kind: Verdict = "good"
    for window in _with_next(_measured(ticks), _CHANGES_AFTER):
        frame, verdict = window[0].frame, judge.verdict(*window)
        if bad and verdict != kind:
            yield _fault(kind, bad)
            bad = []
        kind = verdict
        if verdict in REASONS:
            if verdict == "still" and not bad:  # those before repeat a frame, too
                first = max(0, len(kept) - (settings.still_frames - 2))
                kept, bad = kept[:first], kept[first:]
            if kept:
                yield kept
                kept = []
            bad = [bad[0] if bad else frame, frame]
            continue
        if kept and (verdict == "cut" or len(kept) == settings.num_frames):
            yield kept
            kept = []
        kept.append(frame)
    if bad:
        yield _fault(kind, bad)
    if kept:
        yield kept


def _fault(kind: Verdict, frames: list[TimedFrame]) -> Fault:
    first, last = frames[0], frames[-1]
    return Fault(
        reason=REASONS[kind],
        stage="frames",
        first=first.number,
        last=last.number,
        picture=small_picture(first.picture),
    )


def small_picture(picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """A picture for the report, 128 pixels high at most, in proportion."""
    height, width = picture.shape[:2]
    share = min(1.0, 128 / height, 192 / width)
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
