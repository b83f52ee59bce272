"""Whether it is the same face, and how right the hands are: measures of crops of the person.

Faces and hands are small and decide how a dance looks, so a mean over the whole picture says
nothing of them. Crops are squares of whole pixels at the place where the truth has the face or
the hand, the same in both videos, brought to one size by an antialiased filter; what lies outside
them does not matter. Videos are 8-bit RGB pictures, boxes are ``x0 y0 x1 y1`` in their pixels,
NaN where there is nothing. Every function gives one number a frame, NaN where nothing is in view.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from quickstep.conditions.order import LEFT_HAND, RIGHT_HAND
from quickstep.conditions.skeleton import Poses
from quickstep.evaluation.frames import Pictures, expect_pair

SMALLEST_CROP = 8.0
"""Pixels of the side of the smallest crop: smaller faces and hands are judged with what is
round them."""

LEAST_HAND_POINTS = 3
"""Points of a hand, of its 21, that must be seen in the picture to say where it is."""


def identity_distance(
    made: Pictures,
    truth: Pictures,
    boxes: Float[np.ndarray, "f 4"],
    *,
    features: Callable[[Float[Tensor, "n 3 S S"]], Float[Tensor, "n d"]],
    size: int = 112,
    margin: float = 1.3,
    batch_size: int = 32,
) -> Float[np.ndarray, " f"]:
    """Cosine distance of the two videos' faces in the space of a network.

    Args:
        made: what was made.
        truth: what it should be.
        boxes: of the truth's face in each frame; the made video is expected to have it there.
        features: the network: pictures in [0, 1] to one vector each.
        size: side of the pictures that it is given.
        margin: side of the square crop as a multiple of the box's longer side.
        batch_size: pictures at once.

    Returns:
        ``1 - cos``: 0 for the same direction, 1 for nothing in common, at most 2.

    Raises:
        ValueError: the videos are not 8-bit RGB of one length and size, the boxes are not one a
            frame, or `features` does not give one finite vector a picture.
    """
    expect_pair(made, truth)
    places = square_crops(boxes, size=_size(truth), margin=margin)
    _expect_one_each(places, truth)
    seen = np.flatnonzero(places[:, 2] > 0)
    distances = np.full(len(truth), np.nan)
    for some in (seen[start : start + batch_size] for start in range(0, len(seen), batch_size)):
        ours, theirs = (
            _vectors(features, _crops(video[some], places[some], size=size))
            for video in (made, truth)
        )
        cosine = functional.cosine_similarity(ours, theirs, dim=1)
        distances[some] = (1 - cosine).clamp(min=0).cpu().numpy()
    return distances


def face_error(
    made: Pictures,
    truth: Pictures,
    boxes: Float[np.ndarray, "f 4"],
    *,
    size: int = 64,
    margin: float = 1.3,
) -> Float[np.ndarray, " f"]:
    """Mean absolute difference of the two videos' faces in grey levels; needs no network.

    Args:
        made: what was made.
        truth: what it should be.
        boxes: of the truth's face in each frame.
        size: side of the crops that are compared.
        margin: side of the square crop as a multiple of the box's longer side.

    Raises:
        ValueError: the videos are not 8-bit RGB of one length and size, or the boxes are not one
            a frame.
    """
    expect_pair(made, truth)
    places = square_crops(boxes, size=_size(truth), margin=margin)
    _expect_one_each(places, truth)
    return _crop_error(made, truth, places, size=size)


def hand_error(
    made: Pictures, truth: Pictures, poses: Poses, *, size: int = 32, margin: float = 1.5
) -> Float[np.ndarray, " f"]:
    """Mean absolute difference of the two videos' hands in grey levels.

    Each hand in view counts the same, however large it is.

    Args:
        made: what was made.
        truth: what it should be.
        poses: of the truth, in pixels of its pictures.
        size: side of the crops that are compared.
        margin: side of the square crop as a multiple of the hand's longer side.

    Raises:
        ValueError: the videos are not 8-bit RGB of one length and size, or the poses are of
            another length or size.
    """
    expect_pair(made, truth)
    if poses.size != _size(truth):
        raise ValueError(
            f"poses must be in pixels of the videos' {_size(truth)} pictures: got {poses.size}"
        )
    errors = []
    for boxes in hand_boxes(poses):
        places = square_crops(boxes, size=_size(truth), margin=margin)
        _expect_one_each(places, truth)
        errors.append(_crop_error(made, truth, places, size=size))
    return _mean_of_known(np.stack(errors))


def hand_boxes(poses: Poses) -> Float[np.ndarray, "2 f 4"]:
    """Tight boxes of the left and the right hand, NaN where a hand is not in view.

    Only points that are visible and inside the picture count; fewer than three are no hand.
    """
    inside = np.all((poses.keypoints >= 0) & (poses.keypoints < poses.size), axis=-1)
    seen = poses.visible & inside
    boxes = np.full((2, len(poses), 4), np.nan)
    for side, hand in enumerate((LEFT_HAND, RIGHT_HAND)):
        for frame in np.flatnonzero(seen[:, hand].sum(axis=1) >= LEAST_HAND_POINTS):
            points = poses.keypoints[frame, hand][seen[frame, hand]]
            boxes[side, frame] = [*points.min(axis=0), *points.max(axis=0)]
    return boxes


def square_crops(
    boxes: Float[np.ndarray, "f 4"], *, size: tuple[int, int], margin: float
) -> Int[np.ndarray, "f 3"]:
    """The square of whole pixels that is cut out for each box, inside the picture.

    Its side is `margin` times the box's longer side, at least 8 pixels (`SMALLEST_CROP`) and at
    most the picture's shorter side. It lies round the box's middle, moved inside the picture.

    Args:
        boxes: pixels; NaN where there is none.
        size: (width, height) of the picture.
        margin: at least 1.

    Returns:
        Integers (left, top, side); a side of 0 where there is no box, the box is a mere point, or
        its middle lies outside the picture.

    Raises:
        ValueError: `margin` is below 1, or a box has a negative side.
    """
    if not margin >= 1:
        raise ValueError(f"margin must be at least 1: got {margin}")
    corners, ends = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    extent = ends - corners
    if (extent < 0).any():
        frame = int(np.argwhere(extent < 0)[0, 0])
        raise ValueError(f"a box must be x0 y0 x1 y1: got {boxes[frame].tolist()} at frame {frame}")
    picture = np.asarray(size)
    middle = (corners + ends) / 2
    known = np.isfinite(boxes).all(axis=1) & (extent > 0).any(axis=1)
    known &= ((middle >= 0) & (middle < picture)).all(axis=1)
    places = np.zeros((len(boxes), 3), dtype=np.int64)
    longest = extent[known].max(axis=1) * margin
    side = np.minimum(np.round(np.maximum(longest, SMALLEST_CROP)), min(size))
    corner = np.round(middle[known] - side[:, None] / 2)
    places[known, :2] = np.clip(corner, 0, picture - side[:, None])
    places[known, 2] = side
    return places


def _crop_error(
    made: np.ndarray, truth: np.ndarray, places: np.ndarray, *, size: int
) -> Float[np.ndarray, " f"]:
    errors = np.full(len(truth), np.nan)
    for frame in np.flatnonzero(places[:, 2] > 0):
        some = slice(frame, frame + 1)
        ours, theirs = (_crops(video[some], places[some], size=size) for video in (made, truth))
        errors[frame] = float((ours - theirs).abs().double().mean()) * 255
    return errors


def _crops(frames: np.ndarray, places: np.ndarray, *, size: int) -> Float[Tensor, "n 3 S S"]:
    cut = []
    for frame, (left, top, side) in zip(frames, places, strict=True):
        pixels = torch.from_numpy(frame[top : top + side, left : left + side].copy())
        picture = pixels.movedim(-1, 0)[None].float() / 255
        cut.append(
            functional.interpolate(picture, size=(size, size), mode="bilinear", antialias=True)
        )
    return torch.cat(cut)


@torch.no_grad()
def _vectors(
    features: Callable[[Float[Tensor, "n 3 S S"]], Float[Tensor, "n d"]], pictures: Tensor
) -> Float[Tensor, "n d"]:
    vectors = features(pictures)
    if vectors.ndim != 2 or len(vectors) != len(pictures):
        raise ValueError(
            f"features must give a vector for each of {len(pictures)} pictures: "
            f"got {tuple(vectors.shape)}"
        )
    if not torch.isfinite(vectors).all():
        raise ValueError("features must give finite vectors")
    return vectors.double()


def _size(frames: np.ndarray) -> tuple[int, int]:
    height, width = frames.shape[1:3]
    return width, height


def _expect_one_each(places: np.ndarray, frames: np.ndarray) -> None:
    if len(places) != len(frames):
        raise ValueError(f"a box is needed for each of {len(frames)} frames: got {len(places)}")


def _mean_of_known(values: Float[np.ndarray, "k f"]) -> Float[np.ndarray, " f"]:
    known = np.isfinite(values)
    count = known.sum(axis=0)
    mean = np.where(known, values, 0).sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)
