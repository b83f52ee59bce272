"""3D ResNet-50 (Hara et al. 2018), the network of DisCo's FID-VID.

Layout and names are those of ``resnet-50-kinetics.pth``: bottleneck blocks, and a projection on
the shortcut wherever size or width changes (shortcut B).
"""

from typing import ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

MEAN_COLOUR = (114.7748, 107.7354, 99.4750)
"""RGB, 0 to 255, that the network was trained without."""

_DEPTHS = (3, 4, 6, 3)


class ResNet3d(nn.Module):
    """2048 features of a clip: the last block's output, averaged over time and space.

    Attributes:
        verified: its outputs agree with recorded ones of the public code.
    """

    verified: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        inputs = 64
        for index, depth in enumerate(_DEPTHS):
            width = 64 << index
            blocks = nn.Sequential()
            for number in range(depth):
                stride = 2 if index > 0 and number == 0 else 1
                blocks.append(Bottleneck(inputs, width, stride=stride))
                inputs = 4 * width
            self.add_module(f"layer{index + 1}", blocks)
        self.fc = nn.Linear(inputs, 400)

    def forward(self, video: Float[Tensor, "b 3 f 112 112"]) -> Float[Tensor, "b 2048"]:
        """The features under the class scores.

        Args:
            video: RGB of 0 to 255 less the data set's mean colour; 16 frames as it was trained.
        """
        x = functional.relu(self.bn1(self.conv1(video)))
        x = functional.max_pool3d(x, 3, stride=2, padding=1)
        for index in range(len(_DEPTHS)):
            x = self.get_submodule(f"layer{index + 1}")(x)
        return x.mean(dim=(2, 3, 4))

    def class_scores(self, features: Float[Tensor, "b 2048"]) -> Float[Tensor, "b 400"]:
        """Kinetics' 400 classes before the softmax, from what `forward` gives."""
        return self.fc(features)


def fid_vid_frames(frames: UInt8[Tensor, "f 3 H W"]) -> Float[Tensor, "f 3 112 112"]:
    """Frames as DisCo feeds them to 3D ResNet-50: 0 to 255 less the mean, not divided by a std.

    They are squashed to a square by PIL's bicubic filter on floats; see `fvd_frames` of I3D.
    """
    square = functional.interpolate(frames.double(), (112, 112), mode="bicubic", antialias=True)
    mean = torch.tensor(MEAN_COLOUR, dtype=torch.float64, device=frames.device)
    return (square - mean[:, None, None]).float()


class Bottleneck(nn.Module):
    """1x1x1, 3x3x3 with the stride, 1x1x1 to four times the width; added to the shortcut."""

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv3d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outputs)
        self.downsample = nn.Sequential()
        if inputs != outputs or stride != 1:
            self.downsample.append(nn.Conv3d(inputs, outputs, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm3d(outputs))

    def forward(self, x: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d u y x"]:
        """The block's output; an empty shortcut is the identity."""
        inner = functional.relu(self.bn1(self.conv1(x)))
        inner = functional.relu(self.bn2(self.conv2(inner)))
        return functional.relu(self.bn3(self.conv3(inner)) + self.downsample(x))
