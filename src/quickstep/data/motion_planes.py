"""Where a clip moves at every stride that training may read it with, in a byte a latent cell."""

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

from quickstep.losses.motion import MOTION_THRESHOLD, moving_levels

MAX_STRIDES = 8
"""Strides that fit into a byte."""


def motion_planes(
    frames: UInt8[np.ndarray, "f H W 3"],
    *,
    cell: int,
    num_strides: int,
    threshold: float = MOTION_THRESHOLD,
) -> UInt8[np.ndarray, "f h w"]:
    """Bit s - 1 of a cell of frame i: whether a pixel in it changes from frame i to frame i + s.

    Pictures need not be read again to know where a batch of any stride moves; see
    `moving_at`, and `quickstep.losses.motion.moving_cells`, which finds the same from pictures.

    Args:
        frames: the clip.
        cell: pixels of a latent cell's side; divides height and width.
        num_strides: strides 1, 2, ... to look at, 8 at most.
        threshold: as in `quickstep.losses.motion.motion_mask`, in units of [-1, 1].

    Raises:
        ValueError: `num_strides` is not within 1 to 8, or `cell` does not divide the pictures.
    """
    if not 1 <= num_strides <= MAX_STRIDES:
        raise ValueError(f"num_strides must be within 1 to {MAX_STRIDES}: got {num_strides}")
    count, height, width = frames.shape[:3]
    if height % cell or width % cell:
        raise ValueError(f"cell must divide the pictures' {height} x {width}: got cell={cell}")
    levels = int(np.floor(moving_levels(threshold)))
    planes = np.zeros((count, height // cell, width // cell), np.uint8)
    for stride in range(1, num_strides + 1):
        for first in range(count - stride):
            change = cv2.absdiff(frames[first], frames[first + stride])
            # Sums above 255 stay there, which is beyond any threshold of 8-bit sums below it.
            total = cv2.transform(change, np.ones((1, 3), np.float32))
            moved = (total > levels).reshape(height // cell, cell, width // cell, cell)
            planes[first] |= moved.any(axis=(1, 3)).astype(np.uint8) << (stride - 1)
    return planes


def moving_at(
    planes: UInt8[np.ndarray, "f h w"], moments: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, "n h w"]:
    """The cells that move from one of these frames to the next or from the one before.

    Args:
        planes: what `motion_planes` found.
        moments: frame numbers, evenly spaced by a stride that was looked at.
    """
    moved = np.zeros((len(moments), *planes.shape[1:]), np.bool_)
    if len(moments) > 1:
        stride = int(moments[1] - moments[0])
        steps = (planes[moments[:-1]] >> (stride - 1) & 1).astype(np.bool_)
        moved[:-1] |= steps
        moved[1:] |= steps
    return moved
