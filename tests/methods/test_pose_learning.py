import pytest
import torch

from quickstep.methods.pose_learning import (
    PoseLearning,
    PoseLearningConfig,
    finder_losses,
    place_loss,
)
from quickstep.networks.pose_detector import CELL, PoseDetector

ENTROPY = 1.4189385  # of a Gaussian of deviation 1, in nats


def gaussian(place: float, cells: int) -> torch.Tensor:
    return -0.5 * (torch.arange(cells) + 0.5 - place).square()


def test_the_right_classes_cost_their_entropy_and_others_more():
    keypoints = torch.tensor([[[12.3 * CELL, 20.0 * CELL]]])
    across, down = gaussian(12.3, 24)[None, None], gaussian(20.0, 32)[None, None]
    right = place_loss(across, down, keypoints, torch.ones(1, 1), spread=1.0)
    assert float(right) == pytest.approx(2 * ENTROPY, abs=1e-3)
    wrong = place_loss(across, down.flip(2), keypoints, torch.ones(1, 1), spread=1.0)
    # KL of two Gaussians of deviation 1, 8 cells apart
    assert float(wrong - right) == pytest.approx(8.0**2 / 2, rel=1e-3)


def test_points_count_by_their_scores():
    keypoints = torch.tensor([[[60.0, 60.0], [60.0, 60.0]]])
    across = torch.stack([gaussian(5.0, 24), gaussian(20.0, 24)])[None]
    down = gaussian(5.0, 32).expand(1, 2, -1)
    only = place_loss(across, down, keypoints, torch.tensor([[1.0, 0.0]]), spread=1.0)
    assert float(only) == pytest.approx(2 * ENTROPY, abs=2e-3)
    none = place_loss(across, down, keypoints, torch.zeros(1, 2), spread=1.0)
    assert float(none) == 0.0


def cells_for(box: tuple[float, ...], *, logit: float) -> torch.Tensor:
    """Every cell near the middle tells this very box (in pixels); all others are sure of nobody."""
    x0, y0, x1, y1 = (edge / 32 for edge in box)
    cells = torch.zeros(1, 5, 20, 20)
    down, across = torch.meshgrid(torch.arange(20.0), torch.arange(20.0), indexing="ij")
    cells[0, 0], cells[0, 1] = (x0 + x1) / 2 - across, (y0 + y1) / 2 - down
    cells[0, 2], cells[0, 3] = torch.tensor(x1 - x0).log(), torch.tensor(y1 - y0).log()
    near = ((across + 0.5 - (x0 + x1) / 2).abs() <= 1.5) & (
        (down + 0.5 - (y0 + y1) / 2).abs() <= 1.5
    )
    cells[0, 4] = torch.where(near, logit, -20.0)
    return cells


def test_perfect_boxes_cost_nothing():
    box = (100.0, 120.0, 260.0, 400.0)
    person, overlap = finder_losses(
        cells_for(box, logit=20.0), torch.tensor([[box, (0.0,) * 4]]), radius=1.5
    )
    assert float(person) == pytest.approx(0.0, abs=1e-4)
    assert float(overlap) == pytest.approx(0.0, abs=1e-5)


def test_boxes_half_as_wide_cost_half():
    box, told = (100.0, 120.0, 260.0, 400.0), (140.0, 120.0, 220.0, 400.0)
    _, overlap = finder_losses(cells_for(told, logit=0.0), torch.tensor([[box]]), radius=1.5)
    assert float(overlap) == pytest.approx(0.5, abs=1e-4)


def test_a_scene_of_nobody_only_punishes_those_who_see_somebody():
    nobody = torch.zeros(1, 3, 4)
    quiet = finder_losses(torch.full((1, 5, 20, 20), -20.0), nobody, radius=1.5)
    loud = finder_losses(torch.full((1, 5, 20, 20), 3.0), nobody, radius=1.5)
    assert float(quiet[0]) == pytest.approx(0.0, abs=1e-6)
    assert float(loud[0]) > 1.0
    assert float(loud[1]) == 0.0


def test_the_gradient_reaches_both_networks():
    torch.manual_seed(0)
    detector = PoseDetector(finder_widths=(8, 8, 8), reader_widths=(8, 8, 8))
    method = PoseLearning(detector, PoseLearningConfig())
    batch = {
        "crop": torch.randn(2, 3, 128, 96),
        "keypoints": torch.rand(2, 133, 2) * 280,
        "scores": torch.ones(2, 133),
        "scene": torch.rand(1, 3, 80, 80) * 255,
        "boxes": torch.tensor([[[100.0, 100.0, 300.0, 500.0]]]),
    }
    loss = method.loss(batch, generator=torch.Generator(), progress=0.0)
    assert set(loss.parts) == {"place", "sure", "person", "box"}
    loss.value.backward()
    missing = [name for name, one in detector.named_parameters() if one.grad is None]
    assert not missing
