"""Corruptions that no network of this project was taught: what its distances are worth elsewhere.

Each takes a clip, a strength in [0, 1], a generator, and the clip's number, which some ignore.
"""

import io

import av
import cv2
import numpy as np

from quickstep.data.corruptions import Frames


def pixelated(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    height, width = frames.shape[1:3]
    small = (round(width / (1 + 7 * strength)), round(height / (1 + 7 * strength)))
    return np.stack(
        [
            cv2.resize(
                cv2.resize(frame, small, interpolation=cv2.INTER_AREA),
                (width, height),
                interpolation=cv2.INTER_NEAREST,
            )
            for frame in frames
        ]
    )


def dotted(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    chosen = rng.random(frames.shape[:3]) < 0.2 * strength
    colours = rng.integers(0, 256, frames.shape, dtype=np.uint8)
    return np.where(chosen[..., None], colours, frames)


def h264(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    """x264 at constant rate factors from 27 to 51, its worst."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=12, options={"crf": f"{24 + 27 * strength:.0f}"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as coded:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in coded.decode(video=0)])


def warped(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    height, width = frames.shape[1:3]
    field = rng.standard_normal((2, height, width)).astype(np.float32)
    across, down = (cv2.GaussianBlur(each, (0, 0), height / 10) for each in field)
    reach = strength * height / 16 / max(np.abs(across).max(), np.abs(down).max())
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack(
        [
            cv2.remap(
                frame,
                x + reach * across,
                y + reach * down,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            for frame in frames
        ]
    )


def ghosts(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    reach = max(1, round(4 * strength))
    weight = min(1.0, 4 * strength)
    means = [frames[max(i - reach, 0) : i + reach + 1].mean(axis=0) for i in range(len(frames))]
    return (frames + weight * (np.stack(means) - frames)).round().astype(np.uint8)


def late(frames: Frames, strength: float, rng: np.random.Generator, index: int) -> Frames:
    return frames[np.maximum(np.arange(len(frames)) - round(8 * strength), 0)]
