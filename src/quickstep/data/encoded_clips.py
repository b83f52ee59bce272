"""Encoded clips by number, of a set or of shards, and pieces of them drawn for a batch."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from quickstep.data.faces import PreparedFaces
from quickstep.data.prepared import PreparedSet
from quickstep.losses.motion import moving_cells


@runtime_checkable
class Clips(Protocol):
    """Encoded clips by number. Frame 0 of a clip is its reference, 1 the first of the dance."""

    def __len__(self) -> int:
        """How many clips there are."""
        ...

    def num_frames(self, row: int) -> int:
        """Frames of a clip's dance."""
        ...

    def pictures_at(
        self, rows: Int[np.ndarray, " b"], moments: Int[np.ndarray, "b n"]
    ) -> UInt8[np.ndarray, "b n H W 3"]:
        """Some frames of some clips."""
        ...

    def clips_at(
        self, rows: np.ndarray, moments: np.ndarray, references: np.ndarray
    ) -> dict[str, Tensor]:
        """The batch of given clips (``rows``), frames (b f) and reference frames (b).

        It holds ``latents``, ``reference``, ``picture``, ``pose``, ``reference_pose``,
        ``image``, ``person``, and ``motion``, the cells that move from one of these frames to
        the next; where faces are known also ``face`` and ``face_found``, and with Champ's maps
        ``pose_maps``.
        """
        ...


@dataclass(frozen=True)
class PreparedClips:
    """The clips of an encoded set.

    Attributes:
        prepared: the set.
        faces: its faces, for networks that are told them.
        pose_maps: Champ's maps of the set, for networks that are told those.
    """

    prepared: PreparedSet
    faces: PreparedFaces | None = None
    pose_maps: UInt8[np.ndarray, "n g m H W 3"] | None = None

    def __len__(self) -> int:
        return len(self.prepared)

    def num_frames(self, row: int) -> int:
        """The same for all."""
        return self.prepared.frames.shape[1] - 1

    def pictures_at(
        self, rows: Int[np.ndarray, " b"], moments: Int[np.ndarray, "b n"]
    ) -> UInt8[np.ndarray, "b n H W 3"]:
        """As `Clips` says."""
        return self.prepared.frames[rows[:, None], moments]

    def clips_at(
        self, rows: np.ndarray, moments: np.ndarray, references: np.ndarray
    ) -> dict[str, Tensor]:
        """As `Clips` says."""
        prepared, across = self.prepared, rows[:, None]
        frames = torch.from_numpy(prepared.frames[across, moments])
        cell = frames.shape[2] // prepared.person.shape[2]
        batch = {
            "latents": torch.from_numpy(prepared.latents[across, moments]).float(),
            "reference": torch.from_numpy(prepared.latents[rows, references]).float(),
            "picture": torch.from_numpy(prepared.frames[rows, references]),
            "pose": torch.from_numpy(prepared.poses[across, moments]),
            "reference_pose": torch.from_numpy(prepared.poses[rows, references]),
            "image": torch.from_numpy(prepared.images[rows, references])[:, None].float(),
            "person": torch.from_numpy(prepared.person[across, moments]).float().div(255),
            "motion": moving_cells(frames, cell=cell).float(),
        }
        if self.pose_maps is not None:
            batch["pose_maps"] = torch.from_numpy(self.pose_maps[across, moments])
        if self.faces is not None:
            batch["face"] = torch.from_numpy(self.faces.features[rows]).float()
            batch["face_found"] = torch.from_numpy(self.faces.found[rows])
        return batch


def drawn_batch(
    clips: Clips,
    rows: Int[np.ndarray, " r"],
    *,
    rng: np.random.Generator,
    num_frames: int,
    references: int,
    any_reference: float,
    face_drop: float,
    max_stride: int | None = None,
) -> dict[str, Tensor]:
    """Pieces of some clips, at drawn strides and places.

    `quickstep.data.batches.ClipBatches` says which references.

    Args:
        clips: where they are.
        rows: which.
        rng: where all is drawn from.
        num_frames: frames of each piece.
        references: with how many references each is told.
        any_reference: chance that the prepared reference is not taken.
        face_drop: chance that a clip is given as one without a face.
        max_stride: no larger stride is drawn.
    """
    moments, chosen = [], list[int]()
    for row in rows:
        available = clips.num_frames(int(row))
        largest = (available - 1) // max(num_frames - 1, 1)
        largest = largest if max_stride is None else min(largest, max_stride)
        stride = int(rng.integers(1, largest + 1))
        start = int(rng.integers(0, available - (num_frames - 1) * stride))
        moments.append(1 + start + stride * np.arange(num_frames))
        chosen += _references(
            rng,
            count=references,
            any_reference=any_reference,
            shown=moments[-1],
            available=available,
        )
    shown = np.stack(moments).repeat(references, 0)
    batch = clips.clips_at(rows.repeat(references), shown, np.asarray(chosen))
    if "face_found" in batch:
        kept = rng.random(len(rows)) >= face_drop
        batch["face_found"] &= torch.from_numpy(kept.repeat(references))
    if references > 1:
        batch["group"] = torch.arange(len(rows)).repeat_interleave(references)
    return batch


def _references(
    rng: np.random.Generator,
    *,
    count: int,
    any_reference: float,
    shown: Int[np.ndarray, " f"],
    available: int,
) -> list[int]:
    """The frames that a clip is told as its references."""
    if count == 1:
        other = rng.random() < any_reference
        return [int(rng.integers(1, available + 1)) if other else 0]
    free = np.setdiff1d(np.arange(available + 1), shown)
    if len(free) < count:
        free = np.arange(available + 1)
    drawn = rng.choice(free, size=count, replace=False).tolist()
    if rng.random() < any_reference:
        return drawn
    return [0, *(frame for frame in drawn if frame)][:count]
