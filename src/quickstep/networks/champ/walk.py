"""The way through diffusers' U-Nets, which their own ``forward`` takes without letting us on it.

Walking it here lets references and pose maps come with the call, computes activations of whole
layers again in the backward pass where that is wanted (diffusers does so for residual blocks only),
and ends the reference network where nothing is read any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from quickstep.networks.champ.attention import PlainAttention, Told


@dataclass(frozen=True)
class Layer:
    """What comes between two skips: a residual block, a transformer, a motion module.

    Attributes:
        name: of the transformer, as ``down_blocks.0.attentions.0``; empty without one.
        resnet: the residual block, if there is one.
        attention: the spatial transformer, if there is one.
        motion: the transformer along the frames, if there is one.
    """

    name: str = ""
    resnet: nn.Module | None = None
    attention: nn.Module | None = None
    motion: nn.Module | None = None


def walk(
    unet: Any,
    hidden: Float[Tensor, "b c h w"],
    layer: Callable[[Layer, Tensor], Tensor],
) -> Float[Tensor, "b c h w"]:
    """Runs a U-Net of diffusers from behind its first convolution to before its output layers.

    Sides that do not halve evenly are brought back to the skips' own on the way up.

    Args:
        unet: a `UNet2DConditionModel` or a `UNetMotionModel`.
        hidden: what the first convolution made.
        layer: runs one layer.
    """
    skips = [hidden]
    for number, block in enumerate(unet.down_blocks):
        for each in _layers(block, f"down_blocks.{number}"):
            hidden = layer(each, hidden)
            skips.append(hidden)
        for downsampler in block.downsamplers or ():
            hidden = downsampler(hidden)
            skips.append(hidden)
    for each in _middle(unet.mid_block):
        hidden = layer(each, hidden)
    for number, block in enumerate(unet.up_blocks):
        for each in _layers(block, f"up_blocks.{number}"):
            hidden = layer(each, torch.cat([hidden, skips.pop()], dim=1))
        for upsampler in block.upsamplers or ():
            hidden = upsampler(hidden, output_size=skips[-1].shape[-2:])
    return hidden


def transformer_names(unet: Any) -> list[str]:
    """Names of the spatial transformers in the order of the way."""
    blocks = [
        *(each for n, b in enumerate(unet.down_blocks) for each in _layers(b, f"down_blocks.{n}")),
        *_middle(unet.mid_block),
        *(each for n, b in enumerate(unet.up_blocks) for each in _layers(b, f"up_blocks.{n}")),
    ]
    return [each.name for each in blocks if each.name]


def set_attention(unet: Any, kind: type[Any]) -> None:
    """Gives the spatial transformers' self-attention processors of `kind`, the rest plain ones."""
    for name in transformer_names(unet):
        for block in unet.get_submodule(name).transformer_blocks:
            block.attn1.set_processor(kind(name))
            block.attn2.set_processor(PlainAttention())


def time_embedding(unet: Any, t: Int[Tensor, " b"]) -> Float[Tensor, "b d"]:
    """The embedding of the times, as all residual blocks are given it."""
    return unet.time_embedding(unet.time_proj(t).to(unet.conv_in.weight.dtype))


def attend(
    attention: Any, hidden: Float[Tensor, "g c h w"], tokens: Float[Tensor, "b n d"], told: Told
) -> Float[Tensor, "g c h w"]:
    """Runs a spatial transformer on all frames of `b` clips."""
    return attention(
        hidden,
        encoder_hidden_states=tokens,
        cross_attention_kwargs={"told": told},
        return_dict=False,
    )[0]


def _layers(block: Any, name: str) -> Iterator[Layer]:
    count = len(block.resnets)
    attentions = getattr(block, "attentions", None) or [None] * count
    motions = getattr(block, "motion_modules", None) or [None] * count
    for number, parts in enumerate(zip(block.resnets, attentions, motions, strict=True)):
        resnet, attention, motion = parts
        own = f"{name}.attentions.{number}" if attention is not None else ""
        yield Layer(own, resnet, attention, motion)


def _middle(block: Any) -> Iterator[Layer]:
    motions = getattr(block, "motion_modules", None) or [None] * len(block.attentions)
    yield Layer(resnet=block.resnets[0])
    for number, attention in enumerate(block.attentions):
        own = f"mid_block.attentions.{number}"
        yield Layer(own, attention=attention, motion=motions[number])
        yield Layer(resnet=block.resnets[number + 1])
