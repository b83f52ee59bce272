"""Videos as they really come, written with PyAV."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


def encode(
    path: Path,
    pictures: np.ndarray,
    *,
    codec: str = "libx264",
    form: str = "yuv420p",
    given: str = "rgb24",
    times: list[int] | None = None,
) -> None:
    """Writes frames with any codec and pixel format, at any times (in 1/120 s)."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = pictures.shape[2], pictures.shape[1], form
        stream.codec_context.time_base = Fraction(1, 120)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=given)
            frame.pts = times[number] if times else 10 * number
            frame.time_base = Fraction(1, 120)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def backwards(path: Path, pictures: np.ndarray) -> None:
    """Writes an mkv in which the third frame is shown before the second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("mjpeg", rate=12)
        stream.width, stream.height, stream.pix_fmt = *pictures.shape[2:0:-1], "yuvj420p"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            for packet in stream.encode(frame):
                packet.dts = number
                packet.pts = {1: 4}.get(number, number)
                container.mux(packet)
        container.mux(stream.encode(None))


def with_alpha(path: Path, pictures: np.ndarray, alpha: np.ndarray) -> None:
    """Writes a mov of PNGs, each pixel as opaque as `alpha` says."""
    both = np.concatenate([pictures, alpha[..., None]], axis=-1)
    encode(path, both, codec="png", form="rgba", given="rgba")


def deep(path: Path, pictures: np.ndarray) -> None:
    """Writes an mkv of 16 bits a channel."""
    encode(path, pictures.astype(np.uint16) * 257, codec="ffv1", form="gbrp16le", given="rgb48le")


def grey(path: Path, pictures: np.ndarray) -> None:
    """Writes an mkv without colour."""
    levels = pictures.mean(axis=-1).round().astype(np.uint8)
    encode(path, levels, codec="ffv1", form="gray", given="gray")


def turned(path: Path, pictures: np.ndarray) -> None:
    """Writes an mp4 that lies on its side, with a note in its track header to set it upright."""
    encode(path, np.rot90(pictures, 1, (1, 2)))
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    content[matrix : matrix + 36] = struct.pack(">9i", *quarter)
    path.write_bytes(content)


def sound_alone(path: Path) -> None:
    """Writes an mp4 without pictures."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        tone = np.zeros((1, 16000), np.float32)
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
