"""Faces in a picture: MTCNN's cascade (Zhang et al., 2016), and the square crop round one of them.

A box is ``x0, y0, x1, y1`` in pixels from the top left corner. The networks are handed in, see
`FaceNets`; `quickstep.networks.mtcnn` has them.

Inside the cascade boxes count pixels from 1, both ends included, as the published one does, and the
means over cells are its too: so the boxes are those of its public code, away from the edges.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image

WINDOW, STRIDE = 12, 2
"""Side and distance of the windows that the first network looks at, in pixels."""
PYRAMID_FACTOR = 0.709
"""Each picture of the pyramid has about half the pixels of the one before."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""Probability that a candidate must exceed in each of the three networks."""
MIN_PROBABILITY = 0.95
"""Accepted at last: anime, belts and hands were seen at .77 to .79, faces from .99 on."""
MOST_CANDIDATES = 2000
"""Kept of each picture of the pyramid, the most probable: a bound for pictures all texture."""
CROP_SIZE = 256
CROP_MARGIN = 1.3

Box = tuple[float, float, float, float]


@runtime_checkable
class FaceNets(Protocol):
    """MTCNN's networks. Pictures are RGB from 0 to 255; offsets are in sides of what was seen."""

    def propose(
        self, picture: Float[np.ndarray, "H W 3"]
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w 4"]]:
        """Probability and box offsets of the windows ``[2i, 2i + 12)`` of a picture."""
        ...

    def refine(
        self, crops: Float[np.ndarray, "b 24 24 3"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b 4"]]:
        """Probability and box offsets of crops."""
        ...

    def judge(
        self, crops: Float[np.ndarray, "b 48 48 3"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b 4"], Float[np.ndarray, "b 5 2"]]:
        """Probability, box offsets and landmarks of crops."""
        ...


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Attributes:
        box: tight round brows, chin and cheeks, not square, not cut at the picture's edge. As in
            the public code, x0 and y0 count from 1: the pixel before is the box's first.
        probability: of being a face, 0 to 1.
        landmarks: x, y of the eyes, the nose and the mouth's corners; the eye and the corner on
            the picture's left come first.
    """

    box: Box
    probability: float
    landmarks: tuple[tuple[float, float], ...]

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def detect_faces(
    picture: UInt8[np.ndarray, "H W 3"],
    nets: FaceNets,
    *,
    min_face: float = 20.0,
    min_probability: float = MIN_PROBABILITY,
    max_side: int = 1280,
) -> list[Face]:
    """The faces of a picture, the largest first; none is an empty list.

    The same picture gives the same faces.

    Args:
        picture: RGB of any size. Below `min_face` it holds no face that could be found.
        nets: the three networks.
        min_face: side in pixels of the smallest face to look for, 12 or more. Time grows with
            the inverse square.
        min_probability: least probability of a face, 0 to 1; below .7 it has no effect.
        max_side: a picture with a longer side is scaled down to it first, which bounds memory and
            time; boxes are scaled back, and the smallest face that is found grows alike.

    Raises:
        ValueError: the picture is not RGB bytes, or a number is out of range.
    """
    _check(picture, min_face=min_face, min_probability=min_probability, max_side=max_side)
    height, width = picture.shape[:2]
    longest = max(height, width)
    if longest > max_side:
        height, width = (max(1, round(side * max_side / longest)) for side in (height, width))
    if min(height, width) < min_face:
        return []
    small = picture
    if longest > max_side:
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    sums = _sums(small)
    boxes = _refined(sums, _proposed(sums, nets, min_face=min_face), nets)
    boxes, probability, landmarks = _judged(sums, boxes, nets)
    back = np.array([picture.shape[1] / width, picture.shape[0] / height])
    boxes, landmarks = boxes * np.tile(back, 2), landmarks * back
    faces = [
        Face(box=tuple(box), probability=score, landmarks=tuple(tuple(point) for point in points))
        for box, score, points in zip(
            boxes.tolist(), probability.tolist(), landmarks.tolist(), strict=True
        )
        if score >= min_probability
    ]
    return sorted(faces, key=lambda face: -face.area)


def largest_face(faces: Sequence[Face]) -> Face | None:
    """The face with the largest box; None when there is none."""
    return max(faces, key=lambda face: face.area, default=None)


def face_crop(
    picture: UInt8[np.ndarray, "H W 3"],
    box: Sequence[float],
    *,
    size: int = CROP_SIZE,
    margin: float = CROP_MARGIN,
) -> UInt8[np.ndarray, "S S 3"]:
    """A square picture of a face, in proportion.

    The paper says "crop" and no more. Here the square has `margin` times the longer side of the
    box and the box's middle; where it sticks out it is moved inside the picture, and where the
    picture is too small for that, its edge is mirrored. The resize is antialiased.

    Args:
        picture: RGB, as large as it can be had.
        box: of the face, `Face.box` or exact; it may stick out of the picture.
        size: side of the crop in pixels.
        margin: side of the square in longer sides of the box.

    Raises:
        ValueError: the box is empty, not finite or outside the picture, or so large that the
            picture would be less than a pixel of the crop; or `size` or `margin` is not positive.

    Example:
        >>> face_crop(np.zeros((40, 30, 3), np.uint8), (5.0, 5.0, 15.0, 20.0), size=64).shape
        (64, 64, 3)
    """
    if not (size >= 1 and 0 < margin < math.inf):
        raise ValueError(f"size and margin must be positive: got size={size}, margin={margin}")
    x0, y0, x1, y1 = _checked_box(box, picture)
    side = margin * max(x1 - x0, y1 - y0)
    height, width = picture.shape[:2]
    left, first_column, last_column = _span((x0 + x1 - side) / 2, side, length=width, size=size)
    top, first_row, last_row = _span((y0 + y1 - side) / 2, side, length=height, size=size)
    if last_column <= first_column or last_row <= first_row:
        raise ValueError(f"box must not dwarf the picture of {width}x{height}: got {tuple(box)}")
    pixel = side / size
    seen = (
        max(left + first_column * pixel, 0.0),
        max(top + first_row * pixel, 0.0),
        min(left + last_column * pixel, float(width)),
        min(top + last_row * pixel, float(height)),
    )
    inner = (last_column - first_column, last_row - first_row)
    crop = Image.fromarray(picture).resize(inner, Image.Resampling.LANCZOS, box=seen)
    bars = ((first_row, size - last_row), (first_column, size - last_column), (0, 0))
    return np.pad(np.asarray(crop), bars, mode="reflect")


def _span(start: float, side: float, *, length: int, size: int) -> tuple[float, int, int]:
    """Where a square starts along one axis, and which pixels of the crop the picture fills."""
    if side <= length:
        return min(max(start, 0.0), length - side), 0, size
    start = min(max(start, length - side), 0.0)  # the picture wholly inside the square
    pixel, slack = side / size, 1e-9
    first = math.ceil(-start / pixel - slack)
    return start, first, min(math.floor((length - start) / pixel + slack), size)


def _checked_box(box: Sequence[float], picture: np.ndarray) -> Box:
    if len(box) != 4 or not all(math.isfinite(one) for one in box):
        raise ValueError(f"box must be four finite numbers x0, y0, x1, y1: got {tuple(box)}")
    x0, y0, x1, y1 = (float(one) for one in box)
    height, width = picture.shape[:2]
    if not (x0 < x1 and y0 < y1 and x0 < width and y0 < height and x1 > 0 and y1 > 0):
        raise ValueError(
            f"box must have x0 < x1, y0 < y1 and touch the picture of {width}x{height}: "
            f"got {tuple(box)}"
        )
    return x0, y0, x1, y1


def _check(picture: np.ndarray, *, min_face: float, min_probability: float, max_side: int) -> None:
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"picture must be RGB bytes (H, W, 3): got {picture.dtype} {picture.shape}"
        )
    if not WINDOW <= min_face < math.inf:
        raise ValueError(f"min_face must be {WINDOW} pixels or more: got {min_face}")
    if not 0 <= min_probability <= 1:
        raise ValueError(f"min_probability must be from 0 to 1: got {min_probability}")
    if max_side < WINDOW:
        raise ValueError(f"max_side must be {WINDOW} pixels or more: got {max_side}")


def _proposed(
    sums: Int[np.ndarray, "Y X 3"], nets: FaceNets, *, min_face: float
) -> Float[np.ndarray, "n 4"]:
    """Squares that the first network proposes, over the whole pyramid."""
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    found, moves, scores = [np.zeros((0, 4))], [np.zeros((0, 4))], [np.zeros(0)]
    for scale in pyramid_scales(width, height, min_face=min_face):
        size = (int(width * scale + 1), int(height * scale + 1))
        probability, offsets = nets.propose(_averaged(sums, (0, 0, width, height), size=size))
        rows, columns = np.nonzero(probability > THRESHOLDS[0])
        score = probability[rows, columns].astype(np.float64)
        best = np.argsort(-score, kind="stable")[:MOST_CANDIDATES]
        rows, columns, score = rows[best], columns[best], score[best]
        window = STRIDE * np.stack([columns, rows, columns, rows], axis=1) + (1, 1, WINDOW, WINDOW)
        boxes = np.floor(window / scale)
        kept = kept_boxes(boxes, score, overlap=0.5)
        found.append(boxes[kept])
        moves.append(offsets[rows[kept], columns[kept]])
        scores.append(score[kept])
    boxes, offsets, score = (np.concatenate(each) for each in (found, moves, scores))
    kept = kept_boxes(boxes, score, overlap=0.7)[:MOST_CANDIDATES]
    boxes, offsets = boxes[kept], offsets[kept]
    return _squares(boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2], 2), sums)


def _refined(
    sums: Int[np.ndarray, "Y X 3"], boxes: Float[np.ndarray, "n 4"], nets: FaceNets
) -> Float[np.ndarray, "m 4"]:
    """Squares round those of the boxes that the second network takes for faces."""
    if not len(boxes):
        return boxes
    probability, offsets = nets.refine(_crops(sums, boxes, side=24))
    likely = probability > THRESHOLDS[1]
    boxes, offsets = boxes[likely], offsets[likely]
    kept = kept_boxes(boxes, probability[likely], overlap=0.7)
    return _squares(_moved(boxes[kept], offsets[kept]), sums)


def _judged(
    sums: Int[np.ndarray, "Y X 3"], boxes: Float[np.ndarray, "n 4"], nets: FaceNets
) -> tuple[Float[np.ndarray, "m 4"], Float[np.ndarray, " m"], Float[np.ndarray, "m 5 2"]]:
    """The faces that the third network leaves: boxes, probabilities, landmarks."""
    if not len(boxes):
        return boxes, np.zeros(0), np.zeros((0, 5, 2))
    probability, offsets, landmarks = nets.judge(_crops(sums, boxes, side=48))
    likely = probability > THRESHOLDS[2]
    boxes, score = boxes[likely], probability[likely].astype(np.float64)
    side = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
    landmarks = boxes[:, None, :2] - 1 + landmarks[likely] * side
    boxes = _moved(boxes, offsets[likely])
    kept = kept_boxes(boxes + (0, 0, 1, 1), score, overlap=0.7, of_smaller=True)
    kept = kept[_is_seen(boxes[kept], sums)]
    return boxes[kept], score[kept], landmarks[kept]


def pyramid_scales(width: int, height: int, *, min_face: float) -> list[float]:
    """Scales at which faces fill a window, from `min_face` pixels up to the shorter side.

    Example:
        >>> [round(scale, 3) for scale in pyramid_scales(100, 50, min_face=20.0)]
        [0.6, 0.425, 0.302]
    """
    scales = []
    scale = WINDOW / min_face
    while min(width, height) * scale >= WINDOW:
        scales.append(scale)
        scale *= PYRAMID_FACTOR
    return scales


def kept_boxes(
    boxes: Float[np.ndarray, "n 4"],
    scores: Float[np.ndarray, " n"],
    *,
    overlap: float,
    of_smaller: bool = False,
) -> Int[np.ndarray, " m"]:
    """Non-maximum suppression: which boxes stay when a better one drops those it overlaps.

    Args:
        boxes: x0, y0, x1, y1; those without area cover nothing.
        scores: higher is better; of equals the first wins.
        overlap: two boxes are one when they share more than this part of their union.
        of_smaller: take the part of the smaller box instead.

    Returns:
        Numbers of the boxes that stay, the best first.

    Example:
        >>> boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 4, 4]])
        >>> kept_boxes(boxes, np.array([0.8, 0.9, 0.7]), overlap=0.5).tolist()
        [1, 2]
    """
    order = np.argsort(-scores, kind="stable")
    area = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0.0), axis=1)
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        common = np.prod(np.maximum(high - low, 0.0), axis=1)
        whole = area[best] + area[rest] - common
        if of_smaller:
            whole = np.minimum(area[best], area[rest])
        order = rest[common <= overlap * whole]
    return np.array(kept, dtype=np.int64)


def _moved(
    boxes: Float[np.ndarray, "n 4"], offsets: Float[np.ndarray, "n 4"]
) -> Float[np.ndarray, "n 4"]:
    """Boxes shifted by what a network found, in sides of the crop it saw."""
    return boxes + offsets * np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def _squares(
    boxes: Float[np.ndarray, "n 4"], sums: Int[np.ndarray, "Y X 3"]
) -> Float[np.ndarray, "m 4"]:
    """Squares round the boxes' middles; those without a pixel of the picture are left out."""
    middle = (boxes[:, 2:] + boxes[:, :2]) / 2
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)[:, None]
    squares = np.concatenate([middle - side / 2, middle + side / 2], axis=1)
    return squares[_is_seen(squares, sums)]


def _is_seen(
    boxes: Float[np.ndarray, "n 4"], sums: Int[np.ndarray, "Y X 3"]
) -> Bool[np.ndarray, " n"]:
    """Whether a box has an area and touches the picture."""
    low, high = boxes[:, :2], boxes[:, 2:]
    inside = (low < (sums.shape[1] - 1, sums.shape[0] - 1)) & (high >= 1)
    return np.all((low < high) & inside, axis=1)


def _crops(
    sums: Int[np.ndarray, "Y X 3"], squares: Float[np.ndarray, "n 4"], *, side: int
) -> Float[np.ndarray, "n s s 3"]:
    """The picture inside each square, at the side wanted."""
    pixels = np.floor(squares).astype(np.int64) - (1, 1, 0, 0)
    crops = [_averaged(sums, tuple(square), size=(side, side)) for square in pixels.tolist()]
    return np.stack(crops) if crops else np.zeros((0, side, side, 3), dtype=np.float32)


def _averaged(
    sums: Int[np.ndarray, "Y X 3"], box: tuple[int, int, int, int], *, size: tuple[int, int]
) -> Float[np.ndarray, "h w 3"]:
    """A part of the picture at another size (width, height): means over cells of whole pixels.

    Beyond the picture's edge lies middle grey, which is zero to the networks. Upstream cuts there
    and stretches the rest, which moves the boxes of faces that touch an edge far outside.
    """
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    left, right = _cells(box[0], box[2], count=size[0])
    top, bottom = _cells(box[1], box[3], count=size[1])
    area = (bottom - top)[:, None] * (right - left)
    left, right = left.clip(0, width), right.clip(0, width)
    top, bottom = top.clip(0, height)[:, None], bottom.clip(0, height)[:, None]
    outside = area - (bottom - top) * (right - left)
    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    mean = (total + 127.5 * outside[..., None]) / area[..., None]
    return mean.astype(np.float32)


def _cells(start: int, end: int, *, count: int) -> tuple[Int[np.ndarray, " n"], ...]:
    """First pixel of each of `count` cells from `start` to `end`, and the one after its last."""
    edges = np.arange(count + 1) * (end - start)
    return start + edges[:-1] // count, start - (-edges[1:] // count)


def _sums(picture: UInt8[np.ndarray, "H W 3"]) -> Int[np.ndarray, "Y X 3"]:
    """Sums over all rows above and all columns to the left: any mean by four look-ups."""
    sums = np.zeros((picture.shape[0] + 1, picture.shape[1] + 1, 3), dtype=np.int64)
    sums[1:, 1:] = picture.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    return sums
