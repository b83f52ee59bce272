"""Videos out of files: upright frames with their times, errors of one line."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import av.error
import numpy as np
from av.video.reformatter import Interpolation
from jaxtyping import UInt8
from PIL import Image

from quickstep.data.image import Ground, rgb_picture

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif")

CAREFUL = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)
"""How colours are converted: the default repeats half-resolution ones and is 10 dB worse."""


class VideoError(ValueError):
    """A video file that cannot be read or written; the message is one line and names the file."""


@dataclass(frozen=True)
class Video:
    """Decoded frames and their rate.

    Attributes:
        frames: RGB pictures, 0 to 255.
        fps: frames per second, exactly (30000/1001 stays a fraction).
    """

    frames: UInt8[np.ndarray, "f H W 3"]
    fps: Fraction


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame and when it is shown.

    Attributes:
        number: 0, 1, 2, ... in the file's order.
        seconds: from the start of the file.
        picture: RGB, 0 to 255.
    """

    number: int
    seconds: float
    picture: UInt8[np.ndarray, "H W 3"]


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about its video before any frame is decoded.

    Attributes:
        size: (width, height) as stored, before a rotation that a phone may have noted.
        fps: frames per second.
        num_frames: as the file's header says; 0 when it does not say.
        has_audio: whether there is a sound track.
        metadata: the container's tags.
    """

    size: tuple[int, int]
    fps: Fraction
    num_frames: int
    has_audio: bool
    metadata: dict[str, str]


def video_info(path: str | Path) -> VideoInfo:
    """Reads size, rate, length and tags of a video.

    Raises:
        VideoError: the file is missing or is not a video.
    """
    with opened(path) as container:
        stream = container.streams.video[0]
        return VideoInfo(
            size=(stream.width, stream.height),
            fps=_rate(stream),
            num_frames=stream.frames,
            has_audio=bool(container.streams.audio),
            metadata=dict(container.metadata),
        )


def read_video(
    path: str | Path, *, max_frames: int | None = None, ground: Ground = "white"
) -> Video:
    """Decodes a video, or its first `max_frames` frames, into memory; see `iterate_video`.

    Raises:
        VideoError: the file is missing, is not a video, holds no frame, or is cut short (less
            can be decoded than its header says).
    """
    if max_frames is not None and max_frames < 1:
        raise VideoError(f"{path}: max_frames must be at least 1: got {max_frames}")
    frames = list(islice(iterate_video(path, ground=ground), max_frames))
    return Video(frames=np.stack(frames), fps=video_info(path).fps)


def iterate_video(
    path: str | Path, *, ground: Ground = "white"
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Decodes a video frame by frame; memory does not grow with its length.

    A rotation noted by a phone is applied, and transparent parts lie on the ground.

    Raises:
        VideoError: as `read_video`; a file that is cut short raises after its last good frame.
    """
    for frame in timed_frames(path, ground=ground):
        yield frame.picture


def timed_frames(path: str | Path, *, ground: Ground = "white") -> Iterator[TimedFrame]:
    """The same with the time of each frame: a phone's frame rate is not constant.

    Raises:
        VideoError: as `iterate_video`.
    """
    with opened(path) as container:
        yield from _decoded(container, path, ground=ground)


def decoded_frames(file: io.BytesIO, *, name: str) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames of a video file in memory.

    Args:
        file: its content, at the start.
        name: what messages call it.

    Raises:
        VideoError: as `iterate_video`.
    """
    with _container(file, name) as container:
        for frame in _decoded(container, name):
            yield frame.picture


def _decoded(container: Any, path: str | Path, *, ground: Ground = "white") -> Iterator[TimedFrame]:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate, expected, count, shape = _rate(stream), stream.frames, 0, None
    try:
        for frame in container.decode(stream):
            picture = _upright(frame, ground)
            shape = shape or picture.shape
            if picture.shape != shape:
                raise VideoError(
                    f"{path}: the size changes at frame {count}: "
                    f"{picture.shape[1]}x{picture.shape[0]} after {shape[1]}x{shape[0]}"
                )
            seconds = count / rate if frame.time is None else frame.time
            yield TimedFrame(number=count, seconds=float(seconds), picture=picture)
            count += 1
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: damaged after frame {count}: {error.strerror}") from error
    if count == 0:
        raise VideoError(f"{path}: the video holds no frame that can be decoded")
    if count < 0.98 * expected - 1:  # an edit list may hide a frame or two at either end
        raise VideoError(f"{path}: cut short: {count} of its {expected} frames can be decoded")


def opened(path: str | Path) -> Any:
    """An input container with a video stream.

    Raises:
        VideoError: the file is missing, empty, or no video.
    """
    path = Path(path)
    if not path.is_file():
        raise VideoError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty")
    return _container(str(path), path)


def _container(file: str | io.BytesIO, name: str | Path) -> Any:
    try:
        container = av.open(file, "r")
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"{name}: not a video that can be read") from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{name}: there is no video in it")
    return container


def _rate(stream: Any) -> Fraction:
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return Fraction(rate) if rate else Fraction(25)


def _upright(frame: Any, ground: Ground) -> np.ndarray:
    alpha = any(component.is_alpha for component in frame.format.components)
    form = "rgba" if alpha or frame.format.name == "pal8" else "rgb24"
    picture = cast(np.ndarray, frame.reformat(format=form, interpolation=CAREFUL).to_ndarray())
    if form == "rgba":
        picture = rgb_picture(Image.fromarray(picture), ground=ground)
    turns = round(getattr(frame, "rotation", 0) / 90)
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns % 4 else picture
