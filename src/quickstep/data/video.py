"""Videos and pictures in and out of files: exact shapes, whole files, errors of one line."""

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from jaxtyping import UInt8

from quickstep.data.decoding import (
    CAREFUL,
    VIDEO_SUFFIXES,
    TimedFrame,
    Video,
    VideoError,
    VideoInfo,
    decoded_frames,
    iterate_video,
    opened,
    read_video,
    timed_frames,
    video_info,
)
from quickstep.data.image import ImageError, read_image, write_image
from quickstep.files import written_beside

__all__ = [
    "VIDEO_SUFFIXES",
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
                interpolation=CAREFUL,
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
        with opened(source) as sounding:
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
        with opened(self.source) as sounding:
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
