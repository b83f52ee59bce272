"""How near found keypoints are to the true ones."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.detection.boxes import box_overlaps
from quickstep.conditions.detection.detector import People
from quickstep.conditions.order import (
    BODY,
    FACE,
    LEFT_FOOT,
    LEFT_HAND,
    LEFT_HIP,
    LEFT_SHOULDER,
    RIGHT_FOOT,
    RIGHT_HAND,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)

GROUPS = {
    "body": (BODY,),
    "feet": (LEFT_FOOT, RIGHT_FOOT),
    "face": (FACE,),
    "hands": (LEFT_HAND, RIGHT_HAND),
}
"""Parts of the 133 points that are told apart."""

SHARES = (0.05, 0.1, 0.2)
"""PCK's thresholds: distances in lengths of the torso."""


@dataclass(frozen=True)
class Truth:
    """One true person: 133 points in pixels, how sure they are marked, and the box."""

    keypoints: Float[np.ndarray, "133 2"]
    scores: Float[np.ndarray, " 133"]
    box: Float[np.ndarray, " 4"]


def torso_length(keypoints: Float[np.ndarray, "133 2"]) -> float:
    """From the middle of the shoulders to the middle of the hips, in pixels."""
    shoulders = keypoints[[LEFT_SHOULDER, RIGHT_SHOULDER]].mean(axis=0)
    hips = keypoints[[LEFT_HIP, RIGHT_HIP]].mean(axis=0)
    return float(np.hypot(*(shoulders - hips)))


def detection_accuracy(
    found: Iterable[People], truths: Iterable[Truth], *, threshold: float = 0.3
) -> dict[str, float]:
    """PCK of the points that are really seen, and how well boxes and visibility are told.

    Of several found people the one whose box overlaps the true one most is taken; nobody found
    counts as all points missed.

    Args:
        found: what a detector found, picture by picture.
        truths: who is there; one person a picture.
        threshold: score from which a keypoint counts as marked.

    Returns:
        ``pck_<group>_<share>``: share of the truly seen points (score 1) within that many torso
        lengths; ``pixels_<group>``: their median distance; ``marked``: share of points whose
        being marked is told rightly; ``iou``: mean overlap of the boxes; ``found``: share of
        pictures with a box of at least half overlap.

    Raises:
        ValueError: there is no picture.
    """
    distances, lengths, seen, marked, overlaps = [], [], [], [], []
    for people, truth in zip(found, truths, strict=True):
        best, overlap = _best(people, truth.box)
        distance, right = np.full(133, np.inf), np.zeros(133, dtype=np.bool_)
        if best is not None:
            distance = np.hypot(*(people.keypoints[best] - truth.keypoints).T)
            right = (people.scores[best] >= threshold) == (truth.scores >= threshold)
        distances.append(distance)
        marked.append(right)
        overlaps.append(overlap)
        lengths.append(torso_length(truth.keypoints))
        seen.append(truth.scores >= 1.0)
    if not distances:
        raise ValueError("there must be at least one picture to measure on: got 0")
    numbers = _shares(np.stack(distances), np.array(lengths), np.stack(seen))
    return numbers | {
        "marked": float(np.mean(marked)),
        "iou": float(np.mean(overlaps)),
        "found": float(np.mean(np.array(overlaps) >= 0.5)),
    }


def _best(people: People, box: Float[np.ndarray, " 4"]) -> tuple[int | None, float]:
    if not len(people):
        return None, 0.0
    overlaps = box_overlaps(people.boxes, box[None])[:, 0]
    best = int(overlaps.argmax())
    return best, float(overlaps[best])


def _shares(
    distances: Float[np.ndarray, "n 133"],
    lengths: Float[np.ndarray, " n"],
    seen: Bool[np.ndarray, "n 133"],
) -> dict[str, float]:
    numbers: dict[str, float] = {}
    relative = distances / np.maximum(lengths, 1e-6)[:, None]
    for group, parts in GROUPS.items():
        chosen = np.zeros(133, dtype=np.bool_)
        for part in parts:
            chosen[part] = True
        mask = seen & chosen
        if not mask.any():
            continue
        for share in SHARES:
            numbers[f"pck_{group}_{share:g}"] = float((relative[mask] <= share).mean())
        numbers[f"pixels_{group}"] = float(np.median(distances[mask]))
    return numbers
