"""Convolutional blocks of UniAnimate's network, on activations ``b f d h w``."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quickstep.networks.unianimate.attention import Guide


class Stem(nn.Conv2d):
    """The first convolution, of every frame."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__(in_channels, width, 3, padding=1)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, input: Float[Tensor, "b f c h w"], guide: Guide
    ) -> Tensor:
        """Convolves every frame."""
        return super().forward(input.flatten(0, 1)).unflatten(0, input.shape[:2])


class Downsample(nn.Module):
    """Halves height and width by a strided convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Float[Tensor, "b f d h w"], guide: Guide) -> Tensor:
        """Convolves every frame."""
        return self.op(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class Upsample(nn.Module):
    """Doubles height and width: nearest neighbour, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b f d h w"], guide: Guide) -> Tensor:
        """Enlarges and convolves every frame."""
        frames = functional.interpolate(x.flatten(0, 1), scale_factor=2.0)
        return self.conv(frames).unflatten(0, x.shape[:2])


class FrameConv(nn.Conv3d):
    """A convolution along the frames, kernel (3, 1, 1), run as a picture of frames x cells."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, (3, 1, 1), padding=(1, 0, 0))

    def forward(self, input: Float[Tensor, "b c f h w"]) -> Float[Tensor, "b d f h w"]:
        """Convolves every cell's line of frames."""
        lines = functional.conv2d(
            input.flatten(3), self.weight.squeeze(-1), self.bias, padding=(1, 0)
        )
        return lines.unflatten(3, input.shape[3:])


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

    def forward(self, x: Float[Tensor, "b f d h w"]) -> Float[Tensor, "b f d h w"]:
        """Mixes neighbouring frames; the norms' statistics are those of the whole clip."""
        hidden = x.transpose(1, 2).contiguous()
        for conv in self.children():
            hidden = conv(hidden)
        return x + hidden.transpose(1, 2)


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

    def forward(self, x: Float[Tensor, "b f c h w"], guide: Guide) -> Tensor:
        """Maps `in_channels` to `out_channels`."""
        frames = x.flatten(0, 1)
        embedding = self.emb_layers(guide.embedding).repeat_interleave(x.shape[1], dim=0)
        hidden = self.in_layers(frames) + embedding[..., None, None]
        hidden = self.skip_connection(frames) + self.out_layers(hidden)
        return self.temopral_conv(hidden.unflatten(0, x.shape[:2]))


class Stage(nn.ModuleList):
    """Layers run one after the other, each told the guide."""

    def forward(self, x: Float[Tensor, "b f c h w"], guide: Guide) -> Tensor:
        """Runs them."""
        for layer in self:
            x = layer(x, guide)
        return x
