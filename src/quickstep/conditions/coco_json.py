"""COCO-WholeBody's annotation json, read and written as plain arrays."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.order import BODY, FACE, LEFT_HAND, NUM_KEYPOINTS, RIGHT_HAND

PARTS = {
    "keypoints": BODY,
    "foot_kpts": slice(17, 23),
    "face_kpts": FACE,
    "lefthand_kpts": LEFT_HAND,
    "righthand_kpts": RIGHT_HAND,
}
"""The fields of an annotation, each a flat list of x, y, visibility, and the points in them."""

FULL = 2.0
"""COCO's flag of a body's point that is seen; 1 is hidden but labelled, 0 not labelled."""


def is_coco(content: Any) -> bool:
    """Whether json looks like COCO's: a dictionary with images and annotations."""
    return isinstance(content, dict) and {"images", "annotations"} <= set(content)


def coco_people(content: dict[str, Any]) -> tuple[list[list[np.ndarray]], tuple[int, int]]:
    """Everybody's (x, y, score) in each image, images in the order of the file, and their size.

    Body and feet carry COCO's flags 0, 1, 2, which become scores 0, 0.5, 1; face and hands carry
    scores of their own.

    Raises:
        ValueError: a field of another length or kind, or images of several sizes.
    """
    images = content["images"]
    if not isinstance(images, list) or not images:
        raise ValueError("no image in it")
    sizes = {(int(image["width"]), int(image["height"])) for image in images}
    if len(sizes) != 1:
        raise ValueError(f"images must have one size: got {sorted(sizes)}")
    frames: dict[Any, list[np.ndarray]] = {image["id"]: [] for image in images}
    for annotation in content["annotations"]:
        if annotation.get("image_id") in frames:
            frames[annotation["image_id"]].append(_person(annotation))
    return list(frames.values()), sizes.pop()


def coco_content(
    keypoints: Float[np.ndarray, "f 133 2"],
    scores: Float[np.ndarray, "f 133"],
    visible: Bool[np.ndarray, "f 133"],
    size: tuple[int, int],
) -> dict[str, Any]:
    """The json of one person's poses: an image and an annotation a frame.

    Hidden points are not labelled: their numbers are 0.
    """
    images, annotations = [], []
    for frame in range(len(keypoints)):
        images.append({"id": frame, "width": size[0], "height": size[1], "file_name": ""})
        marks = np.where(visible[frame], scores[frame], 0.0).astype(np.float64)
        marks[:23] = np.where(visible[frame, :23], np.where(scores[frame, :23] > 0.5, FULL, 1), 0)
        points = np.where(visible[frame, :, None], keypoints[frame], 0.0).astype(np.float64)
        triples = np.concatenate([points, marks[:, None]], axis=1).round(3)
        seen = points[visible[frame]]
        low, high = (seen.min(axis=0), seen.max(axis=0)) if len(seen) else (np.zeros(2),) * 2
        annotations.append(
            {
                "id": frame,
                "image_id": frame,
                "category_id": 1,
                "iscrowd": 0,
                "num_keypoints": int(visible[frame, BODY].sum()),
                "bbox": [*low.round(3).tolist(), *(high - low).round(3).tolist()],
                **{name: triples[part].reshape(-1).tolist() for name, part in PARTS.items()},
            }
        )
    categories = [{"id": 1, "name": "person"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def _person(annotation: dict[str, Any]) -> Float[np.ndarray, "133 3"]:
    triples = np.zeros((NUM_KEYPOINTS, 3), dtype=np.float64)
    for name, part in PARTS.items():
        values = np.asarray(annotation.get(name) or [0.0] * 3 * (part.stop - part.start), float)
        if values.shape != (3 * (part.stop - part.start),):
            raise ValueError(
                f"{name} must hold {part.stop - part.start} points of x, y, flag: "
                f"got {len(values)} numbers"
            )
        triples[part] = values.reshape(-1, 3)
    triples[:23, 2] /= FULL
    return triples
