"""The reference's face as tokens, and two ways into the network's cross-attention.

DanceLCM (section 3.2) concatenates features of the face with those of the picture and attends to
both. Taken as written that is no neutral start: tokens that mean nothing yet draw attention away
from the picture's. Here a new layer changes nothing before it has learned (`DecoupledFaces`) or
next to nothing (`JoinedFaces`).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from quickstep.networks.attention import answer_of, attention, merge_heads, query_of, split_heads

FEATURES = ("vae", "clip")
INJECTIONS = ("decoupled", "joined")
START_BIAS = -8.0
"""Of the face tokens' logits: 256 of them beside 81 others then draw 0.1 % of the attention."""


class Faces(NamedTuple):
    """What is known of the faces of a batch of clips."""

    values: Float[Tensor, "b ..."]
    """Latents, image embeddings or tokens; what stands where no face was found is not looked at."""

    found: Bool[Tensor, " b"]
    """Which clips have a face."""

    @staticmethod
    def of(values: Tensor | None, found: Tensor | None) -> "Faces | None":
        """The faces that were given, if any; where `found` is None all clips have one."""
        if values is None:
            return None
        if found is None:
            found = torch.ones(len(values), dtype=torch.bool, device=values.device)
        return Faces(values, found)

    def drop(self, mask: Bool[Tensor, " b"]) -> "Faces":
        """Takes them away from the clips where `mask` is True."""
        return Faces(self.values, self.found & ~mask)

    def rows(self, index: Int[Tensor, " n"]) -> "Faces":
        """Those of some clips, in the order of `index`."""
        return Faces(self.values[index], self.found[index])

    @staticmethod
    def cat(parts: Sequence["Faces | None"], *, counts: Sequence[int]) -> "Faces | None":
        """Those of several batches; a batch without has zeros, marked as not found.

        Args:
            parts: the batches'.
            counts: clips of each batch.
        """
        known = next((part.values for part in parts if part is not None), None)
        if known is None:
            return None
        whole = [
            part
            if part is not None
            else Faces(
                known.new_zeros(count, *known.shape[1:]),
                torch.zeros(count, dtype=torch.bool, device=known.device),
            )
            for part, count in zip(parts, counts, strict=True)
        ]
        values, found = zip(*whole, strict=True)
        return Faces(torch.cat(values), torch.cat(found))


class FaceEncoder(nn.Module):
    """A face's latents, or its image embedding, to tokens: linear, layer norm, learned places.

    Args:
        shape: (c, h, w) of the latents, or (n, d) of the embeddings.
        patch: side of the squares of cells that make a token; of embeddings, the number of tokens
            that each makes.
        width: of the tokens.
    """

    def __init__(self, shape: tuple[int, ...], *, patch: int, width: int) -> None:
        super().__init__()
        self.shape, self.patch = shape, patch
        if len(shape) == 3:
            channels, height, across = shape
            num_tokens, self.each = height * across // patch**2, 1
            self.proj = nn.Linear(channels * patch**2, width)
        else:
            num_tokens, self.each = shape[0] * patch, patch
            self.proj = nn.Linear(shape[1], patch * width)
        self.norm = nn.LayerNorm(width)
        self.position = nn.Parameter(0.02 * torch.randn(num_tokens, width))

    def forward(self, face: Float[Tensor, "b ..."]) -> Float[Tensor, "b n d"]:
        """Tokens, row by row of the latents.

        Raises:
            ValueError: the face is of another shape than the network was made for.
        """
        if tuple(face.shape[1:]) != self.shape:
            raise ValueError(
                f"face must have the shape {self.shape} for each clip: got {tuple(face.shape[1:])}"
            )
        parts = patches(face, self.patch) if face.ndim == 4 else face
        tokens = self.proj(parts).unflatten(-1, (self.each, -1)).flatten(1, 2)
        return self.norm(tokens) + self.position


class DecoupledFaces(nn.Module):
    """A second cross-attention, to the face alone; its output starts at zero and is added.

    The queries are the first one's, the keys, values and output are its own, so the network with
    a fresh layer gives the very bits of the network without.
    """

    def __init__(self, width: int, *, context_width: int) -> None:
        super().__init__()
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def forward(
        self,
        attend: Any,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m e"],
        faces: Faces,
    ) -> Float[Tensor, "b n d"]:
        """What `attend` makes of the picture's tokens, and this layer of the face's."""
        query = query_of(attend, x)
        tokens = faces.values.to(context)
        key, value = (split_heads(layer(tokens), attend.heads) for layer in (self.to_k, self.to_v))
        seen = self.to_out(merge_heads(attention(query, key, value)))
        return answer_of(attend, query, context) + seen.masked_fill(~faces.found[:, None, None], 0)


class JoinedFaces(nn.Module):
    """One cross-attention to picture and face, as the paper has it, with a bias on the face.

    The bias is learned, one a layer, and starts so low that the face hardly counts. A clip without
    a face has a bias of minus infinity there: its other tokens lose nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((1,), START_BIAS))

    def forward(
        self,
        attend: Any,
        x: Float[Tensor, "b n d"],
        context: Float[Tensor, "b m e"],
        faces: Faces,
    ) -> Float[Tensor, "b n d"]:
        """What `attend` makes of both."""
        tokens, found = faces
        batch, known = context.shape[:2]
        bias = self.bias.expand(batch, tokens.shape[1]).masked_fill(~found[:, None], -torch.inf)
        bias = torch.cat([bias.new_zeros(batch, known), bias], dim=1)
        both = torch.cat([context, tokens.to(context)], dim=1)
        return answer_of(attend, query_of(attend, x), both, bias=bias[:, None, None])


def face_encoder(
    config: Any, *, channels: int, image_width: int, width: int, num_image_tokens: int
) -> FaceEncoder | None:
    """The encoder that a network's config asks for, if any.

    Args:
        config: the network's: ``face_feature``, ``face_inject``, ``face_cells``, ``face_patch``.
        channels: of the latents.
        image_width: of the image embedding.
        width: of the tokens that the network attends to.
        num_image_tokens: tokens that it makes of the reference's embedding, and of a face's.

    Raises:
        ValueError: a setting is unknown or the patches do not fill the face.
    """
    if config.face_feature is None:
        return None
    for name, allowed in (("face_feature", FEATURES), ("face_inject", INJECTIONS)):
        if (value := getattr(config, name)) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}: got {value!r}")
    if config.face_feature == "clip":
        return FaceEncoder((1, image_width), patch=num_image_tokens, width=width)
    cells, patch = config.face_cells, config.face_patch
    if cells < 1 or patch < 1 or cells % patch:
        raise ValueError(
            f"face_cells must be a positive multiple of face_patch={patch}: got {cells}"
        )
    return FaceEncoder((channels, cells, cells), patch=patch, width=width)


def face_layer(
    config: Any, width: int, *, context_width: int
) -> DecoupledFaces | JoinedFaces | None:
    """What a spatial transformer of `width` gets from a network's config, if anything."""
    if config.face_feature is None:
        return None
    if config.face_inject == "joined":
        return JoinedFaces()
    return DecoupledFaces(width, context_width=context_width)


def patches(latents: Float[Tensor, "b c h w"], side: int) -> Float[Tensor, "b n d"]:
    """Squares of `side` x `side` cells, row by row, each as its channels' cells in a row."""
    squares = latents.unflatten(-1, (-1, side)).unflatten(-3, (-1, side))
    return squares.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
