"""MTCNN's three networks: proposals, refinement and output of a face detector (Zhang et al., 2016).

The layers' names are those of the public weights (``conv1``, ``prelu1``, ``dense4``, ...). What is
done with the networks' answers, the cascade, is `quickstep.conditions.faces`.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from quickstep.networks.folder import BUILT_IN, ModelError

FILE = "mtcnn.safetensors"
BATCH = 128
"""Crops judged at once, which bounds memory: the widest layer takes 33 MiB at 48 px."""


class ProposalNet(nn.Module):
    """PNet: is there a face in each window of 12x12 pixels, 2 pixels apart?

    No layer pads, so that the answer of a window is the same inside a picture and cut out of it;
    only on odd sides the last windows stick out by a pixel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(
        self, pictures: Float[Tensor, "b 3 H W"]
    ) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b 4 h w"]]:
        """Probability of a face in the window of rows or columns ``[2i, 2i + 12)``, and offsets.

        Args:
            pictures: RGB in [-1, 1], sides of 12 pixels or more.
        """
        hidden = self.prelu1(self.conv1(pictures))
        hidden = functional.max_pool2d(hidden, 2, ceil_mode=True)
        hidden = self.prelu3(self.conv3(self.prelu2(self.conv2(hidden))))
        return self.conv4_1(hidden).softmax(dim=1)[:, 1], self.conv4_2(hidden)


class RefinementNet(nn.Module):
    """RNet: is a crop of 24x24 pixels a face, and where exactly?"""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(64 * 3 * 3, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(
        self, crops: Float[Tensor, "b 3 24 24"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b 4"]]:
        """Probability of a face, and its box's offsets; crops are RGB in [-1, 1]."""
        hidden = _pooled(self.prelu1(self.conv1(crops)))
        hidden = _pooled(self.prelu2(self.conv2(hidden)))
        hidden = self.prelu3(self.conv3(hidden))
        hidden = self.prelu4(self.dense4(_flat(hidden)))
        return self.dense5_1(hidden).softmax(dim=1)[:, 1], self.dense5_2(hidden)


class OutputNet(nn.Module):
    """ONet: is a crop of 48x48 pixels a face, where exactly, and where are eyes, nose, mouth?"""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(128 * 3 * 3, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2 = nn.Linear(256, 2), nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(
        self, crops: Float[Tensor, "b 3 48 48"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, "b 4"], Float[Tensor, "b 5 2"]]:
        """Probability of a face, its box's offsets, and (x, y) of 5 landmarks in crop sides."""
        hidden = _pooled(self.prelu1(self.conv1(crops)))
        hidden = _pooled(self.prelu2(self.conv2(hidden)))
        hidden = functional.max_pool2d(self.prelu3(self.conv3(hidden)), 2, ceil_mode=True)
        hidden = self.prelu4(self.conv4(hidden))
        hidden = self.prelu5(self.dense5(_flat(hidden)))
        landmarks = self.dense6_3(hidden).unflatten(1, (2, 5)).transpose(1, 2)
        return self.dense6_1(hidden).softmax(dim=1)[:, 1], self.dense6_2(hidden), landmarks


def _columns(answers: list[tuple[Tensor, ...]]) -> list[np.ndarray]:
    """Each kind of answer in one array, over all batches."""
    return [torch.cat(kind).cpu().numpy() for kind in zip(*answers, strict=True)]


def _pooled(hidden: Tensor) -> Tensor:
    return functional.max_pool2d(hidden, 3, stride=2, ceil_mode=True)


def _flat(hidden: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
    """Rows for a dense layer, in the order of the weights: columns, then rows, then channels."""
    return hidden.permute(0, 3, 2, 1).flatten(1)


class MTCNN(nn.Module):
    """The three networks as the cascade asks them: numpy pictures in, numpy answers out.

    Pixels are RGB from 0 to 255. Offsets are what is to be added to a box's x0, y0, x1 and y1, in
    sides of the window or crop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pnet, self.rnet, self.onet = ProposalNet(), RefinementNet(), OutputNet()

    @torch.inference_mode()
    def propose(
        self, picture: Float[np.ndarray, "H W 3"]
    ) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w 4"]]:
        """Probability and offsets of every window; see `ProposalNet`."""
        probability, offsets = self.pnet(self._inputs(picture[None]))
        return probability[0].cpu().numpy(), offsets[0].permute(1, 2, 0).cpu().numpy()

    @torch.inference_mode()
    def refine(
        self, crops: Float[np.ndarray, "b 24 24 3"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b 4"]]:
        """Probability and offsets of crops, one or more; see `RefinementNet`."""
        answers = [self.rnet(part) for part in self._inputs(crops).split(BATCH)]
        probability, offsets = _columns(answers)
        return probability, offsets

    @torch.inference_mode()
    def judge(
        self, crops: Float[np.ndarray, "b 48 48 3"]
    ) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, "b 4"], Float[np.ndarray, "b 5 2"]]:
        """Probability, offsets and landmarks of crops, one or more; see `OutputNet`."""
        answers = [self.onet(part) for part in self._inputs(crops).split(BATCH)]
        probability, offsets, landmarks = _columns(answers)
        return probability, offsets, landmarks

    def _inputs(self, pictures: Float[np.ndarray, "b H W 3"]) -> Float[Tensor, "b 3 H W"]:
        place = self.pnet.conv1.weight
        pixels = torch.from_numpy(pictures).to(place).permute(0, 3, 1, 2)
        return (pixels - 127.5) / 128


def load_mtcnn(path: str | Path | None = None, *, device: torch.device | str = "cpu") -> MTCNN:
    """The detector's networks with their weights, in evaluation mode, gradients off.

    Args:
        path: a safetensors file as ``scripts/convert_mtcnn.py`` makes it; None for the one that
            is shipped, 2 MB in float32.
        device: where the networks run.

    Raises:
        ModelError: the file is missing or holds other weights, in one line.
    """
    path = BUILT_IN / "mtcnn" / FILE if path is None else Path(path)
    networks = MTCNN()
    try:
        networks.load_state_dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: not a safetensors file that can be read: {error}") from error
    except RuntimeError as error:
        raise ModelError(f"{path}: its weights are not MTCNN's: {_reason(error)}") from error
    return networks.to(device).eval().requires_grad_(False)


def _reason(error: RuntimeError) -> str:
    """The first of torch's complaints, without the heading."""
    return str(error).strip().splitlines()[-1].strip()
