"""Inception-v3 as pytorch-FID has it, the network of the Frechet inception distance.

Layout and names are those of ``pt_inception-2015-12-05-6726825d.pth``. It is TensorFlow's 2015
network, which differs from the published one: average pools leave the padding out of the mean, and
the last block takes the maximum where the others average.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

Kernel = int | tuple[int, int]
Layer = tuple[int, Kernel]
"""Output channels and kernel of one convolution."""
Branch = Sequence[Layer | list[Layer]]
"""Convolutions in a row; the last may be several side by side."""

_WIDE, _TALL = (1, 7), (7, 1)


def _block5(pool: int) -> dict[str, Branch]:
    return {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
        "branch_pool": [(pool, 1)],
    }


def _block6(width: int) -> dict[str, Branch]:
    inner: list[Layer] = [(width, 1), (width, _TALL), (width, _WIDE), (width, _TALL)]
    return {
        "branch1x1": [(192, 1)],
        "branch7x7": [(width, 1), (width, _WIDE), (192, _TALL)],
        "branch7x7dbl": [*inner, (192, _WIDE)],
        "branch_pool": [(192, 1)],
    }


def _block7() -> dict[str, Branch]:
    fork: list[Layer] = [(384, (1, 3)), (384, (3, 1))]
    return {
        "branch1x1": [(320, 1)],
        "branch3x3": [(384, 1), fork],
        "branch3x3dbl": [(448, 1), (384, 3), fork],
        "branch_pool": [(192, 1)],
    }


_BLOCKS: dict[str, dict[str, Branch]] = {
    "Mixed_5b": _block5(32),
    "Mixed_5c": _block5(64),
    "Mixed_5d": _block5(64),
    "Mixed_6a": {"branch3x3": [(384, 3)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3)]},
    "Mixed_6b": _block6(128),
    "Mixed_6c": _block6(160),
    "Mixed_6d": _block6(160),
    "Mixed_6e": _block6(192),
    "Mixed_7a": {
        "branch3x3": [(192, 1), (320, 3)],
        "branch7x7x3": [(192, 1), (192, _WIDE), (192, _TALL), (192, 3)],
    },
    "Mixed_7b": _block7(),
    "Mixed_7c": _block7(),
}
_HALVE = ("Mixed_6a", "Mixed_7a")
_LAST = "Mixed_7c"


class InceptionV3(nn.Module):
    """2048 features of a picture: the last block's output, averaged over space.

    Attributes:
        verified: its outputs agree with recorded ones of the public code.
    """

    verified: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2, padded=False)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, padded=False)
        inputs = 192
        for name, branches in _BLOCKS.items():
            block = Mixed(inputs, branches, halve=name in _HALVE, average=name != _LAST)
            self.add_module(name, block)
            inputs = block.outputs
        self.fc = nn.Linear(inputs, 1008)

    def forward(self, pictures: Float[Tensor, "b 3 299 299"]) -> Float[Tensor, "b 2048"]:
        """The features; the 1008 class scores after them are never asked for.

        Args:
            pictures: RGB in [-1, 1].
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(pictures)))
        x = functional.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = functional.max_pool2d(x, 3, stride=2)
        for name in _BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean(dim=(2, 3))


def fid_pictures(pictures: UInt8[Tensor, "b 3 H W"]) -> Float[Tensor, "b 3 299 299"]:
    """Pictures as pytorch-FID feeds them: squashed to a square in [0, 1], then ``2 x - 1``.

    The filter is bilinear with half-pixel centres and is not widened where it shrinks, so that
    large pictures are sampled, not averaged.
    """
    square = functional.interpolate(
        pictures.float() / 255, (299, 299), mode="bilinear", align_corners=False, antialias=False
    )
    return 2 * square - 1


class Unit(nn.Module):
    """Convolution, batch norm and ReLU, padded to keep the size or not padded at all."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Kernel, *, stride: int = 1, padded: bool = True
    ) -> None:
        super().__init__()
        height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        margin = (height // 2, width // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, margin, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        """The layer's output."""
        return functional.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side and a pool, concatenated along the channels.

    Args:
        inputs: channels that come in.
        branches: by the name of their weights; ``branch_pool`` follows the pool.
        halve: the last layer of each branch and the pool halve the size, without padding.
        average: the pool averages the pixels that there are, or else takes their maximum.

    Attributes:
        outputs: channels that go out.
    """

    def __init__(
        self, inputs: int, branches: dict[str, Branch], *, halve: bool, average: bool
    ) -> None:
        super().__init__()
        self.halve, self.average = halve, average
        self.paths: list[list[list[str]]] = []
        self.outputs = inputs if halve else 0
        for name, branch in branches.items():
            self.paths.append(self._add_branch(name, inputs, branch))

    def _add_branch(self, name: str, inputs: int, branch: Branch) -> list[list[str]]:
        path: list[list[str]] = []
        for number, step in enumerate(branch, start=1):
            stem = name if len(branch) == 1 else f"{name}_{number}"
            fork = step if isinstance(step, list) else [step]
            path.append([stem + mark for mark in ("ab" if len(fork) > 1 else [""])])
            strided = self.halve and number == len(branch)
            for unit, (outputs, kernel) in zip(path[-1], fork, strict=True):
                stride = 2 if strided else 1
                made = Unit(inputs, outputs, kernel, stride=stride, padded=not strided)
                self.add_module(unit, made)
            inputs = sum(outputs for outputs, _ in fork)
        self.outputs += inputs
        return path

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d y x"]:
        """The branches' outputs in the order given; a pool without a branch comes last."""
        parts = []
        for path in self.paths:
            part = self._pooled(x) if path[0] == ["branch_pool"] else x
            for units in path:
                part = torch.cat([self.get_submodule(unit)(part) for unit in units], dim=1)
            parts.append(part)
        return torch.cat([*parts, self._pooled(x)] if self.halve else parts, dim=1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.halve:
            return functional.max_pool2d(x, 3, stride=2)
        if self.average:
            return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        return functional.max_pool2d(x, 3, stride=1, padding=1)
