"""Batches that teach a pose detector: crops with their keypoints, and scenes with their people."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from quickstep.conditions.detection.boxes import letterbox
from quickstep.conditions.detection.crops import Crop, normalised_crops
from quickstep.conditions.order import MIRRORED
from quickstep.data.dancer_poses import FRAME_MARGIN
from quickstep.data.pose_sets import PoseSet

MOST_PEOPLE = 3
"""In a scene; those of one scene come from several clips."""


@dataclass(frozen=True)
class Shot:
    """A picture of one dancer, or a part of it, with the truth about it.

    Attributes:
        picture: RGB.
        keypoints: pixels of the picture.
        scores: 1 seen, 0.5 hidden but marked, 0 not marked.
        box: x0 y0 x1 y1 round the person, inside the picture; empty where nobody is.
    """

    picture: UInt8[np.ndarray, "H W 3"]
    keypoints: Float[np.ndarray, "133 2"]
    scores: Float[np.ndarray, " 133"]
    box: Float[np.ndarray, " 4"]

    def mirrored(self) -> "Shot":
        """Seen in a mirror, left and right exchanged."""
        width = self.picture.shape[1]
        keypoints = self.keypoints[list(MIRRORED)] * (-1, 1) + (width, 0)
        x0, y0, x1, y1 = self.box
        return Shot(
            np.ascontiguousarray(self.picture[:, ::-1]),
            keypoints.astype(np.float32),
            self.scores[list(MIRRORED)],
            np.array([width - x1, y0, width - x0, y1], dtype=np.float32),
        )

    def part(self, left: int, top: int, right: int, bottom: int) -> "Shot":
        """A window of the picture; points well outside it are no longer marked."""
        offset = np.array([left, top], dtype=np.float32)
        sides = np.array([right - left, bottom - top], dtype=np.float32)
        keypoints = self.keypoints - offset
        margin = FRAME_MARGIN * sides.max()
        near = ((keypoints >= -margin) & (keypoints < sides + margin)).all(axis=1)
        inside = ((keypoints >= 0) & (keypoints < sides)).all(axis=1)
        scores = np.where(inside, self.scores, np.minimum(self.scores, 0.5)) * near
        box = self.box.reshape(2, 2) - offset
        return Shot(
            self.picture[top:bottom, left:right],
            keypoints,
            scores.astype(np.float32),
            box.clip(0, sides).reshape(4),
        )


@dataclass(frozen=True)
class PoseBatches:
    """Crops of single people and whole scenes, all as the detector's two networks take them.

    Attributes:
        poses: the pictures.
        crops: people a batch for the keypoints.
        scenes: scenes a batch for the boxes.
        crop: (width, height) of a crop.
        side: side of a scene.
        coarser: how many times as small crops and scenes are handed out.
        seed: which order of batches.

    Raises:
        ValueError: a number is below 1.
    """

    poses: PoseSet
    crops: int
    scenes: int
    crop: tuple[int, int]
    side: int
    coarser: tuple[int, int] = (1, 1)
    seed: int = 0

    def __post_init__(self):
        for name in ("crops", "scenes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")

    def batch(self, index: int) -> dict[str, Tensor]:
        """All that one step learns from.

        ``crop`` (n 3 h w), normalised, with ``keypoints`` (n 133 2) in the whole crop's pixels and
        ``scores`` (n 133); ``scene`` (m 3 S S) from 0 to 255 with ``boxes`` (m p 4) in the whole
        scene's pixels, all zeros where there are fewer people than p.
        """
        rng = np.random.default_rng((self.seed, index))
        crops = [self._crop(rng) for _ in range(self.crops)]
        scenes = [self._scene(rng) for _ in range(self.scenes)]
        return {
            "crop": torch.from_numpy(normalised_crops(np.stack([one for one, _, _ in crops]))),
            "keypoints": torch.from_numpy(np.stack([points for _, points, _ in crops])),
            "scores": torch.from_numpy(np.stack([scores for _, _, scores in crops])),
            "scene": torch.from_numpy(np.stack([one for one, _ in scenes])).movedim(3, 1).float(),
            "boxes": torch.from_numpy(np.stack([boxes for _, boxes in scenes])),
        }

    def shot(self, row: int, moment: int) -> Shot:
        """One picture of the set as it is."""
        return Shot(
            self.poses.frames[row, moment],
            np.array(self.poses.keypoints[row, moment]),
            np.array(self.poses.scores[row, moment], dtype=np.float32),
            np.array(self.poses.boxes[row, moment]),
        )

    def _drawn_shot(self, rng: np.random.Generator) -> Shot:
        rows, moments = self.poses.frames.shape[:2]
        shot = self.shot(int(rng.integers(rows)), int(rng.integers(moments)))
        return shot.mirrored() if rng.random() < 0.5 else shot

    def _crop(
        self, rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, "133 2"], Float[np.ndarray, " 133"]]:
        shot = self._drawn_shot(rng)
        if rng.random() < 0.3:
            shot = _drawn_part(shot, rng)
        fitted = Crop.round_box(shot.box, self.crop)
        shift = rng.normal(0.0, 0.04, 2) * fitted.sides
        zoom = float(np.exp(rng.normal(0.0, 0.1)))
        turn = float(rng.normal(0.0, 0.2)) if rng.random() < 0.4 else 0.0
        crop = Crop(
            (fitted.centre[0] + float(shift[0]), fitted.centre[1] + float(shift[1])),
            (fitted.sides[0] * zoom, fitted.sides[1] * zoom),
            self.crop,
            turn,
        )
        points = crop.inside(shot.keypoints).astype(np.float32)
        within = ((points >= 0) & (points < self.crop)).all(axis=1)
        picture = spoilt_picture(shot.picture, rng)
        return (
            smaller(crop.cut(picture), self.coarser[0]),
            points,
            (shot.scores * within).astype(np.float32),
        )

    def _scene(
        self, rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "S S 3"], Float[np.ndarray, "p 4"]]:
        """One person, nobody, or several beside each other, at any size."""
        kind = rng.random()
        if kind < 0.15:
            picture, boxes = self._empty(rng), []
        elif kind < 0.35:
            picture, boxes = self._group(rng)
        else:
            shot = self._drawn_shot(rng)
            shot = _drawn_part(shot, rng) if rng.random() < 0.6 else shot
            picture, boxes = _set_back(shot, rng)
        canvas, scale = letterbox(spoilt_picture(picture, rng), self.side)
        table = np.zeros((MOST_PEOPLE, 4), dtype=np.float32)
        for number, box in enumerate(boxes):
            table[number] = box * scale
        return smaller(canvas, self.coarser[1]), table

    def _group(
        self, rng: np.random.Generator
    ) -> tuple[UInt8[np.ndarray, "H W 3"], list[np.ndarray]]:
        pictures, boxes, left = [], [], 0
        for _ in range(int(rng.integers(2, MOST_PEOPLE + 1))):
            shot = _drawn_part(self._drawn_shot(rng), rng)
            height, before = len(self.poses.frames[0, 0]), shot.picture.shape
            width = max(round(before[1] * height / before[0]), 1)
            pictures.append(cv2.resize(shot.picture, (width, height)))
            factor = np.tile([width / before[1], height / before[0]], 2)
            boxes.append(shot.box * factor + np.array([left, 0, left, 0]))
            left += width
        return np.concatenate(pictures, axis=1), boxes

    def _empty(self, rng: np.random.Generator) -> UInt8[np.ndarray, "H W 3"]:
        """What is beside a person, or noise where the person leaves no room."""
        shot = self._drawn_shot(rng)
        height, width = shot.picture.shape[:2]
        x0, x1 = int(shot.box[0]) - 2, int(shot.box[2]) + 3
        left, right = (0, x0) if x0 > width - x1 else (x1, width)
        if right - left >= width // 6:
            return shot.picture[:, left:right]
        coarse = rng.integers(0, 256, (int(rng.integers(2, 12)), int(rng.integers(2, 12)), 3))
        return np.asarray(cv2.resize(coarse.astype(np.uint8), (width, height)), dtype=np.uint8)


def smaller(picture: UInt8[np.ndarray, "H W 3"], factor: int) -> UInt8[np.ndarray, "h w 3"]:
    """Each pixel the mean of `factor` times `factor`, as a network that pools would begin."""
    if factor == 1:
        return picture
    size = (picture.shape[1] // factor, picture.shape[0] // factor)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def spoilt_picture(
    picture: UInt8[np.ndarray, "H W 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "H W 3"]:
    """A picture in other light, from another camera, a little blurred, noisy or compressed."""
    values = picture.astype(np.float32) / 255
    if rng.random() < 0.8:
        values = values ** float(np.exp(rng.normal(0, 0.25)))
        values = (values - 0.5) * float(np.exp(rng.normal(0, 0.2))) + 0.5 + rng.normal(0, 0.07)
        grey = values.mean(axis=2, keepdims=True)
        values = grey + (values - grey) * float(rng.uniform(0.3, 1.4))
        values = values * np.exp(rng.normal(0, 0.06, 3))
    if rng.random() < 0.5:
        values = values[..., ::-1]
    if rng.random() < 0.3:
        values = cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.3:
        values = values + rng.normal(0, rng.uniform(0.01, 0.06), values.shape)
    spoilt = (np.asarray(values) * 255 + 0.5).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(15, 90))
        _, code = cv2.imencode(".jpg", spoilt, (cv2.IMWRITE_JPEG_QUALITY, quality))
        spoilt = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(spoilt)


def _drawn_part(shot: Shot, rng: np.random.Generator) -> Shot:
    """A window that holds at least a good part of the person."""
    height, width = shot.picture.shape[:2]
    x0, y0, x1, y1 = shot.box
    left = int(rng.uniform(0, x0 + 0.15 * (x1 - x0)))
    right = int(np.ceil(rng.uniform(x1 - 0.15 * (x1 - x0), width)))
    top = int(rng.uniform(0, y0 + 0.1 * (y1 - y0)))
    bottom = int(np.ceil(rng.uniform(y0 + 0.45 * (y1 - y0), height)))
    return shot.part(left, top, max(right, left + 8), max(bottom, top + 8))


def _set_back(
    shot: Shot, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "H W 3"], list[np.ndarray]]:
    """The picture with its edges drawn out, so that the person is smaller in it."""
    height, width = shot.picture.shape[:2]
    if rng.random() < 0.5:
        return shot.picture, [shot.box]
    left, right = (int(width * share) for share in rng.uniform(0, 0.6, 2))
    top, bottom = (int(height * share) for share in rng.uniform(0, 0.4, 2))
    grown = cv2.copyMakeBorder(shot.picture, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return np.asarray(grown, dtype=np.uint8), [shot.box + np.array([left, top, left, top])]
