"""OpenPose's json files, read as plain arrays in COCO-WholeBody's order."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.coco_json import coco_people, is_coco
from quickstep.conditions.order import (
    COCO_OF_BODY_25,
    COCO_OF_JOINT,
    FACE,
    LEFT_HAND,
    LEFT_HIP,
    LEFT_SHOULDER,
    NUM_KEYPOINTS,
    RIGHT_HAND,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)

_BETWEEN = {1: (LEFT_SHOULDER, RIGHT_SHOULDER), 8: (LEFT_HIP, RIGHT_HIP)}
"""OpenPose's neck and middle of the hips: between which of COCO's points they lie."""


class OpenPoseFrames(NamedTuple):
    """One person's points in each frame: pixels, scores, visibility, and the picture's size."""

    keypoints: Float[np.ndarray, "f 133 2"]
    scores: Float[np.ndarray, "f 133"]
    visible: Bool[np.ndarray, "f 133"]
    size: tuple[int, int]


def read_openpose(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    threshold: float = 0.3,
) -> OpenPoseFrames:
    """Reads json: OpenPose's (a frame, a list of them, a folder of files) or COCO-WholeBody's.

    Of several people the largest is followed: in each frame, of those at least half as large
    as the largest, the one nearest to where the person was before.

    Args:
        path: a `.json` (one frame's `people`, a list of such frames, or `images` with their
            `annotations`), or a folder of OpenPose's, taken in the order of the numbers in their
            names.
        size: (width, height) of the picture. By default `canvas_width` and `canvas_height` of
            the file, else the smallest picture that holds every visible point.
        threshold: points with a smaller score are hidden.

    Raises:
        ValueError: nothing readable, no person in any frame, or a number that is not finite.
    """
    path = Path(path)
    files = sorted(path.glob("*.json"), key=_frame_number) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"{path}: the folder holds no .json file")
    frames: list[dict[str, Any]] = []
    for file in files:
        content = _json(file)
        if is_coco(content) and not path.is_dir():
            return _read_coco(path, content, threshold=threshold)
        for frame in content if isinstance(content, list) else [content]:
            if not isinstance(frame, dict) or not isinstance(frame.get("people"), list):
                raise ValueError(f"{file}: not an OpenPose json (no list named 'people')")
            frames.append(frame)
    if not frames:
        raise ValueError(f"{path}: no frame in it")
    try:
        return _poses_of_frames(frames, size=size, threshold=threshold)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_coco(path: Path, content: dict[str, Any], *, threshold: float) -> OpenPoseFrames:
    try:
        people, size = coco_people(content)
        return _one_person(people, size=size, threshold=threshold)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from error


def _frame_number(file: Path) -> tuple[list[int], str]:
    return [int(digits) for digits in re.findall(r"\d+", file.stem)], file.name


def _poses_of_frames(
    frames: list[dict[str, Any]], *, size: tuple[int, int] | None, threshold: float
) -> OpenPoseFrames:
    if size is None and frames[0].get("canvas_width") and frames[0].get("canvas_height"):
        size = int(frames[0]["canvas_width"]), int(frames[0]["canvas_height"])
    people = [[_person(person) for person in frame["people"]] for frame in frames]
    return _one_person(people, size=size, threshold=threshold)


def _one_person(
    frames: list[list[np.ndarray]], *, size: tuple[int, int] | None, threshold: float
) -> OpenPoseFrames:
    """Follows one person through everybody's points."""
    triples = np.zeros((len(frames), NUM_KEYPOINTS, 3), dtype=np.float64)
    centre: np.ndarray | None = None
    for index, people in enumerate(frames):
        person = _followed([one for one in people if (one[:, 2] > 0).any()], centre)
        if person is not None:
            triples[index] = person
            centre = person[person[:, 2] > 0, :2].mean(axis=0)
    if centre is None:
        raise ValueError(f"no person in any of its {len(frames)} frames")
    seen = triples[triples[..., 2] > 0]
    if size is not None and np.abs(seen[:, :2]).max() <= 1.0:
        triples[..., :2] *= size
    if size is None:
        width, height = np.ceil(seen[:, :2].max(axis=0)).astype(int) + 1
        size = max(int(width), 1), max(int(height), 1)
    scores = triples[..., 2].clip(0.0, 1.0)
    return OpenPoseFrames(triples[..., :2], scores, scores >= threshold, size)


