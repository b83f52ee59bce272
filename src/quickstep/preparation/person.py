"""The person in a clip: where it is lost, how it is framed, when it shows itself best."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int

from quickstep.conditions.order import BODY, FACE, NOSE, RIGHT_EAR
from quickstep.conditions.skeleton import Poses
from quickstep.data.views import View

HEAD = slice(NOSE, RIGHT_EAR + 1)
LEAST_JOINTS = 5
"""Joints of the 17 of a body that must be seen in the picture for a person to be there."""
_HEADROOM = 0.1


def person_frames(poses: Poses) -> Bool[np.ndarray, " f"]:
    """In which frames a person is seen."""
    inside = (poses.keypoints >= 0) & (poses.keypoints < np.array(poses.size))
    return (poses.visible & inside.all(axis=2))[:, BODY].sum(axis=1) >= LEAST_JOINTS


def person_box(poses: Poses) -> Float[np.ndarray, " 4"]:
    """x0, y0, x1, y1 of all points seen over a clip, and a tenth of its height above for the hair.

    It may reach out of the picture.
    """
    seen = poses.keypoints[poses.visible]
    (x0, y0), (x1, y1) = seen.min(axis=0), seen.max(axis=0)
    return np.array([x0, y0 - _HEADROOM * (y1 - y0), x1, y1])


def person_view(
    picture: tuple[int, int], box: Float[np.ndarray, " 4"], *, size: tuple[int, int]
) -> View:
    """The largest rectangle with the shape of `size`, moved so that it holds the person.

    Where the person does not fit, its middle does across, and its top down: heads stay.

    Example:
        >>> person_view((604, 1080), np.array([200.0, 100.0, 400.0, 700.0]), size=(512, 768)).corner
        (0, 0)
        >>> person_view((1920, 1080), np.array([1000.0, 0.0, 1400.0, 1e3]), size=(512, 768)).corner
        (840, 0)
    """
    view = View.centred(picture, size=size)
    corner = []
    for axis in (0, 1):
        room, extent = picture[axis] - view.extent[axis], view.extent[axis]
        low, high = box[axis], box[axis + 2]
        start = (low + high - extent) / 2
        if axis == 1 and high - low > extent:
            start = low
        corner.append(int(min(max(round(float(start)), 0), room)))
    return View(corner=(corner[0], corner[1]), extent=view.extent, size=size)


def best_reference(poses: Poses) -> int:
    """The frame that shows most of face and body, by the scores of its points; the first of equals.

    A face counts as much as a body: a back tells nothing of who it is.
    """
    shown = poses.scores * poses.visible
    return int((shown[:, BODY].mean(axis=1) + shown[:, FACE].mean(axis=1)).argmax())


def head_place(poses: Poses, frame: int) -> tuple[float, float] | None:
    """Where the head is in a frame: the middle of its joints and face points; None if unseen."""
    shown = poses.visible[frame].copy()
    shown[[*range(HEAD.stop, FACE.start), *range(FACE.stop, len(shown))]] = False
    if not shown.any():
        return None
    x, y = poses.keypoints[frame][shown].mean(axis=0)
    return float(x), float(y)


def runs(kinds: Int[np.ndarray, " f"]) -> Iterator[tuple[int, int, int]]:
    """Start, end and value of each run of equal values.

    Example:
        >>> list(runs(np.array([0, 0, 2])))
        [(0, 2, 0), (2, 3, 2)]
    """
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    for start, end in zip(edges[:-1], edges[1:], strict=True):
        if end > start:
            yield start, end, int(kinds[start])
