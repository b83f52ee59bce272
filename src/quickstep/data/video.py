"""Videos and pictures in and out of files: exact shapes, whole files, errors of one line."""

import io
from collections.abc import Iterable, Iterator, Mapping
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

from quickstep.data.image import ImageError, read_image, rgb_picture, write_image
from quickstep.files import written_beside

__all__ = [
    "ImageError",
    "TimedFrame",
    "Video",
    "VideoError",
    "VideoInfo",
    "decoded_frames",
    "iterate_video",
    "read_image",
    "read_video",
    "timed_frames",
    "video_info",
    "write_image",
    "write_video",
]

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif")

# The default conversion repeats half-resolution colours and rounds down: 10 dB worse.
_CAREFUL = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
)


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
    with _opened(path) as container:
        stream = container.streams.video[0]
        return VideoInfo(
            size=(stream.width, stream.height),
            fps=_rate(stream),
            num_frames=stream.frames,
            has_audio=bool(container.streams.audio),
            metadata=dict(container.metadata),
        )


def read_video(path: str | Path, *, max_frames: int | None = None) -> Video:
    """Decodes a video, or its first `max_frames` frames, into memory.

    Raises:
        VideoError: the file is missing, is not a video, holds no frame, or is cut short (less
            can be decoded than its header says).
    """
    if max_frames is not None and max_frames < 1:
        raise VideoError(f"{path}: max_frames must be at least 1: got {max_frames}")
    frames = list(islice(iterate_video(path), max_frames))
    return Video(frames=np.stack(frames), fps=video_info(path).fps)


def iterate_video(path: str | Path) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Decodes a video frame by frame; memory does not grow with its length.

    A rotation noted by a phone is applied, and transparent parts lie on white.

    Raises:
        VideoError: as `read_video`; a file that is cut short raises after its last good frame.
    """
    for frame in timed_frames(path):
        yield frame.picture


def timed_frames(path: str | Path) -> Iterator[TimedFrame]:
    """The same with the time of each frame: a phone's frame rate is not constant.

    Raises:
        VideoError: as `iterate_video`.
    """
    with _opened(path) as container:
        yield from _decoded(container, path)


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


def _decoded(container: Any, path: str | Path) -> Iterator[TimedFrame]:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate, expected, count, shape = _rate(stream), stream.frames, 0, None
    try:
        for frame in container.decode(stream):
            picture = _upright(frame)
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


def write_video(
    path: str | Path,
    frames: UInt8[np.ndarray, "f H W 3"] | Iterable[np.ndarray],
    *,
    fps: Fraction | float | int,
    lossless: bool = False,
    crf: int = 12,
    full_colour: bool = False,
    audio_from: str | Path | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes an H.264 mp4, whole or not at all.

    Args:
        path: the file to make or replace.
        frames: uint8 RGB pictures of one size. An iterator is consumed one by one.
        fps: frames per second; the driving clip's, when there is one.
        lossless: keeps every value exactly (libx264rgb, crf 0). Otherwise the file plays
            anywhere (yuv420p, BT.709); odd sides are then made even by repeating the last
            row or column.
        crf: quality of a lossy file, 0 (best) to 51. 12 is hard to tell from the frames.
        full_colour: a lossy file keeps colour at full resolution (yuv444p) and any size; for
            data rather than for every player. The same frames give the same bytes.
        audio_from: a file whose sound is taken along (as AAC, cut to the frames' length);
            without a sound track it changes nothing.
        metadata: tags for the file, any names.

    Raises:
        VideoError: no frame, frames of several sizes, a frame that is no uint8 RGB picture, a
            frame rate that is not positive, or an `audio_from` that cannot be read.
        OSError: the folder is missing or cannot be written to.
    """
    path = Path(path)
    rate = Fraction(fps).limit_denominator(100_000)
    if rate <= 0:
        raise VideoError(f"{path}: fps must be positive: got {fps}")
    if not 0 <= crf <= 51:
        raise VideoError(f"{path}: crf must be between 0 and 51: got {crf}")
    pictures = iter(frames)
    first = next(pictures, None)
    if first is None:
        raise VideoError(f"{path}: there is no frame to write")
    coder = _Coder(path, first.shape, rate, crf, lossless=lossless, full_colour=full_colour)
    tags = {"movflags": "faststart+use_metadata_tags"}
    with written_beside(path) as beside:
        with av.open(str(beside), "w", format="mp4", options=tags) as container:
            container.metadata.update(metadata or {})
            stream = coder.stream(container)
            audio = None if audio_from is None else _AudioTrack.of(audio_from, container)
            count = 0
            for picture in _chained(first, pictures):
                container.mux(stream.encode(coder.frame(picture, count)))
                count += 1
            container.mux(stream.encode(None))
            if audio is not None:
                audio.copy(container, seconds=count / rate)


