"""A small detector of the procedural dancer, with the interface of DWPose's two networks.

`PersonFinder` takes YOLOX's place: a picture of `SIDE` pixels a side, blue green red from 0 to 255,
to a row of 85 numbers for each of 8,400 cells. `KeypointReader` takes RTMPose's: a normalised crop
of 288x384 pixels to SimCC's scores of 133 keypoints, two bins a pixel. Both see their pictures
coarsely, since a dancer's clip is 128 pixels wide.
"""

from collections.abc import Sequence

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from quickstep.networks.features.dancer import Refine, Stage, start_even

SIDE = 640
STRIDE = 32
"""Pixels between the cells that `PersonFinder` answers for; the finer grids stay empty."""
NUM_CELLS = sum((SIDE // stride) ** 2 for stride in (8, 16, 32))
NUM_CLASSES = 80

CROP = (288, 384)
"""Width and height of a crop."""
BINS = 2
CELL = 12
"""Pixels of a crop that one class of the reader stands for."""
NUM_KEYPOINTS = 133

COARSER_PICTURE, COARSER_CROP = 8, 3
"""Pixels a side that are averaged first: a dancer's clip has no more detail."""
_GROUPS = 8
_FEW_PEOPLE = -4.0
"""First logit of a cell: people are in few of them."""


class PoseDetector(ModelMixin, ConfigMixin):
    """Finds people and reads their keypoints: two networks that share nothing.

    Args:
        finder_widths: channels of the finder's levels.
        reader_widths: channels of the reader's levels.
    """

    @register_to_config
    def __init__(
        self,
        *,
        finder_widths: Sequence[int] = (24, 48, 64, 96),
        reader_widths: Sequence[int] = (24, 48, 96, 160),
    ):
        super().__init__()
        self.finder = PersonFinder(finder_widths)
        self.reader = KeypointReader(reader_widths)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                start_even(module)
        for module in self.modules():
            if isinstance(module, Refine):
                nn.init.zeros_(module.after.weight)
        assert self.finder.head.bias is not None
        nn.init.constant_(self.finder.head.bias[4:], _FEW_PEOPLE)


class PersonFinder(nn.Module):
    """Where people are: for each cell how likely it holds a person's middle, and the box."""

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.trunk = Pyramid(widths, level=1)
        self.head = nn.Conv2d(widths[1], 5, 1)

    def cells(self, coarse: Float[Tensor, "n 3 80 80"]) -> Float[Tensor, "n 5 20 20"]:
        """Per cell: the centre from the cell's corner and the log sides, in strides; a logit.

        Args:
            coarse: pictures, `COARSER_PICTURE` times as small, from 0 to 255.
        """
        return self.head(self.trunk(coarse / 128 - 1)).float()

    def forward(self, picture: Float[Tensor, "n 3 640 640"]) -> Float[Tensor, "n 8400 85"]:
        """YOLOX's answer; only the coarsest grid and the class of people are ever above 0."""
        cells = (
            self.cells(functional.avg_pool2d(picture, COARSER_PICTURE)).flatten(2).transpose(1, 2)
        )
        likely = cells[..., 4:].sigmoid()
        others = torch.zeros_like(likely).expand(-1, -1, NUM_CLASSES - 1)
        rows = torch.cat([cells[..., :4], likely, torch.ones_like(likely), others], dim=2)
        return functional.pad(rows, (0, 0, NUM_CELLS - (SIDE // STRIDE) ** 2, 0))


class KeypointReader(nn.Module):
    """Where each keypoint is in a crop, and how sure that is.

    A map for each keypoint is summed over its rows and over its columns (as probabilities), which
    gives SimCC's two classifications, coarsely: a class is a cell of `CELL` pixels. Cubic
    interpolation of the logits makes bins of it. Logits that fall off as a Gaussian's are
    quadratic in the place, which it follows exactly, so that nothing is lost.
    """

    across: Tensor
    down: Tensor

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.trunk = Pyramid(widths, level=1)
        self.maps = nn.Conv2d(widths[1], NUM_KEYPOINTS, 1)
        across, down = (side // CELL for side in CROP)
        self.sure = nn.Sequential(nn.Linear(across + down, 64), nn.SiLU(), nn.Linear(64, 1))
        self.sure_bias = nn.Parameter(torch.zeros(NUM_KEYPOINTS))
        self.register_buffer("across", cubic_matrix(across, CELL * BINS), persistent=False)
        self.register_buffer("down", cubic_matrix(down, CELL * BINS), persistent=False)

    def cells(
        self, coarse: Float[Tensor, "n 3 128 96"]
    ) -> tuple[Float[Tensor, "n 133 24"], Float[Tensor, "n 133 32"], Float[Tensor, "n 133"]]:
        """Logits of the column's and of the row's cell, and of the keypoint being there.

        Args:
            coarse: normalised crops, `COARSER_CROP` times as small.
        """
        maps = self.maps(self.trunk(coarse)).float()
        across, down = maps.logsumexp(dim=2), maps.logsumexp(dim=3)
        both = torch.cat([across, down], dim=2)
        middle = both.mean(dim=2, keepdim=True)
        return across, down, self.sure(both - middle)[..., 0].float() + self.sure_bias

    def forward(
        self, crop: Float[Tensor, "n 3 384 288"]
    ) -> tuple[Float[Tensor, "n 133 576"], Float[Tensor, "n 133 768"]]:
        """SimCC's scores of both axes; their maxima are the probability that it is there."""
        across, down, sure = self.cells(functional.avg_pool2d(crop, COARSER_CROP))
        sure = sure.sigmoid()[..., None]
        return sure * _relative(across @ self.across), sure * _relative(down @ self.down)


def cubic_matrix(cells: int, finer: int) -> Float[Tensor, "c b"]:
    """Interpolates values at the middles of cells to ``finer`` bins a cell (Keys, 1981).

    Bin b is the place ``b / finer`` in cells from the first cell's edge. The kernel (a = -1/2)
    reproduces quadratics; beyond the outer cells the line through the last two goes on.

    Example:
        >>> square = (torch.arange(6.0) + 0.5).square()
        >>> (square @ cubic_matrix(6, 4))[8:16].sqrt()
        tensor([2.0000, 2.2500, 2.5000, 2.7500, 3.0000, 3.2500, 3.5000, 3.7500])
    """
    place = torch.arange(cells * finer, dtype=torch.float64) / finer - 0.5
    first = place.floor()
    matrix = torch.zeros(cells + 4, cells * finer, dtype=torch.float64)
    for step in range(-1, 3):
        x = (place - first - step).abs()
        inner = (1.5 * x - 2.5) * x * x + 1
        outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
        row = (first + step + 2).long().clamp(0, cells + 3)
        matrix[row, torch.arange(len(place))] += torch.where(x <= 1, inner, outer)
    inside = matrix[2:-2].clone()
    for row, (edge, next_to) in ((1, (0, 1)), (0, (0, 1)), (-2, (-1, -2)), (-1, (-1, -2))):
        far = 1 if row in (1, -2) else 2
        inside[edge] += (1 + far) * matrix[row]
        inside[next_to] -= far * matrix[row]
    return inside.float()


class Pyramid(nn.Module):
    """A trunk, and what its coarse levels know brought back to a finer one.

    Each level is normed, so that neither light nor contrast matters.

    Args:
        widths: channels of the levels, each half the side of the one before.
        level: which of them is given back, from 0.

    Raises:
        ValueError: there is no coarser level to bring back.
    """

    def __init__(self, widths: Sequence[int], *, level: int):
        super().__init__()
        if len(widths) < level + 2:
            raise ValueError(f"widths must name {level + 2} levels or more: got {len(widths)}")
        self.level = level
        pairs = list(zip((3, *widths), widths, strict=False))
        self.stages = nn.ModuleList(
            Stage(inner, outer, first=index == 0) for index, (inner, outer) in enumerate(pairs)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(_GROUPS, width) for width in widths)
        self.deep = Refine(widths[-1])
        back = zip(widths[level:], widths[level + 1 :], strict=False)
        self.back = nn.ModuleList(nn.Conv2d(outer, inner, 1) for inner, outer in back)
        self.last = Refine(widths[level])
        self.norm = nn.GroupNorm(_GROUPS, widths[level])

    def forward(self, pictures: Float[Tensor, "n 3 H W"]) -> Tensor:
        """The level, refined; activations included."""
        levels, hidden = [], pictures
        for stage, norm in zip(self.stages, self.norms, strict=True):
            hidden = norm(stage(hidden))
            levels.append(hidden)
        hidden = self.deep(hidden)
        for number in reversed(range(len(self.back))):
            above = functional.interpolate(self.back[number](hidden), scale_factor=2.0)
            hidden = levels[self.level + number] + above
        return functional.silu(self.norm(self.last(hidden)))


def _relative(logits: Float[Tensor, "n k b"]) -> Float[Tensor, "n k b"]:
    """Probabilities in units of the greatest one of each row."""
    return (logits - logits.amax(dim=-1, keepdim=True)).exp()
