"""Batches that teach a feature network: spoilt clips with their truth, and persons in pairs."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from quickstep.data.corruptions import (
    ORDER_CORRUPTIONS,
    PICTURE_CORRUPTIONS,
    TIME_CORRUPTIONS,
    corrupted,
    frame_order,
)
from quickstep.data.people import two_scenes
from quickstep.data.prepared import PreparedSet, pictures_to_video

CORRUPTIONS = (*PICTURE_CORRUPTIONS, *TIME_CORRUPTIONS)
"""The order of a batch's severities."""
FACE_MARGIN = 1.3
"""Side of a face crop, in sides of the box round the face's keypoints."""


@dataclass(frozen=True)
class FeatureBatches:
    """Clips of which most are spoilt, and pairs of pictures of one person in two rooms.

    Attributes:
        dances: the clips.
        people: clips made from `PeopleData`.
        scenes: clips of each person in it.
        lengths: frames of the clips in a batch; one length a batch, in turn.
        clips: clips a batch for each length.
        persons: persons a batch of whole pictures.
        faces: persons a batch of faces.
        face_side: side of the faces in pixels.
        cell: side in pixels of the cells that poses are told in.
        seed: which order of batches.
    """

    dances: PreparedSet
    people: PreparedSet
    scenes: int
    lengths: tuple[int, ...] = (16, 8)
    clips: tuple[int, ...] = (2, 4)
    persons: int = 6
    faces: int = 24
    face_side: int = 64
    cell: int = 8
    seed: int = 0

    def __post_init__(self):
        if not len(self.lengths) == len(self.clips) > 0:
            raise ValueError(
                "lengths and clips must have one entry each per length: got "
                f"{len(self.lengths)} and {len(self.clips)}"
            )
        available = self.dances.frames.shape[1] - 1
        if not 2 <= min(self.lengths) <= max(self.lengths) <= available:
            raise ValueError(
                f"lengths must be between 2 and the set's {available} frames: got {self.lengths}"
            )
        known = len(self.people) // self.scenes
        if not 2 <= max(self.persons, self.faces) <= known:
            raise ValueError(
                f"persons and faces must be between 2 and the set's {known} persons: got "
                f"{self.persons} and {self.faces}"
            )

    def batch(self, index: int) -> dict[str, Tensor]:
        """All that one step learns from.

        ``clips`` (b f 3 H W) in [-1, 1], the ``pose`` (b f 3 h w) and ``person`` (b f h w) that
        they show in [0, 1], the ``severity`` (b k) of all that is wrong with each, its ``speed``
        (b); ``portraits`` and ``faces`` (2n 3 H W), whose second half shows the persons of the
        first half elsewhere.
        """
        rng = np.random.default_rng((self.seed, index))
        kind = index % len(self.lengths)
        rows = rng.choice(len(self.dances), size=self.clips[kind], replace=False)
        clips = [self._clip(int(row), self.lengths[kind], rng) for row in rows]
        batch = {name: torch.stack([clip[name] for clip in clips]) for name in clips[0]}
        return batch | {
            "portraits": self._portraits(rng),
            "faces": self._faces(rng),
        }

    def _clip(self, row: int, num_frames: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """A clip, most often spoilt, with the truth about what it shows."""
        available = self.dances.frames.shape[1] - 1
        stride = int(rng.integers(1, (available - 1) // (num_frames - 1) + 1))
        start = int(rng.integers(1, available - (num_frames - 1) * stride + 1))
        moments = start + stride * np.arange(num_frames)
        severity = drawn_severities(rng)
        for name in ORDER_CORRUPTIONS:
            if severity[name] > 0:
                order = frame_order(name, num_frames, strength=severity[name], rng=rng)
                moments = moments[order]
        frames, poses = self.dances.frames[row, moments], self.dances.poses[row, moments]
        for name in ("jittered", "flickering", *PICTURE_CORRUPTIONS):
            state = int(rng.integers(2**32))
            frames = _spoilt(frames, name, severity[name], state)
            if name == "jittered":
                poses = _spoilt(poses, name, severity[name], state)
        pose = torch.from_numpy(poses).movedim(-1, -3).float().div(255)
        pose = functional.max_pool2d(pose, self.cell)
        return {
            "clips": pictures_to_video(torch.from_numpy(frames)),
            "pose": pose,
            "person": torch.from_numpy(self.dances.person[row, moments]).float().div(255),
            "severity": torch.tensor([severity[name] for name in CORRUPTIONS]),
            "speed": (pose[1:] - pose[:-1]).abs().mean().add(1e-3).log(),
        }

    def _pairs(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows and moments of ``count`` persons twice, in two of their scenes."""
        rows = np.concatenate(
            two_scenes(rng, count=count, clips=len(self.people), scenes=self.scenes)
        )
        return rows, rng.integers(self.people.frames.shape[1], size=2 * count)

    def _portraits(self, rng: np.random.Generator) -> Float[Tensor, "n 3 H W"]:
        rows, moments = self._pairs(self.persons, rng)
        pictures = pictures_to_video(torch.from_numpy(self.people.frames[rows, moments]))
        return _some_mirrored(pictures, rng)

    def _faces(self, rng: np.random.Generator) -> Float[Tensor, "n 3 S S"]:
        """Face crops of uncertain place and size, some of them a little spoilt."""
        rows, moments = self._pairs(self.faces, rng)
        frames = self.people.frames[rows, moments]
        for number in np.nonzero(rng.random(len(frames)) < 0.3)[0]:
            name = str(rng.choice(PICTURE_CORRUPTIONS))
            strength = float(rng.uniform(0.05, 0.3))
            frames[number] = corrupted(frames[number][None], name, strength=strength, rng=rng)[0]
        boxes = self.people.boxes[rows, moments]
        side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
        centre = (boxes[:, 2:] + boxes[:, :2]) / 2
        centre = centre + side[:, None] * rng.uniform(-0.08, 0.08, centre.shape)
        side = side * FACE_MARGIN * np.exp(rng.uniform(-0.15, 0.15, side.shape))
        crops = square_crops(
            pictures_to_video(torch.from_numpy(frames)),
            torch.from_numpy(centre).float(),
            torch.from_numpy(side).float(),
            size=self.face_side,
        )
        return _some_mirrored(crops, rng)


def drawn_severities(rng: np.random.Generator) -> dict[str, float]:
    """What is wrong with one clip: nothing, one thing of the pictures, of time, or both."""
    severity: dict[str, float] = {name: 0.0 for name in CORRUPTIONS}
    picture, time = rng.random(2)
    if picture < 0.5:
        severity[str(rng.choice(PICTURE_CORRUPTIONS))] = float(rng.uniform(0.05, 1))
    if time < 0.6:
        severity[str(rng.choice(TIME_CORRUPTIONS))] = float(rng.uniform(0.05, 1))
    return severity


def square_crops(
    pictures: Float[Tensor, "n 3 H W"],
    centre: Float[Tensor, "n 2"],
    side: Float[Tensor, " n"],
    *,
    size: int,
) -> Float[Tensor, "n 3 S S"]:
    """A square of each picture, resized bilinearly; pixels outside repeat the edge.

    Args:
        pictures: the pictures.
        centre: x and y of each square's centre in pixels.
        side: side of each square in pixels; not much above ``size``, or detail aliases.
        size: side of the result.
    """
    height, width = pictures.shape[-2:]
    offsets = (torch.arange(size) + 0.5) / size - 0.5
    x = (centre[:, :1] + offsets * side[:, None]) / width * 2 - 1
    y = (centre[:, 1:] + offsets * side[:, None]) / height * 2 - 1
    across = x[:, None, :].expand(-1, size, -1)
    down = y[:, :, None].expand(-1, -1, size)
    return functional.grid_sample(
        pictures, torch.stack([across, down], dim=-1), padding_mode="border", align_corners=False
    )


def _spoilt(frames: np.ndarray, name: str, strength: float, state: int) -> np.ndarray:
    return corrupted(frames, name, strength=strength, rng=np.random.default_rng(state))


def _some_mirrored(
    pictures: Float[Tensor, "n 3 H W"], rng: np.random.Generator
) -> Float[Tensor, "n 3 H W"]:
    chosen = torch.from_numpy(rng.random(len(pictures)) < 0.5)
    return torch.where(chosen[:, None, None, None], pictures.flip(-1), pictures)
