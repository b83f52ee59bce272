"""Attention as all families of networks compute it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_LONG = 512


def attention(
    query: Float[Tensor, "*s q d"],
    key: Float[Tensor, "*s k d"],
    value: Float[Tensor, "*s k d"],
    *,
    bias: Float[Tensor, "*_"] | None = None,
) -> Float[Tensor, "*s q d"]:
    """Softmax attention scaled by the root of the head's width; `bias` is added to its logits.

    In bfloat16 on CPU, fused attention loses to plain matrix products (up to ten times in training)
    until the matrix of weights outgrows the caches; in float32 it is ahead of them where
    the matrix is large, and about even where it is small (`benchmarks/attention.py`).
    """
    products = query.dtype == torch.bfloat16 and key.device.type == "cpu"
    if not products or key.shape[-2] > _LONG:
        mask = None if bias is None else bias.to(query.dtype)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    shape, scale = query.shape, query.shape[-1] ** -0.5
    query, key, value = (part.reshape(-1, *part.shape[-2:]) for part in (query, key, value))
    logits = torch.bmm(query * scale, key.transpose(1, 2))
    if bias is not None:
        logits = (logits.view(*shape[:-1], -1) + bias).view(logits.shape)
    return torch.bmm(logits.softmax(-1).to(value.dtype), value).view(shape)


def split_heads(x: Float[Tensor, "*s n e"], heads: int) -> Float[Tensor, "*s g n d"]:
    """Cuts the last axis into heads and puts them before the sequence."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: Float[Tensor, "*s g n d"]) -> Float[Tensor, "*s n e"]:
    """The inverse of `split_heads`."""
    return x.transpose(-3, -2).flatten(-2)


def query_of(layer: Any, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b g n k"]:
    """What each of `n` asks, by heads.

    Args:
        layer: an attention layer of any family, with ``to_q``, ``to_k``, ``to_v``, ``to_out`` and
            ``heads``.
        x: the tokens that ask.
    """
    return split_heads(layer.to_q(x), layer.heads)


def answer_of(
    layer: Any,
    query: Float[Tensor, "b g n k"],
    context: Float[Tensor, "b m e"],
    *,
    bias: Float[Tensor, "*_"] | None = None,
) -> Float[Tensor, "b n d"]:
    """What `context` answers through a layer (see `query_of`); `bias` is added to the logits."""
    key, value = (split_heads(part(context), layer.heads) for part in (layer.to_k, layer.to_v))
    return layer.to_out[0](merge_heads(attention(query, key, value, bias=bias)))
