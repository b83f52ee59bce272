"""What Champ's denoiser is told, and what its encoders make of it once a clip."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from quickstep.networks.champ.bank import NONE, ReferenceBank, SeenReferences
from quickstep.networks.face_tokens import Faces

POSE_MAPS = ("depth", "normal", "semantic_map", "dwpose")
"""Champ's maps, in the order of its settings."""


@dataclass(frozen=True, kw_only=True)
class ChampConditions:
    """What the network is told about a batch of clips.

    Attributes:
        image: projected CLIP embedding of the reference picture, one token.
        reference: scaled latents of the reference picture.
        pose_maps: a picture in [0, 1] for every map and frame, 8 pixels to a latent cell; the maps
            in the order of the network's ``pose_maps``. None for none.
        bank: what the reference network made of the references before, so that it need not run.
        is_still: the frames are pictures that do not follow each other: motion modules are left
            out, as in Champ's first stage.
        face: scaled latents (c h w) of the reference's face, or its image embeddings (n d),
            whichever the denoiser was made for. One without face tokens does not look at it.
        face_found: which clips have a face; None means that all have.
    """

    image: Float[Tensor, "b 1 d"]
    reference: Float[Tensor, "r c h w"] | None = None
    pose_maps: Float[Tensor, "p f m 3 H W"] | None = None
    bank: ReferenceBank | None = None
    is_still: bool = False
    face: Float[Tensor, "q ..."] | None = None
    face_found: Bool[Tensor, " q"] | None = None


@dataclass(frozen=True, kw_only=True)
class ChampFeatures:
    """The encoded conditions of a batch of clips, for any denoiser of the same shape.

    Attributes:
        tokens: the image's token, zero where it is dropped.
        pose: sum of the encoded pose maps, added behind the denoiser's first convolution; never
            dropped. None for none.
        bank: the references.
        told: the row of each clip's reference in `bank`, -1 for none.
        reference: latents of the reference, for a network that is told them in every frame.
        is_still: see `ChampConditions`.
        face: the faces as they were given; every denoiser makes its own tokens of them.
        face_tokens: what a denoiser's `encode` made of them; None for one that is not told.
        edge: the time to land on, for a denoiser that is told it (`DenoisingUNet.tell_edge`). No
            condition of the clip, and never dropped.
    """

    tokens: Float[Tensor, "b 1 d"]
    pose: Float[Tensor, "b f c h w"] | None = None
    bank: ReferenceBank | None = None
    told: tuple[int, ...]
    reference: Float[Tensor, "b e h w"] | None = None
    is_still: bool = False
    face: Faces | None = None
    face_tokens: Faces | None = None
    edge: Int[Tensor, " b"] | None = None

    def seen(self, num_frames: int) -> SeenReferences | None:
        """The references as the frames of the clips see them; None when no clip has one."""
        if self.bank is None or all(row == NONE for row in self.told):
            return None
        return SeenReferences(self.bank, self.told, num_frames)

    def dropped(self) -> "ChampFeatures":
        """The unconditional branch: no reference and a zero image token; pose maps are kept."""
        return replace(
            self,
            tokens=torch.zeros_like(self.tokens),
            told=(NONE,) * len(self.tokens),
            reference=None if self.reference is None else torch.zeros_like(self.reference),
            face=None,
            face_tokens=None,
        )

    def drop(self, mask: Bool[Tensor, " b"]) -> "ChampFeatures":
        """The same for the clips where `mask` is True."""
        gone, reference = mask.tolist(), self.reference
        if reference is not None:
            reference = reference.masked_fill(mask[:, None, None, None], 0)
        return replace(
            self,
            tokens=self.tokens.masked_fill(mask[:, None, None], 0),
            told=tuple(NONE if drop else row for drop, row in zip(gone, self.told, strict=True)),
            reference=reference,
            face=None if self.face is None else self.face.drop(mask),
            face_tokens=None if self.face_tokens is None else self.face_tokens.drop(mask),
        )

    def rows(self, index: Int[Tensor, " n"]) -> "ChampFeatures":
        """The features of some clips, in the order of `index`; they share the bank."""
        return replace(
            self,
            tokens=self.tokens[index],
            pose=None if self.pose is None else self.pose[index],
            told=tuple(self.told[clip] for clip in index.tolist()),
            reference=None if self.reference is None else self.reference[index],
            face=None if self.face is None else self.face.rows(index),
            face_tokens=None if self.face_tokens is None else self.face_tokens.rows(index),
            edge=None if self.edge is None else self.edge[index],
        )

    def swapped(self, clips: Int[Tensor, " n"], references: Int[Tensor, " n"]) -> "ChampFeatures":
        """Some clips, each told with the reference of another; the bank is read as it is."""
        own = self.rows(clips)
        return replace(self.rows(references), pose=own.pose, edge=own.edge)

    @staticmethod
    def cat(features: Sequence["ChampFeatures"]) -> "ChampFeatures":
        """One batch out of several. Those of one bank keep it, with what it has projected."""
        banks = list(
            {id(item.bank): item.bank for item in features if item.bank is not None}.values()
        )
        starts, start = {}, 0
        for bank in banks:
            starts[id(bank)] = start
            start += len(bank)
        rows = [
            NONE if row == NONE else row + starts[id(item.bank)]
            for item in features
            for row in item.told
        ]
        counts = [len(item.tokens) for item in features]
        return ChampFeatures(
            tokens=torch.cat([item.tokens for item in features]),
            pose=_joined([item.pose for item in features], "pose maps"),
            bank=ReferenceBank.cat(banks) if banks else None,
            told=tuple(rows),
            reference=_joined([item.reference for item in features], "reference latents"),
            is_still=features[0].is_still,
            face=Faces.cat([item.face for item in features], counts=counts),
            face_tokens=Faces.cat([item.face_tokens for item in features], counts=counts),
            edge=_joined([item.edge for item in features], "edges"),
        )


def _joined(parts: Sequence[Tensor | None], name: str) -> Tensor | None:
    given = [part for part in parts if part is not None]
    if given and len(given) < len(parts):
        raise ValueError(f"either all or none of the features joined must have {name}")
    return torch.cat(given) if given else None
