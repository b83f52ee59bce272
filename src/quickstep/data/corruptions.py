"""Known ways to spoil a clip, each with a strength: judges of video are taught and tested on them.

A strength is in [0, 1]; at 0 a clip stays as it is, at 1 it is spoilt beyond use. Lengths in
pixels are shares of the height, so that a strength means the same at every size.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Int, UInt8

Frames = UInt8[np.ndarray, "f H W 3"]

PICTURE_CORRUPTIONS = ("blur", "noise", "colour", "compression")
"""Corruptions of single frames."""
ORDER_CORRUPTIONS = ("shuffled", "frozen", "repeated", "pieces")
"""Corruptions of the order of frames: every single frame stays right."""
TIME_CORRUPTIONS = (*ORDER_CORRUPTIONS, "jittered", "flickering")
"""Corruptions that show in motion, not in a frame alone."""


def corrupted(frames: Frames, kind: str, *, strength: float, rng: np.random.Generator) -> Frames:
    """The clip with one thing wrong.

    Args:
        frames: the clip.
        kind: one of the corruptions above.
        strength: how much of it, in [0, 1].
        rng: the only source of randomness; the same state spoils two clips of one size alike.

    Raises:
        ValueError: no such kind, or a strength out of range.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be between 0 and 1: got {strength}")
    if kind not in (*PICTURE_CORRUPTIONS, *TIME_CORRUPTIONS):
        known = ", ".join((*PICTURE_CORRUPTIONS, *TIME_CORRUPTIONS))
        raise ValueError(f"unknown corruption {kind!r}: there are {known}")
    if strength == 0:
        return frames
    if kind in ORDER_CORRUPTIONS:
        return frames[frame_order(kind, len(frames), strength=strength, rng=rng)]
    return _CHANGES[kind](frames, strength, rng)


def frame_order(
    kind: str, num_frames: int, *, strength: float, rng: np.random.Generator
) -> Int[np.ndarray, " f"]:
    """Which frame is shown at each moment.

    ``shuffled`` moves frames by up to ``strength`` of the clip; ``frozen`` holds a frame over the
    last ``strength`` of it; ``repeated`` shows every frame 1 + 7 ``strength`` times and leaves
    the next ones out; ``pieces`` cuts it into 1 + 7 ``strength`` pieces and shows the last first.
    """
    moments = np.arange(num_frames)
    count = min(1 + round(7 * strength), num_frames)
    if kind == "shuffled":
        return np.argsort(moments + rng.uniform(-1, 1, num_frames) * strength * num_frames)
    if kind == "frozen":
        return np.minimum(moments, round((1 - strength) * (num_frames - 1)))
    if kind == "repeated":
        return moments // count * count
    assert kind == "pieces"
    return np.concatenate(np.array_split(moments, count)[::-1])


def _blur(frames: Frames, strength: float, rng: np.random.Generator) -> Frames:
    sigma = strength * frames.shape[1] / 32
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames])


def _noise(frames: Frames, strength: float, rng: np.random.Generator) -> Frames:
    return _pictures(frames + 64 * strength * rng.standard_normal(frames.shape, dtype=np.float32))


def _colour(frames: Frames, strength: float, rng: np.random.Generator) -> Frames:
    """Too grey or too vivid, and tinted."""
    tint = rng.standard_normal(3)
    tint *= 60 * strength / np.linalg.norm(tint)
    vivid = 1 + rng.choice((-0.7, 0.7)) * strength
    grey = frames.mean(axis=-1, keepdims=True)
    return _pictures(grey + vivid * (frames - grey) + tint)


def _compression(frames: Frames, strength: float, rng: np.random.Generator) -> Frames:
    """JPEG of quality 60 down to 2."""
    quality = round(60 * (2 / 60) ** strength)
    spoilt = []
    for frame in frames:
        _, code = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])
        spoilt.append(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return np.stack(spoilt)


def _jittered(frames: Frames, strength: float, rng: np.random.Generator) -> Frames:
    reach = max(1, round(strength * frames.shape[1] / 16))
    height, width = frames.shape[1:3]
    padded = np.pad(frames, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    corners = rng.integers(0, 2 * reach + 1, size=(len(frames), 2))
    return np.stack(
        [
            frame[top : top + height, left : left + width]
            for frame, (top, left) in zip(padded, corners, strict=True)
        ]
    )


def _flickering(frames: Frames, strength: float, rng: np.random.Generator) -> Frames:
    return _pictures(frames * (1 + 0.6 * strength * rng.uniform(-1, 1, (len(frames), 1, 1, 1))))


def _pictures(values: np.ndarray) -> Frames:
    return values.round().clip(0, 255).astype(np.uint8)


_CHANGES: dict[str, Callable[[Frames, float, np.random.Generator], Frames]] = {
    "blur": _blur,
    "noise": _noise,
    "colour": _colour,
    "compression": _compression,
    "jittered": _jittered,
    "flickering": _flickering,
}
