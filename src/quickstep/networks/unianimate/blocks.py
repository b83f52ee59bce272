"""Convolutional blocks of UniAnimate's network, on activations ``b f h w d``."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quickstep.networks.unianimate.attention import Guide, group_norm


def convolve(conv: nn.Conv2d, x: Float[Tensor, "b f h w c"]) -> Float[Tensor, "b f height width d"]:
    """A convolution of every frame; in memory it is channels-last on both sides."""
    frames = x.flatten(0, 1).permute(0, 3, 1, 2)
    return conv(frames).permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


class Stem(nn.Conv2d):
    """The first convolution."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__(in_channels, width, 3, padding=1)

    def forward(self, input: Float[Tensor, "b f h w c"], guide: Guide) -> Tensor:
        """Convolves every frame."""
        frames = input.flatten(0, 1).permute(0, 3, 1, 2)
        return super().forward(frames).permute(0, 2, 3, 1).unflatten(0, input.shape[:2])


class Downsample(nn.Module):
    """Halves height and width by a strided convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "b f h w d"], guide: Guide) -> Tensor:
        """Convolves every frame."""
        return convolve(self.op, x)


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b f h w d"], guide: Guide) -> Tensor:
        """Enlarges and convolves every frame."""
        frames = functional.interpolate(x.flatten(0, 1).permute(0, 3, 1, 2), scale_factor=2.0)
        return self.conv(frames).permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


class FrameConv(nn.Conv3d):
    """A convolution along the frames (kernel 3, 1, 1) as a plain matrix product.

    The two neighbours are put beside each frame as further channels, zeros at either end.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, input: Float[Tensor, "b f h w c"]) -> Float[Tensor, "b f h w d"]:
        """Convolves every cell's line of frames."""
        padded = functional.pad(input, (0, 0, 0, 0, 0, 0, 1, 1))
        near = torch.cat([padded[:, :-2], input, padded[:, 2:]], dim=-1)
        kernel = self.weight.flatten(2).transpose(1, 2).flatten(1)
        return functional.linear(near, kernel, self.bias)


def normed_frame_conv(
    in_channels: int, out_channels: int, *, groups: int, dropout: float | None
) -> nn.Sequential:
    """Group norm, SiLU, an optional dropout, and a convolution along the frames."""
    layers: list[nn.Module] = [nn.GroupNorm(groups, in_channels), nn.SiLU()]
    if dropout is not None:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, FrameConv(in_channels, out_channels))


class FrameConvStack(nn.Module):
    """Four convolutions along the frames, added to their input."""

    def __init__(self, width: int, *, groups: int, dropout: float) -> None:
        super().__init__()
        for number in range(1, 5):
            rate = None if number == 1 else dropout
            conv = normed_frame_conv(width, width, groups=groups, dropout=rate)
            self.add_module(f"conv{number}", conv)
        last = self.get_submodule("conv4.3")
        assert isinstance(last, FrameConv) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, x: Float[Tensor, "b f h w d"]) -> Float[Tensor, "b f h w d"]:
        """Mixes neighbouring frames; the norms' statistics are those of the whole clip."""
        hidden = x
        for conv in self.children():
            norm, *others = conv.children()
            assert isinstance(norm, nn.GroupNorm)
            hidden = group_norm(norm, hidden, over_frames=True)
            for layer in others:
                hidden = layer(hidden)
        return x + hidden


class ResBlock(nn.Module):
    """Two convolutions per frame with the time embedding between, then one stack over frames."""

    def __init__(
        self, in_channels: int, out_channels: int, *, embedding: int, groups: int, dropout: float
    ) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(groups, in_channels),
            nn.SiLU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, out_channels))
        last = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.out_layers = nn.Sequential(
            nn.GroupNorm(groups, out_channels), nn.SiLU(), nn.Dropout(dropout), last
        )
        same = in_channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)
        # Misspelt in the public checkpoint's keys, so it must be misspelt here.
        self.temopral_conv = FrameConvStack(out_channels, groups=groups, dropout=dropout)

    def forward(self, x: Float[Tensor, "b f h w c"], guide: Guide) -> Tensor:
        """Maps `in_channels` to `out_channels`."""
        norm, activation, conv = self.in_layers
        hidden = convolve(conv, activation(group_norm(norm, x, over_frames=False)))
        hidden = hidden + self.emb_layers(guide.embedding)[:, None, None, None]
        norm, activation, dropout, conv = self.out_layers
        hidden = dropout(activation(group_norm(norm, hidden, over_frames=False)))
        hidden = convolve(conv, hidden)
        if isinstance(self.skip_connection, nn.Conv2d):
            x = convolve(self.skip_connection, x)
        return self.temopral_conv(x + hidden)


class Stage(nn.Sequential):
    """Layers run one after the other, each told the guide."""

    def forward(self, input: Tensor, guide: Guide) -> Tensor:
        """Runs them."""
        for layer in self:
            input = layer(input, guide)
        return input
