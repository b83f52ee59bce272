"""Attention processors for diffusers' layers: remember a reference's tokens, and attend to them.

What they need comes with the call (``cross_attention_kwargs``); they keep nothing themselves.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.networks.attention import attention, merge_heads, split_heads
from quickstep.networks.champ.bank import SeenReferences


class PlainAttention:
    """Scaled dot products; a reference is not looked at. For attention to the image's token."""

    def __call__(
        self,
        attn: Any,
        hidden_states: Float[Tensor, "b n d"],
        encoder_hidden_states: Float[Tensor, "b m e"] | None = None,
        attention_mask: None = None,
        references: SeenReferences | None = None,
        remembered: dict[str, Tensor] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attends to `encoder_hidden_states`, or to the tokens themselves."""
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        return attn.to_out[0](attended(query, key, value, heads=attn.heads))


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
        references: SeenReferences | None = None,
        remembered: dict[str, Tensor] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attends to the tokens themselves, which it puts into `remembered`."""
        if remembered is not None:
            remembered[self.name] = hidden_states
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
        references: SeenReferences | None = None,
        remembered: dict[str, Tensor] | None = None,
    ) -> Float[Tensor, "b n d"]:
        """Attends to the tokens themselves and to the reference of each frame's clip."""
        if references is None:
            return super().__call__(attn, hidden_states)
        own = [layer(hidden_states) for layer in (attn.to_q, attn.to_k, attn.to_v)]
        told, alone = references.frames(told=True), references.frames(told=False)
        seen = references.bank.keys_and_values(self.name, attn)
        more = [references.for_frames(tokens) for tokens in seen]
        if not alone:
            return attn.to_out[0](_beside(own, more, heads=attn.heads))
        order = torch.tensor(told + alone, device=hidden_states.device)
        parts = [part[order].split([len(told), len(alone)]) for part in own]
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


def _beside(own: Sequence[Tensor], more: Sequence[Tensor], *, heads: int) -> Tensor:
    """What a frame's queries find among its own keys and values and further ones."""
    query, *found = own
    key, value = (
        torch.cat([one, another.to(one.dtype)], dim=1)
        for one, another in zip(found, more, strict=True)
    )
    return attended(query, key, value, heads=heads)
