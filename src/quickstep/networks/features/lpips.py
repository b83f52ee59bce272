"""LPIPS v0.1 (Zhang et al. 2018): a distance of pictures by the features of a classifier.

The trunk's names are those of ``vgg16-397923af.pth`` and ``alexnet-owt-7be5be79.pth``, the heads'
those of LPIPS's own ``vgg.pth`` and ``alex.pth``.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

TrunkName = Literal["vgg", "alex"]
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)


@dataclass(frozen=True)
class Trunk:
    """A classifier's convolutions.

    Attributes:
        layers: channels, kernel, stride and padding of each convolution; None is a max pool.
        pool: kernel of the max pools; their stride is 2.
        taps: numbers of the layers, ReLUs counted too, whose outputs are compared.
        widths: channels of those outputs.
        smallest: side of the smallest picture, in pixels, that reaches the last tap.
    """

    layers: tuple[tuple[int, int, int, int] | None, ...]
    pool: int
    taps: tuple[int, ...]
    widths: tuple[int, ...]
    smallest: int

    def build(self) -> nn.Sequential:
        """The layers, each convolution followed by a ReLU, up to the last tap."""
        stack, inputs = nn.Sequential(), 3
        for layer in self.layers:
            if layer is None:
                stack.append(nn.MaxPool2d(self.pool, stride=2))
                continue
            outputs, kernel, stride, padding = layer
            stack.append(nn.Conv2d(inputs, outputs, kernel, stride, padding))
            stack.append(nn.ReLU())
            inputs = outputs
        return stack


def _vgg_layers() -> tuple[tuple[int, int, int, int] | None, ...]:
    stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    layers: list[tuple[int, int, int, int] | None] = []
    for width, depth in stages:
        layers += [*([(width, 3, 1, 1)] * depth), None]
    return tuple(layers[:-1])


TRUNKS: dict[TrunkName, Trunk] = {
    "vgg": Trunk(_vgg_layers(), 2, (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), smallest=16),
    "alex": Trunk(
        (
            (64, 11, 4, 2),
            None,
            (192, 5, 1, 2),
            None,
            (384, 3, 1, 1),
            (256, 3, 1, 1),
            (256, 3, 1, 1),
        ),
        3,
        (1, 4, 7, 9, 11),
        (64, 192, 384, 256, 256),
        smallest=31,
    ),
}


class Lpips(nn.Module):
    """Learned perceptual distance: 0 for equal pictures, without an upper bound.

    Each tap's features are scaled to unit length at every pixel; their squared difference, weighed
    channel by channel, is averaged over space and summed over the taps.

    Args:
        trunk: which classifier.

    Attributes:
        verified: its outputs agree with recorded ones of the public code, for both trunks.
    """

    verified: ClassVar[bool] = True

    def __init__(self, trunk: TrunkName) -> None:
        super().__init__()
        self.trunk = TRUNKS[trunk]
        self.features = self.trunk.build()
        for index, width in enumerate(self.trunk.widths):
            self.add_module(f"lin{index}", _Head(width))

    def forward(
        self, pictures: Float[Tensor, "b 3 H W"], others: Float[Tensor, "b 3 H W"]
    ) -> Float[Tensor, " b"]:
        """Distance of each pair.

        Args:
            pictures: RGB in [-1, 1]. DisCo passes [0, 1], which gives other numbers: see
                `quickstep.evaluation.features`.
            others: what to compare them with.
        """
        return self.distances(pictures, others).sum(dim=1)

    def distances(
        self, pictures: Float[Tensor, "b 3 H W"], others: Float[Tensor, "b 3 H W"]
    ) -> Float[Tensor, "b 5"]:
        """The share of each tap in the distance."""
        shares = []
        for index, (a, b) in enumerate(zip(self.taps(pictures), self.taps(others), strict=True)):
            difference = (_unit_length(a) - _unit_length(b)).square()
            shares.append(self.get_submodule(f"lin{index}")(difference).mean(dim=(1, 2, 3)))
        return torch.stack(shares, dim=1)

    def taps(self, pictures: Float[Tensor, "b 3 H W"]) -> list[Float[Tensor, "b _ _ _"]]:
        """The trunk's features that are compared, before they are scaled to unit length."""
        shift = torch.tensor(_SHIFT, dtype=pictures.dtype, device=pictures.device)
        scale = torch.tensor(_SCALE, dtype=pictures.dtype, device=pictures.device)
        x = (pictures - shift[:, None, None]) / scale[:, None, None]
        found = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.trunk.taps:
                found.append(x)
        return found


class _Head(nn.Module):
    """Weights of one tap's channels, trained on people's judgements."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Dropout(), nn.Conv2d(width, 1, 1, bias=False))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 h w"]:
        return self.model(x)


def _unit_length(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10)