def openpose_content(
    keypoints: Float[np.ndarray, "f 133 2"],
    scores: Float[np.ndarray, "f 133"],
    visible: Bool[np.ndarray, "f 133"],
    size: tuple[int, int],
) -> list[dict[str, Any]]:
    """OpenPose's json of one person: a frame each, its 25 joints, 68 face points and two hands.

    Hidden points are zeros, as OpenPose writes them. Neck and middle of the hips lie between the
    shoulders and the hips and are hidden with either of them.
    """
    marks = np.where(visible, scores, 0.0)
    points = np.where(visible[..., None], keypoints, 0.0)
    triples = np.concatenate([points, marks[..., None]], axis=2).astype(np.float64)
    body = np.zeros((len(keypoints), len(COCO_OF_BODY_25), 3))
    for joint, coco in enumerate(COCO_OF_BODY_25):
        pair = [coco, coco] if coco >= 0 else list(_BETWEEN[joint])
        both = (triples[:, pair, 2] > 0).all(axis=1)
        body[both, joint] = triples[both][:, pair].mean(axis=1)
    fields = {
        "pose_keypoints_2d": body,
        "face_keypoints_2d": triples[:, FACE],
        "hand_left_keypoints_2d": triples[:, LEFT_HAND],
        "hand_right_keypoints_2d": triples[:, RIGHT_HAND],
    }
    return [
        {
            "people": [
                {name: part[frame].reshape(-1).round(3).tolist() for name, part in fields.items()}
            ],
            "canvas_width": size[0],
            "canvas_height": size[1],
        }
        for frame in range(len(keypoints))
    ]


def _person(person: dict[str, Any]) -> Float[np.ndarray, "133 3"]:
    """One person's (x, y, score) in COCO-WholeBody's order; what is absent scores 0."""
    triples = np.zeros((NUM_KEYPOINTS, 3), dtype=np.float64)
    body = _triples(person, "pose_keypoints_2d")
    order = {0: (), 18: COCO_OF_JOINT, 25: COCO_OF_BODY_25}.get(len(body))
    if order is None:
        raise ValueError(f"pose_keypoints_2d must hold 18 or 25 points: got {len(body)}")
    for joint, coco in enumerate(order):
        if coco >= 0:
            triples[coco] = body[joint]
    for name, part, counts in (
        ("face_keypoints_2d", FACE, (68, 70)),
        ("hand_left_keypoints_2d", LEFT_HAND, (21,)),
        ("hand_right_keypoints_2d", RIGHT_HAND, (21,)),
    ):
        points = _triples(person, name)
        if len(points) in counts:
            triples[part] = points[: part.stop - part.start]
        elif len(points):
            raise ValueError(f"{name} must hold {counts[0]} points: got {len(points)}")
    return triples


def _triples(person: dict[str, Any], name: str) -> np.ndarray:
    values = np.asarray(person.get(name) or [], dtype=np.float64)
    if values.ndim != 1 or len(values) % 3:
        raise ValueError(f"{name} must be a flat list of x, y, score: got {values.shape}")
    return values.reshape(-1, 3)


def _followed(people: list[np.ndarray], centre: np.ndarray | None) -> np.ndarray | None:
    """The largest person, or of the large ones the nearest to where the person was."""
    if not people:
        return None
    areas = [float(np.prod(np.ptp(one[one[:, 2] > 0, :2], axis=0))) for one in people]
    large = [one for one, area in zip(people, areas, strict=True) if area >= max(areas) / 2]
    if centre is None:
        return people[int(np.argmax(areas))]
    where = centre
    return min(large, key=lambda one: float(np.hypot(*(one[one[:, 2] > 0, :2].mean(0) - where))))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not json that can be read") from error
