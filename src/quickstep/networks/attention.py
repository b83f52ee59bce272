"""Attention as all families of networks compute it."""

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

    On CPU, fused attention loses to plain matrix products (up to ten times in training) until
    the matrix of weights outgrows the caches; only float32 without gradients is about even.
    """
    gains = torch.is_grad_enabled() or query.dtype == torch.bfloat16
    if key.device.type != "cpu" or key.shape[-2] > _LONG or not gains:
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
