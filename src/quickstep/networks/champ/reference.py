"""Champ's reference network: reads a picture once and leaves its tokens in a bank."""

import functools
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from quickstep.networks.champ.attention import RememberingAttention, Told
from quickstep.networks.champ.bank import ReferenceBank
from quickstep.networks.champ.walk import (
    Layer,
    attend,
    set_attention,
    time_embedding,
    transformer_names,
    walk,
)


class ReferenceUNet(UNet2DConditionModel):
    """Reads a reference picture once; what its transformers hold is read by the denoiser.

    The arguments are diffusers'. The checkpoint has no output layers, and what comes behind the
    last tokens that are read never runs, though the checkpoint has it.
    """

    @functools.wraps(UNet2DConditionModel.__init__)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conv_norm_out = self.conv_out = None  # type: ignore[assignment]
        self.names = transformer_names(self)
        set_attention(self, RememberingAttention)
        self.freeze_unread()

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, reference: Float[Tensor, "r c h w"], tokens: Float[Tensor, "r n d"]
    ) -> ReferenceBank:
        """The references' tokens at every transformer, seen at time 0, without noise.

        Args:
            reference: scaled latents of the reference pictures.
            tokens: their image tokens.
        """
        weights = self.conv_in.weight
        tokens = tokens.to(weights.dtype)
        times = torch.zeros(len(reference), dtype=torch.long, device=reference.device)
        embedding = time_embedding(self, times)
        remembered: dict[str, Tensor] = {}

        def layer(each: Layer, hidden: Tensor) -> Tensor:
            if each.resnet is not None:
                hidden = each.resnet(hidden, embedding)
            if each.name == self.names[-1]:
                remembered[each.name] = _tokens_of(each.attention, hidden)
            elif each.attention is not None:
                hidden = attend(each.attention, hidden, tokens, Told(remembered=remembered))
            return hidden

        walk(self, self.conv_in(reference.to(weights.dtype)), layer)
        return ReferenceBank({name: remembered[name] for name in self.names})

    def freeze_unread(self) -> None:
        """Lets what comes behind the last tokens that are read take no gradient."""
        last: Any = self.get_submodule(self.names[-1])
        block = last.transformer_blocks[0]
        for part in (block.attn1, block.norm2, block.attn2, block.norm3, block.ff, last.proj_out):
            part.requires_grad_(False)


def _tokens_of(attention: Any, hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n c"]:
    """What a transformer's first self-attention is given."""
    tokens = attention.proj_in(attention.norm(hidden)).flatten(2).transpose(1, 2)
    return attention.transformer_blocks[0].norm1(tokens)
