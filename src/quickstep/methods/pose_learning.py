"""Trains a pose detector: boxes by YOLOX's terms, keypoints by SimCC's classes."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from quickstep.methods.protocol import Loss, PlainMethod
from quickstep.networks.pose_detector import CELL, STRIDE, PoseDetector


@dataclass(frozen=True, kw_only=True)
class PoseLearningConfig:
    """Weights of the terms.

    Attributes:
        spread: standard deviation in cells of a keypoint's soft class on either axis.
        place: of the keypoints' classes.
        sure: of how sure each keypoint is.
        person: of which cells hold a person's middle.
        box: of the boxes, in 1 - IoU.
        radius: half the side in cells of the square round a person's middle that learns the box.
    """

    spread: float = 1.0
    place: float = 1.0
    sure: float = 2.0
    person: float = 1.0
    box: float = 1.0
    radius: float = 1.5


class PoseLearning(PlainMethod):
    """One loss of both networks; see `PoseLearningConfig`."""

    def __init__(self, detector: PoseDetector, config: PoseLearningConfig):
        self.trainable: nn.Module = detector
        self.detector = detector
        self.config = config

    def loss(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Loss:
        """The loss of a batch of `quickstep.data.pose_batches.PoseBatches`."""
        config = self.config
        across, down, sure = self.detector.reader.cells(batch["crop"])
        place = place_loss(across, down, batch["keypoints"], batch["scores"], spread=config.spread)
        cells = self.detector.finder.cells(batch["scene"])
        person, box = finder_losses(cells, batch["boxes"], radius=config.radius)
        terms = {
            "place": place,
            "sure": functional.binary_cross_entropy_with_logits(sure, batch["scores"]),
            "person": person,
            "box": box,
        }
        total = torch.stack([getattr(config, name) * term for name, term in terms.items()])
        return Loss(value=total.sum(), parts={name: term.detach() for name, term in terms.items()})


def place_loss(
    across: Float[Tensor, "n k x"],
    down: Float[Tensor, "n k y"],
    keypoints: Float[Tensor, "n k 2"],
    scores: Float[Tensor, "n k"],
    *,
    spread: float,
) -> Float[Tensor, ""]:
    """Cross-entropy with soft classes round the true cells, weighted by how well a point is seen.

    Args:
        across: logits of the columns' cells.
        down: of the rows'.
        keypoints: pixels of the crop.
        scores: weights; points with 0 count nothing.
        spread: standard deviation of the soft classes in cells.
    """
    total = across.new_zeros(())
    for axis, logits in enumerate((across, down)):
        middles = torch.arange(logits.shape[-1], device=logits.device) + 0.5
        offset = (middles - keypoints[..., axis, None] / CELL) / spread
        wanted = torch.softmax(-0.5 * offset.square(), dim=-1)
        apart = -(functional.log_softmax(logits, dim=-1) * wanted).sum(dim=-1)
        total = total + (apart * scores).sum() / scores.sum().clamp(min=1.0)
    return total


def finder_losses(
    cells: Float[Tensor, "n 5 h w"], boxes: Float[Tensor, "n p 4"], *, radius: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Which cells hold a person's middle, and 1 - IoU of the boxes that those cells tell.

    The cells near a person's middle tell the box; of two people the nearer one's. The cell's
    target is how good its box is, so that the best box stays when the others are suppressed.

    Args:
        cells: what `quickstep.networks.pose_detector.PersonFinder.cells` gives.
        boxes: x0 y0 x1 y1 in pixels; empty boxes are nobody.
        radius: half the side in cells of the square round a middle that learns.
    """
    corners = _corners(cells)
    centre = (boxes[:, :, :2] + boxes[:, :, 2:]) / (2 * STRIDE)
    real = (boxes[:, :, 2:] > boxes[:, :, :2]).all(dim=-1)
    offset = (corners + 0.5)[None, :, None] - centre[:, None]
    far = torch.where(real[:, None], offset.abs().amax(dim=-1), torch.inf)
    nearest, person = far.min(dim=2)
    chosen: Bool[Tensor, "n c"] = nearest <= radius
    told = _told_boxes(cells, corners)
    wanted = boxes.gather(1, person[..., None].expand(-1, -1, 4)) / STRIDE
    overlap = _overlaps(told, wanted)
    logits = cells[:, 4].flatten(1)
    target = torch.where(chosen, overlap.detach().clamp(min=0.2), 0.0)
    count = chosen.sum().clamp(min=1)
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    weight = torch.where(chosen, 1.0, logits.detach().sigmoid().square())
    box = torch.where(chosen, 1 - overlap, 0.0).sum() / count
    return (each * weight).sum() / count, box


def _corners(cells: Float[Tensor, "n 5 h w"]) -> Float[Tensor, "c 2"]:
    """Column and row of each cell, row by row."""
    height, width = cells.shape[-2:]
    down, across = torch.meshgrid(
        torch.arange(height, device=cells.device, dtype=torch.float32),
        torch.arange(width, device=cells.device, dtype=torch.float32),
        indexing="ij",
    )
    return torch.stack([across, down], dim=-1).flatten(0, 1)


def _told_boxes(
    cells: Float[Tensor, "n 5 h w"], corners: Float[Tensor, "c 2"]
) -> Float[Tensor, "n c 4"]:
    rows = cells[:, :4].flatten(2).transpose(1, 2)
    centre = rows[..., :2] + corners
    half = rows[..., 2:].clamp(max=5.0).exp() / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _overlaps(boxes: Float[Tensor, "n c 4"], others: Float[Tensor, "n c 4"]) -> Tensor:
    """IoU, below 0 for boxes apart: GIoU (Rezatofighi et al., 2019), which still has a slope."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    shared = (high - low).clamp(min=0).prod(dim=-1)
    areas = [(one[..., 2:] - one[..., :2]).clamp(min=0).prod(dim=-1) for one in (boxes, others)]
    union = (areas[0] + areas[1] - shared).clamp(min=1e-6)
    outer_low = torch.minimum(boxes[..., :2], others[..., :2])
    outer_high = torch.maximum(boxes[..., 2:], others[..., 2:])
    outer = (outer_high - outer_low).clamp(min=0).prod(dim=-1).clamp(min=1e-6)
    return shared / union - (outer - union) / outer
