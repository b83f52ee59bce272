"""Skeletons laid over the pictures they were found in, as a video or as a sheet of moments."""

from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from quickstep.conditions.drawing import iterate_skeletons
from quickstep.conditions.skeleton import Poses
from quickstep.data.image import write_image
from quickstep.data.sheet import moments, side_by_side
from quickstep.data.video import iterate_video, write_video

_DIMMED = 0.55
"""Brightness of the picture under the skeleton, so that its colours stand out."""


def laid_over(
    picture: UInt8[np.ndarray, "H W 3"], skeleton: UInt8[np.ndarray, "H W 3"]
) -> UInt8[np.ndarray, "H W 3"]:
    """The dimmed picture with the skeleton's pixels on it, as opaque as they are bright."""
    share = skeleton.max(axis=2, keepdims=True).astype(np.float32) / 255
    mixed = picture * _DIMMED * (1 - share) + skeleton
    return (mixed + 0.5).clip(0, 255).astype(np.uint8)


def iterate_overlay(poses: Poses, pictures: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Each picture with its skeleton; body, hands and face, in DWPose's colours."""
    drawn = iterate_skeletons(poses, style="dwpose", stroke="scaled")
    for skeleton, picture in zip(drawn, pictures, strict=False):
        yield laid_over(picture, skeleton)


def write_overlay(path: Path, poses: Poses, video: Path | None) -> None:
    """Writes the overlay of a whole clip (``.mp4``), or of eight of its moments (``.png``).

    Args:
        path: the file.
        poses: what was found.
        video: what it was found in; black where it is not known.

    Raises:
        OSError: the file cannot be written.
    """
    width, height = poses.size
    black = np.zeros((height, width, 3), dtype=np.uint8)
    pictures = repeat(black) if video is None else iterate_video(video)
    frames = iterate_overlay(poses, pictures)
    if path.suffix.lower() == ".mp4":
        write_video(path, frames, fps=poses.fps)
        return
    wanted = set(moments(len(poses)))
    chosen = [frame for number, frame in enumerate(frames) if number in wanted]
    half = (len(chosen) + 1) // 2
    rows = [chosen[:half], chosen[half:] + [black] * (2 * half - len(chosen))]
    write_image(path, np.concatenate([side_by_side(row) for row in rows[: len(chosen)]]))