def _chained(first: np.ndarray, rest: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from rest


class _Coder:
    """How pictures of one shape become frames of one stream."""

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        rate: Fraction,
        crf: int,
        *,
        lossless: bool,
        full_colour: bool,
    ) -> None:
        self.path, self.shape, self.rate = path, shape, rate
        self.lossless, self.crf = lossless, crf
        self.format = "rgb24" if lossless else "yuv444p" if full_colour else "yuv420p"
        if len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise VideoError(f"{path}: a frame must have shape (height, width, 3): got {shape}")
        even = self.format == "yuv420p"
        self.padding = ((0, shape[0] % 2 * even), (0, shape[1] % 2 * even), (0, 0))

    def stream(self, container: Any) -> Any:
        """Adds the video stream to an output container."""
        codec = "libx264rgb" if self.lossless else "libx264"
        options = {"crf": "0" if self.lossless else str(self.crf), "preset": "medium"}
        if self.format == "yuv420p":
            # Conversion averages 2x2 pixels: colour sits in their middle. Untagged files are
            # read as if it sat to the left, which costs 7 dB on saturated edges.
            options["x264-params"] = "chromaloc=1"
        elif self.format == "yuv444p":
            # x264's macroblock tree reads memory that it never wrote: with it the same frames
            # give other bytes now and then, and data sets could not be compared by their hashes.
            options["x264-params"] = "no-mbtree=1"
        stream = container.add_stream(codec, rate=self.rate, options=options)
        stream.height = self.shape[0] + self.padding[0][1]
        stream.width = self.shape[1] + self.padding[1][1]
        stream.pix_fmt = self.format
        stream.time_base = 1 / self.rate
        if not self.lossless:
            context = stream.codec_context
            context.colorspace, context.color_range = 1, 1  # BT.709, limited range
            context.color_primaries = context.color_trc = 1
        return stream

    def frame(self, picture: np.ndarray, number: int) -> av.VideoFrame:
        """One picture as the stream wants it."""
        if picture.shape != self.shape or picture.dtype != np.uint8:
            raise VideoError(
                f"{self.path}: frame {number} must be uint8 {self.shape}: "
                f"got {picture.dtype} {picture.shape}"
            )
        if any(after for _, after in self.padding):
            picture = np.pad(picture, self.padding, mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        if not self.lossless:
            frame = frame.reformat(
                format=self.format,
                dst_colorspace="ITU709",
                dst_color_range="MPEG",
                interpolation=_CAREFUL,
            )
        frame.pts, frame.time_base = number, 1 / self.rate
        return frame


class _AudioTrack:
    """The sound of another file, encoded anew into a container."""

    def __init__(self, source: Path, stream: Any) -> None:
        self.source, self.stream = source, stream

    @classmethod
    def of(cls, source: str | Path, container: Any) -> "_AudioTrack | None":
        """A track for the sound of `source`, or None when it has none."""
        with _opened(source) as sounding:
            if not sounding.streams.audio:
                return None
            rate = sounding.streams.audio[0].rate
        allowed = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
        stream = container.add_stream("aac", rate=min(allowed, key=lambda one: abs(one - rate)))
        stream.layout = "stereo"
        return cls(Path(source), stream)

    def copy(self, container: Any, *, seconds: Fraction) -> None:
        """Encodes the first `seconds` of the sound."""
        rate = self.stream.rate
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=rate)
        left, position = round(seconds * rate), 0
        with _opened(self.source) as sounding:
            try:
                decoded: Iterator[Any] = sounding.decode(audio=0)
                for frame in _resampled(decoded, resampler):
                    samples = frame.to_ndarray()[:, :left]
                    if samples.shape[1] == 0:
                        break
                    out = av.AudioFrame.from_ndarray(
                        np.ascontiguousarray(samples), format="fltp", layout="stereo"
                    )
                    out.sample_rate, out.pts = rate, position
                    container.mux(self.stream.encode(out))
                    position, left = position + samples.shape[1], left - samples.shape[1]
            except av.error.FFmpegError as error:
                raise VideoError(f"{self.source}: its sound is damaged") from error
        container.mux(self.stream.encode(None))


def _resampled(decoded: Iterator[Any], resampler: Any) -> Iterator[Any]:
    for frame in decoded:
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _opened(path: str | Path) -> Any:
    """An input container with a video stream, or a `VideoError` that says what is wrong."""
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


def _upright(frame: Any) -> np.ndarray:
    alpha = any(component.is_alpha for component in frame.format.components)
    form = "rgba" if alpha or frame.format.name == "pal8" else "rgb24"
    picture = cast(np.ndarray, frame.reformat(format=form, interpolation=_CAREFUL).to_ndarray())
    if form == "rgba":
        picture = rgb_picture(Image.fromarray(picture))
    turns = round(getattr(frame, "rotation", 0) / 90)
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns % 4 else picture
