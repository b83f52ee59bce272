"""Attention processors for diffusers' layers: remember a reference's tokens, and attend to them.

What they need comes with the call (``cross_attention_kwargs``); they keep nothing themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from quickstep.networks.attention import (
    answer_of,
    attention,
    merge_heads,
    query_of,
    split_heads,
)
from quickstep.networks.champ.bank import SeenReferences
from quickstep.networks.face_tokens import DecoupledFaces, Faces, JoinedFaces


@dataclass(frozen=True)
class Told:
    """What a call tells the attention layers beside their input.

    Attributes:
        references: what frames attend to beside themselves; None when no clip has a reference.
        faces: face tokens of the clips; None when no clip has a face.
        remembered: where the reference network's tokens are put, by block.
    """

    references: SeenReferences | None = None
    faces: Faces | None = None
    remembered: dict[str, Tensor] | None = None


_NOTHING = Told()


class PlainAttention:
    """Scaled dot products. For attention to the image's token, and along the frames.

    The frames of a clip share one sequence where they attend to something that is the clip's.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "b n d"],
        encoder_hidden_states: Float[Tensor, "c m e"] | None = None,
        attention_mask: None = None,
        told: Told = _NOTHING,
    ) -> Float[Tensor, "b n d"]:
        """Attends to `encoder_hidden_states`, a row for each clip, or to the tokens themselves."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        tokens = _of_clips(hidden_states, len(context))
        return answer_of(attn, query_of(attn, tokens), context).reshape(hidden_states.shape)


class FaceAttention(nn.Module):
    """Attention to the image's token, and to a clip's face where one is told.

    Args:
        faces: how the face is attended to.
    """

    def __init__(self, faces: DecoupledFaces | JoinedFaces) -> None:
        super().__init__()
        self.faces, self.plain = faces, PlainAttention()

    def __call__(  # diffusers reads which arguments there are from here
        self,
        attn: Any,
        hidden_states: Float[Tensor, "b n d"],
        encoder_hidden_states: Float[Tensor, "c m e"] | None = None,
        attention_mask: None = None,
        told: Told = _NOTHING,
    ) -> Float[Tensor, "b n d"]:
        """Attends to `encoder_hidden_states` and to the faces, a row of both for each clip."""
        if told.faces is None or encoder_hidden_states is None:
            return self.plain(attn, hidden_states, encoder_hidden_states)
        tokens = _of_clips(hidden_states, len(encoder_hidden_states))
        found = self.faces(attn, tokens, encoder_hidden_states, told.faces)
        return found.reshape(hidden_states.shape)


class RememberingAttention(PlainAttention):
    """Self-attention of the reference network, which leaves its input behind.

    Args:
        name: of its block.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "b n d"],
        encoder_hidden_states: Float[Tensor, "b m e"] | None = None,
        attention_mask: None = None,
        told: Told = _NOTHING,
    ) -> Float[Tensor, "b n d"]:
        """Attends to the tokens themselves, which it puts into `told.remembered`."""
        if told.remembered is not None:
            told.remembered[self.name] = hidden_states
        return super().__call__(attn, hidden_states)


class ReferenceAttention(PlainAttention):
    """Self-attention whose keys and values are a frame's own and, beside them, its reference's.

    There are no further weights and no scale. A clip without a reference attends to itself.

    Args:
        name: of its block.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "b n d"],
        encoder_hidden_states: Float[Tensor, "b m e"] | None = None,
        attention_mask: None = None,
        told: Told = _NOTHING,
    ) -> Float[Tensor, "b n d"]:
        """Attends to the tokens themselves and to the reference of each frame's clip."""
        references = told.references
        if references is None:
            return super().__call__(attn, hidden_states)
        own = [layer(hidden_states) for layer in (attn.to_q, attn.to_k, attn.to_v)]
        seeing, alone = references.frames(told=True), references.frames(told=False)
        seen = references.bank.keys_and_values(self.name, attn)
        more = [references.for_frames(tokens) for tokens in seen]
        if not alone:
            return attn.to_out[0](_beside(own, more, heads=attn.heads))
        order = torch.tensor(seeing + alone, device=hidden_states.device)
        parts = [part[order].split([len(seeing), len(alone)]) for part in own]
        with_it = _beside([part[0] for part in parts], more, heads=attn.heads)
        without = attended(*(part[1] for part in parts), heads=attn.heads)
        return attn.to_out[0](torch.cat([with_it, without])[order.argsort()])


def attended(
    query: Float[Tensor, "b n d"],
    key: Float[Tensor, "b m d"],
    value: Float[Tensor, "b m d"],
    *,
    heads: int,
) -> Float[Tensor, "b n d"]:
    """What every query finds: multi-head scaled dot products."""
    parts = (split_heads(part, heads) for part in (query, key, value))
    return merge_heads(attention(*parts))


def _of_clips(tokens: Float[Tensor, "b n d"], clips: int) -> Float[Tensor, "c m d"]:
    """The tokens of all frames of a clip in a row."""
    return tokens.unflatten(0, (clips, -1)).flatten(1, 2)


def _beside(own: Sequence[Tensor], more: Sequence[Tensor], *, heads: int) -> Tensor:
    """What a frame's queries find among its own keys and values and further ones."""
    query, *found = own
    key, value = (
        torch.cat([one, another.to(one.dtype)], dim=1)
        for one, another in zip(found, more, strict=True)
    )
    return attended(query, key, value, heads=heads)
