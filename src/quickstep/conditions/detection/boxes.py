"""Boxes round people: a picture as YOLOX wants it, and its answer read back.

A box is ``x0 y0 x1 y1`` in pixels of the picture.
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

STRIDES = (8, 16, 32)
"""Pixels between the cells of YOLOX's three grids."""

PADDING = 114
"""Grey level of the canvas beside the picture."""

PERSON = 0
"""COCO's class of people."""

OVERLAP = 0.45
"""Of two boxes that share more than this part of their union, the less certain one goes."""


def letterbox(
    picture: UInt8[np.ndarray, "H W 3"], side: int
) -> tuple[UInt8[np.ndarray, "S S 3"], float]:
    """The picture in the top left corner of a grey square, as large as fits, and its scale.

    Example:
        >>> canvas, scale = letterbox(np.zeros((4, 8, 3), np.uint8), 16)
        >>> scale, canvas[7, 15].tolist(), canvas[8, 0].tolist()
        (2.0, [0, 0, 0], [114, 114, 114])
    """
    height, width = picture.shape[:2]
    scale = min(side / height, side / width)
    fitted = max(int(width * scale), 1), max(int(height * scale), 1)
    canvas = np.full((side, side, 3), PADDING, dtype=np.uint8)
    resized = cv2.resize(picture, fitted, interpolation=cv2.INTER_LINEAR)
    canvas[: fitted[1], : fitted[0]] = resized
    return canvas, scale


def decoded_boxes(output: Float[np.ndarray, "c 85"], side: int) -> Float[np.ndarray, "c 4"]:
    """Boxes in pixels of the square, from a row of YOLOX's raw answer for each cell.

    A cell tells the box's centre from its own corner and the logarithm of the sides, both in
    strides; the grids follow each other from the finest, row by row.

    Raises:
        ValueError: the number of cells does not belong to a square of that side.
    """
    corners, strides = _grids(side)
    if len(output) != len(corners):
        raise ValueError(
            f"the answer must have {len(corners)} cells for a square of {side} px: "
            f"got {len(output)}"
        )
    centre = (output[:, :2] + corners) * strides
    half = np.exp(output[:, 2:4].clip(max=20.0)) * strides / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def people_boxes(
    output: Float[np.ndarray, "c 85"],
    *,
    side: int,
    scale: float,
    threshold: float = 0.3,
) -> tuple[Float[np.ndarray, "p 4"], Float[np.ndarray, " p"]]:
    """The people in a picture, the most certain first, and how certain each is.

    Args:
        output: one picture's answer.
        side: side of the square that was asked.
        scale: what `letterbox` gave; boxes are in pixels of the picture again.
        threshold: least probability that there is something, times that it is a person.
    """
    scores = output[:, 4] * output[:, 5 + PERSON]
    likely = scores > threshold
    boxes = decoded_boxes(output, side)[likely] / scale
    scores = scores[likely]
    kept = separate_boxes(boxes, scores)
    return boxes[kept], scores[kept]


def separate_boxes(
    boxes: Float[np.ndarray, "c 4"], scores: Float[np.ndarray, " c"], *, overlap: float = OVERLAP
) -> Int[np.ndarray, " p"]:
    """Non-maximum suppression: numbers of the boxes that stay, the most certain first.

    Example:
        >>> boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10.0]])
        >>> separate_boxes(boxes, np.array([0.6, 0.9, 0.7])).tolist()
        [1, 2]
    """
    shared = box_overlaps(boxes, boxes)
    kept: list[int] = []
    for box in np.argsort(-scores, kind="stable").tolist():
        if not kept or shared[box, kept].max() <= overlap:
            kept.append(box)
    return np.array(kept, dtype=np.int64)


def box_overlaps(
    boxes: Float[np.ndarray, "a 4"], others: Float[np.ndarray, "b 4"]
) -> Float[np.ndarray, "a b"]:
    """Intersection over union of every pair; 0 where both are empty."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    areas = [(one[:, 2:] - one[:, :2]).clip(min=0).prod(axis=1) for one in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    return shared / np.where(union > 0, union, 1.0)


@lru_cache(maxsize=4)
def _grids(side: int) -> tuple[Float[np.ndarray, "c 2"], Float[np.ndarray, "c 1"]]:
    """Each cell's column and row in its grid, and the grid's stride."""
    corners, strides = [], []
    for stride in STRIDES:
        count = side // stride
        across, down = np.meshgrid(np.arange(count), np.arange(count))
        corners.append(np.stack([across, down], axis=-1).reshape(-1, 2))
        strides.append(np.full((count * count, 1), stride))
    return np.concatenate(corners).astype(np.float32), np.concatenate(strides).astype(np.float32)
