"""Batches of a prepared set, each a pure function of its number: a resumed run sees the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from quickstep.data.encoded_clips import PreparedClips, drawn_batch
from quickstep.data.faces import PreparedFaces
from quickstep.data.people import two_scenes
from quickstep.data.prepared import PreparedSet, pictures_to_video

OF_REFERENCE = ("reference", "picture", "reference_pose", "image", "face", "face_found")
"""What a batch of clips says of the references, not of the dance."""


@dataclass(frozen=True)
class PictureBatches:
    """Single pictures with their face boxes, for autoencoders.

    Most batches are crops: an autoencoder without attention sees a neighbourhood only, and many
    small batches teach it faster than few large ones. Whole pictures keep the statistics of its
    norms right.

    Attributes:
        prepared: the set.
        batch_size: whole pictures a batch; a batch of crops has as many pixels.
        seed: which order of batches.
        crop: side of the crops in pixels.
        crop_share: share of the batches that are crops.
    """

    prepared: PreparedSet
    batch_size: int
    seed: int = 0
    crop: int = 64
    crop_share: float = 0.75

    def batch(self, index: int) -> dict[str, Tensor]:
        """``pictures`` (b 3 H W) in [-1, 1] and ``face`` (b 1 H W), 1 inside the face box."""
        rng = np.random.default_rng((self.seed, index))
        size = self.prepared.frames.shape[2]
        whole = rng.random() >= self.crop_share or self.crop >= size
        count = self.batch_size if whole else self.batch_size * (size // self.crop) ** 2
        rows = rng.integers(len(self.prepared), size=count)
        moments = rng.integers(self.prepared.frames.shape[1], size=count)
        pictures = pictures_to_video(torch.from_numpy(self.prepared.frames[rows, moments]))
        boxes = torch.from_numpy(self.prepared.boxes[rows, moments])
        if rng.random() < 0.5:
            pictures, boxes = mirrored(pictures, boxes)
        face = box_mask(boxes, size=size)
        if whole:
            return {"pictures": pictures, "face": face}
        corners = rng.integers(size - self.crop + 1, size=(count, 2))
        return {
            "pictures": cropped(pictures, corners, size=self.crop),
            "face": cropped(face, corners, size=self.crop),
        }


@dataclass(frozen=True)
class PersonBatches:
    """Two pictures each of several persons, in different poses and places, for image encoders.

    Attributes:
        prepared: the set.
        batch_size: persons a batch.
        seed: which order of batches.
        scenes: clips of each person in the set; with 1 both pictures show the same room, which is
            then all that has to be known.
    """

    prepared: PreparedSet
    batch_size: int
    seed: int = 0
    scenes: int = 1

    def __post_init__(self):
        known = len(self.prepared) // self.scenes
        if not 2 <= self.batch_size <= known:
            raise ValueError(
                f"batch_size must be between 2 and the set's {known} persons: got {self.batch_size}"
            )

    def batch(self, index: int) -> dict[str, Tensor]:
        """``first`` and ``second`` (b 3 H W) in [-1, 1] show the same persons.

        One of the two is shifted by up to an eighth of the picture and brightened or darkened,
        so that place and exposure do not tell persons apart.
        """
        rng = np.random.default_rng((self.seed, index))
        rows = two_scenes(rng, count=self.batch_size, clips=len(self.prepared), scenes=self.scenes)
        length = self.prepared.frames.shape[1]
        first = rng.integers(length, size=self.batch_size)
        second = (first + rng.integers(1, length, size=self.batch_size)) % length
        one, other = (
            pictures_to_video(torch.from_numpy(self.prepared.frames[some, moments]))
            for some, moments in zip(rows, (first, second), strict=True)
        )
        reach = one.shape[-1] // 8
        shift = rng.integers(-reach, reach + 1, size=2)
        light = float(rng.uniform(0.8, 1.2))
        other = torch.roll(other, tuple(int(part) for part in shift), dims=(-2, -1))
        return {"first": one, "second": (other * light).clamp(-1, 1)}


@dataclass(frozen=True)
class ClipBatches:
    """Encoded clips with their drawn skeletons, for teachers and students.

    A batch holds clips of one length; lengths alternate, with more clips where they are shorter,
    so that a network sees many persons and also whole dances.

    Attributes:
        prepared: the encoded set.
        lengths: numbers of frames, one of which is drawn for each batch; 1 for single frames.
        clips: clips a batch for each length; one told with several references counts as often.
        shares: how often each length is drawn; they are normalised.
        seed: which order of batches.
        any_reference: chance that the reference is another frame of the dance instead of the
            prepared one; it gives more pairs from the same clips.
        faces: the faces of the set, for networks that are told them.
        face_drop: chance that a clip is given as one without a face.
        references: with how many references each clip is told. Above 1 they are different frames
            of the clip's own source, none of them shown in the dance where enough are left, and
            the clips of a batch are `apart`.
        apart: whether the clips of a batch are of different videos and persons, as far as the set
            knows them, so that they can be held apart (CoSeC's cross-source pairs).
        pose_maps: Champ's maps of the set, for networks that are told them.
    """

    prepared: PreparedSet
    lengths: tuple[int, ...] = (4, 8, 16)
    clips: tuple[int, ...] = (8, 4, 2)
    shares: tuple[float, ...] = (0.5, 0.3, 0.2)
    seed: int = 0
    any_reference: float = 0.5
    faces: PreparedFaces | None = None
    face_drop: float = 0.0
    references: int = 1
    apart: bool = False
    pose_maps: UInt8[np.ndarray, "n g m H W 3"] | None = None

    def __post_init__(self):
        available = self.prepared.frames.shape[1] - 1
        expect_mix(
            lengths=self.lengths,
            clips=self.clips,
            shares=self.shares,
            num_frames=available,
            num_clips=len(self.prepared) * max(self.references, 1),
        )
        expect_reference_counts(self.clips, self.references, frames=available + 1)
        known = len(set(self.prepared.persons))
        if self._is_apart and max(self.clips) // self.references > known:
            raise ValueError(
                f"clips must be of different persons, and the set has {known}: got "
                f"{max(self.clips)} clips, each person with {self.references} references"
            )

    @property
    def _is_apart(self) -> bool:
        return self.apart or self.references > 1

    def batch(self, index: int) -> dict[str, Tensor]:
        """Latents, skeletons and what else a network is told; see `clips_at`.

        With several references, also ``group`` (b): clips of one number are one clip, told with
        different references.
        """
        rng = np.random.default_rng((self.seed, index))
        shares = np.asarray(self.shares) / sum(self.shares)
        kind = rng.choice(len(self.lengths), p=shares)
        return drawn_batch(
            PreparedClips(self.prepared, self.faces, self.pose_maps),
            self._rows(rng, count=self.clips[kind] // self.references),
            rng=rng,
            num_frames=self.lengths[kind],
            references=self.references,
            any_reference=self.any_reference,
            face_drop=self.face_drop,
        )

    def _rows(self, rng: np.random.Generator, *, count: int) -> np.ndarray:
        """Different clips, and of different persons where they are to be apart."""
        if not self._is_apart:
            return rng.choice(len(self.prepared), size=count, replace=False)
        order = rng.permutation(len(self.prepared))
        persons = [self.prepared.persons[row] for row in order]
        _, first = np.unique(persons, return_index=True)
        return order[np.sort(first)[:count]]

    def clips_at(
        self, rows: np.ndarray, moments: np.ndarray, references: np.ndarray
    ) -> dict[str, Tensor]:
        """The batch of given clips; see `quickstep.data.encoded_clips.Clips.clips_at`."""
        clips = PreparedClips(self.prepared, self.faces, self.pose_maps)
        return clips.clips_at(rows, moments, references)


def expect_reference_counts(clips: Sequence[int], references: int, *, frames: int) -> None:
    """Refuses numbers of references that batches cannot have.

    Args:
        clips: clips a batch for each length; one told with several references counts as often.
        references: with how many each is told.
        frames: what a clip can be told, its prepared reference among them.

    Raises:
        ValueError: there are fewer frames, or `clips` are not multiples.
    """
    if not 1 <= references <= frames:
        raise ValueError(
            f"references must be between 1 and the set's {frames} frames of a clip: "
            f"got {references}"
        )
    if any(count % references for count in clips):
        raise ValueError(
            "clips must be multiples of references, each reference counts as a clip: got "
            f"{clips} and {references}"
        )


def expect_mix(
    *,
    lengths: Sequence[int],
    clips: Sequence[int],
    shares: Sequence[float],
    num_frames: int | None = None,
    num_clips: int | None = None,
) -> None:
    """Refuses batches that cannot be drawn from a set, before the set is made.

    Args:
        lengths: as of `ClipBatches`.
        clips: likewise.
        shares: likewise.
        num_frames: frames of the set's clips, the reference not counted; None where they are not
            known yet, or differ.
        num_clips: clips of the set; None where they are not counted yet.

    Raises:
        ValueError: numbers that do not belong together, or a batch of more than there is.
    """
    if not len(lengths) == len(clips) == len(shares) > 0:
        raise ValueError(
            "clips.lengths, clips.clips and clips.shares must have one entry each per length: got "
            f"{len(lengths)}, {len(clips)} and {len(shares)}"
        )
    if min(*lengths, *clips) < 1:
        raise ValueError(
            f"clips.lengths and clips.clips must be at least 1: got {lengths} and {clips}"
        )
    if min(shares) < 0 or not sum(shares) > 0:
        raise ValueError(f"clips.shares must be 0 or more, and one above 0: got {shares}")
    for name, found, most, kind in (
        ("lengths", lengths, num_frames, "frames"),
        ("clips", clips, num_clips, "clips"),
    ):
        if most is not None and max(found) > most:
            raise ValueError(
                f"clips.{name} must be at most the data's {most} {kind}: got {max(found)}"
            )


def cropped(
    pictures: Float[Tensor, "b c H W"], corners: np.ndarray, *, size: int
) -> Float[Tensor, "b c h w"]:
    """A square of each picture, whose top left corner (row, column) is given."""
    return torch.stack(
        [
            picture[:, top : top + size, left : left + size]
            for picture, (top, left) in zip(pictures, corners.tolist(), strict=True)
        ]
    )


def mirrored(
    pictures: Float[Tensor, "b 3 H W"], boxes: Float[Tensor, "b 4"]
) -> tuple[Float[Tensor, "b 3 H W"], Float[Tensor, "b 4"]]:
    """Pictures and boxes seen in a mirror."""
    width = pictures.shape[-1]
    flipped = torch.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    return pictures.flip(-1), flipped


def box_mask(boxes: Float[Tensor, "b 4"], *, size: int) -> Float[Tensor, "b 1 H W"]:
    """1 at pixels whose centre lies in the box (x0 y0 x1 y1), 0 elsewhere."""
    centres = torch.arange(size) + 0.5
    across = (centres >= boxes[:, :1]) & (centres <= boxes[:, 2:3])
    down = (centres >= boxes[:, 1:2]) & (centres <= boxes[:, 3:])
    return (down[:, None, :, None] & across[:, None, None, :]).float()
