"""Transformers of UniAnimate's network: over the cells of a frame, and over the frames of a cell.

An activation of the network is ``b f d h w``, contiguous. Group norms on CPU are many times
faster so than channels-last, and frames and channels swap at the price of a plain copy.
"""

from typing import Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quickstep.networks.attention import answer_of, attention, merge_heads, query_of, split_heads
from quickstep.networks.face_tokens import Faces


class Guide(NamedTuple):
    """What every layer of the network may look at beside the activation."""

    embedding: Float[Tensor, "b e"]
    """Of the timestep."""
    tokens: Float[Tensor, "b n t"]
    """Empty text and image."""
    faces: Faces | None = None
    """Tokens of the reference's face; None when no clip of the batch has one."""


class FrameAttention(nn.Module):
    """Self-attention along the last axis but one, with one projection for q, k and v."""

    def __init__(self, width: int, *, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * heads * head_dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(heads * head_dim, width))

    def forward(self, x: Float[Tensor, "*s n d"]) -> Float[Tensor, "*s n d"]:
        """Attends within each sequence."""
        query, key, value = self.to_qkv(x).chunk(3, dim=-1)
        mixed = attention(*(split_heads(part, self.heads) for part in (query, key, value)))
        return self.to_out(merge_heads(mixed))


class Attention(nn.Module):
    """Multi-head attention with separate projections, to itself or to a context."""

    def __init__(
        self, width: int, *, heads: int, head_dim: int, context_width: int | None = None
    ) -> None:
        super().__init__()
        inner, context_width = heads * head_dim, context_width or width
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(context_width, inner, bias=False)
        self.to_v = nn.Linear(context_width, inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, width))

    def forward(
        self, x: Float[Tensor, "b n d"], context: Float[Tensor, "b m e"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Each of `n` looks at `context`, or at its own sequence."""
        return answer_of(self, query_of(self, x), x if context is None else context)


class HalvesLinear(nn.Linear):
    """A linear layer whose output is wanted in two halves."""

    def forward(self, input: Tensor, *, halves: bool = False) -> Any:
        """The output; with `halves` the halves of its last axis, each contiguous."""
        if not halves:
            return super().forward(input)
        low, high = (None, None) if self.bias is None else self.bias.chunk(2)
        first, second = self.weight.chunk(2)
        return functional.linear(input, first, low), functional.linear(input, second, high)


class GatedProjection(nn.Module):
    """GEGLU: value times gelu(gate)."""

    def __init__(self, width: int, *, hidden: int) -> None:
        super().__init__()
        self.proj = HalvesLinear(width, 2 * hidden)

    def forward(self, x: Float[Tensor, "*s d"]) -> Float[Tensor, "*s e"]:
        """Projects and gates."""
        if type(self.proj) is HalvesLinear and not self.proj._forward_hooks:
            # Two products leave both halves contiguous, which speeds all that follows. A layer
            # put in place of `proj`, or one that an adapter adds to, is called as a whole.
            value, gate = self.proj(x, halves=True)
        else:
            value, gate = self.proj(x).chunk(2, dim=-1)
        return value * functional.gelu(gate)


class FeedForward(nn.Module):
    """A gated layer of four times the width, and back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            GatedProjection(width, hidden=4 * width), nn.Identity(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Float[Tensor, "*s d"]) -> Float[Tensor, "*s d"]:
        """Maps each token on its own."""
        return self.net(x)


class TransformerBlock(nn.Module):
    """Two attentions and a feed-forward layer, each after a layer norm and added to its input."""

    def __init__(self, width: int, *, heads: int, head_dim: int, context_width: int | None) -> None:
        super().__init__()
        self.attn1 = Attention(width, heads=heads, head_dim=head_dim)
        self.ff = FeedForward(width)
        self.attn2 = Attention(width, heads=heads, head_dim=head_dim, context_width=context_width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))


class SpatialTransformer(nn.Module):
    """The cells of each frame attend to each other, then to the text, image and face tokens.

    Args:
        width: of the activation.
        heads: of both attentions.
        context_width: of the tokens.
        groups: of the group norm.
        faces: how the face is attended to, see `quickstep.networks.face_tokens`.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        context_width: int,
        groups: int,
        faces: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.faces = faces
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Linear(width, width)
        block = TransformerBlock(
            width, heads=heads, head_dim=width // heads, context_width=context_width
        )
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = nn.Linear(width, width)
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Float[Tensor, "b f d h w"], guide: Guide) -> Float[Tensor, "b f d h w"]:
        """Attends within frames."""
        batch, frames = x.shape[:2]
        hidden = self.norm(x.flatten(0, 1)).flatten(2).transpose(1, 2)
        hidden = self.proj_in(hidden.contiguous())
        for block in self.transformer_blocks:
            assert isinstance(block, TransformerBlock)
            hidden = hidden + block.attn1(block.norm1(hidden))
            # The tokens are the same for all frames of a clip, so the frames share one sequence.
            hidden = hidden.reshape(batch, -1, hidden.shape[-1])
            hidden = hidden + self._told(block, block.norm2(hidden), guide)
            hidden = hidden + block.ff(block.norm3(hidden))
        hidden = self.proj_out(hidden).unflatten(1, (frames, -1))
        return x + hidden.transpose(2, 3).reshape(x.shape)

    def _told(self, block: TransformerBlock, hidden: Tensor, guide: Guide) -> Tensor:
        if self.faces is None or guide.faces is None:
            return block.attn2(hidden, guide.tokens)
        return self.faces(block.attn2, hidden, guide.tokens, guide.faces)


class PointwiseConv1d(nn.Conv1d):
    """A convolution of kernel 1 that reads channels-last sequences: a plain matrix product."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Float[Tensor, "*s d"]) -> Float[Tensor, "*s e"]:
        """Maps each token on its own."""
        return functional.linear(input, self.weight.squeeze(-1), self.bias)


class TemporalTransformer(nn.Module):
    """The frames of each cell attend to each other, twice. No position code, no context."""

    def __init__(self, width: int, *, heads: int, head_dim: int, groups: int) -> None:
        super().__init__()
        inner = heads * head_dim
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = PointwiseConv1d(width, inner)
        block = TransformerBlock(inner, heads=heads, head_dim=head_dim, context_width=None)
        self.transformer_blocks = nn.ModuleList([block])
        self.proj_out = PointwiseConv1d(inner, width)
        nn.init.zeros_(self.proj_out.weight)
        if self.proj_out.bias is not None:
            nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: Float[Tensor, "b f d h w"], guide: Guide) -> Float[Tensor, "b f d h w"]:
        """Attends along the frames, the reference's among them."""
        batch, _, _, height, width = x.shape
        hidden = self.norm(x.transpose(1, 2).contiguous())
        hidden = hidden.permute(0, 3, 4, 2, 1).flatten(0, 2)
        hidden = self.proj_in(hidden)
        for block in self.transformer_blocks:
            assert isinstance(block, TransformerBlock)
            hidden = hidden + block.attn1(block.norm1(hidden))
            hidden = hidden + block.attn2(block.norm2(hidden))
            hidden = hidden + block.ff(block.norm3(hidden))
        hidden = self.proj_out(hidden).unflatten(0, (batch, height, width))
        return x + hidden.permute(0, 3, 4, 1, 2)
