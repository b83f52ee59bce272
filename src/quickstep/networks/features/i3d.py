"""I3D (Carreira and Zisserman 2017), the network of the Frechet video distance.

Layout and names are those of ``i3d_pretrained_400.pt``: Inception-v1 with every kernel grown along
time, trained on the 400 classes of Kinetics.
"""

from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

Triple = tuple[int, int, int]

_MIXED = {
    # Channels of the branches: b0; b1a, b1b; b2a, b2b; b3b after the pool.
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOL_BEFORE: dict[str, tuple[Triple, Triple]] = {
    # Kernel and stride of the max pool in front of a layer.
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


class InceptionI3d(nn.Module):
    """A clip's 400 class scores, the feature that DisCo's FVD compares.

    Attributes:
        verified: its outputs agree with recorded ones of the public code.
    """

    verified: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, kernel=7, stride=2)
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, kernel=3)
        inputs = 192
        for name, widths in _MIXED.items():
            self.add_module(name, Mixed(inputs, widths))
            inputs = widths[0] + widths[2] + widths[4] + widths[5]
        self.logits = nn.Sequential()
        self.logits.add_module("conv3d", nn.Conv3d(inputs, 400, 1))

    def forward(self, video: Float[Tensor, "b 3 f 224 224"]) -> Float[Tensor, "b 400"]:
        """The class scores before the softmax, averaged over time.

        Args:
            video: RGB in [-1, 1], of any number of frames.
        """
        x = video
        for name, layer in self.named_children():
            if layer is not self.logits:
                x = layer(same_pool(x, *_POOL_BEFORE[name]) if name in _POOL_BEFORE else x)
        return self.logits(x.mean(dim=(3, 4), keepdim=True)).mean(dim=(2, 3, 4))


def fvd_frames(frames: UInt8[Tensor, "f 3 H W"]) -> Float[Tensor, "f 3 224 224"]:
    """Frames as DisCo feeds them to I3D: squashed to a square, ``x / 127.5 - 1``.

    The filter is PIL's bicubic on floats: widened where it shrinks, neither rounded nor clipped, so
    that it overshoots [-1, 1] a little. float64, because float32 misplaces the filter's taps.
    """
    square = functional.interpolate(frames.double(), (224, 224), mode="bicubic", antialias=True)
    return (square / 127.5 - 1).float()


class Unit(nn.Module):
    """Convolution, batch norm and ReLU; the padding is TensorFlow's ``SAME``."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d u y x"]:
        """The layer's output, ``ceil(size / stride)`` on each axis."""
        kernel, stride = self.conv3d.kernel_size, self.conv3d.stride
        return functional.relu(self.bn(self.conv3d(same_padded(x, kernel, stride))))


class Mixed(nn.Module):
    """Four branches side by side, concatenated along the channels."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3b = widths
        self.b0 = Unit(inputs, b0)
        self.b1a, self.b1b = Unit(inputs, b1a), Unit(b1a, b1b, kernel=3)
        self.b2a, self.b2b = Unit(inputs, b2a), Unit(b2a, b2b, kernel=3)
        self.b3b = Unit(inputs, b3b)

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t h w"]:
        """The branches' outputs, in the order of their names."""
        branches = (
            self.b0(x),
            self.b1b(self.b1a(x)),
            self.b2b(self.b2a(x)),
            self.b3b(same_pool(x, (3, 3, 3), (1, 1, 1))),
        )
        return torch.cat(branches, dim=1)


def same_pool(
    x: Float[Tensor, "b c t h w"], kernel: Triple, stride: Triple
) -> Float[Tensor, "b c u y x"]:
    """Max pool after ``SAME`` padding; zeros are the least there is, as all inputs are ReLUs."""
    return functional.max_pool3d(same_padded(x, kernel, stride), kernel, stride)


def same_padded(
    x: Float[Tensor, "b c t h w"], kernel: tuple[int, ...], stride: tuple[int, ...]
) -> Float[Tensor, "b c u y x"]:
    """Zeros round the last three axes, so that ``ceil(size / stride)`` windows fit.

    An odd number puts the spare zero behind, as TensorFlow does.

    Example:
        >>> same_padded(torch.ones(1, 1, 1, 1, 4), (1, 1, 7), (1, 1, 2))[0, 0, 0, 0].tolist()
        [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    margins: list[int] = []
    for size, width, step in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(width - (size % step or step), 0)
        margins = [total // 2, total - total // 2, *margins]
    return functional.pad(x, margins)
