import numpy as np
import pytest
import torch

from quickstep.conditions.detection.boxes import decoded_boxes
from quickstep.networks.pose_detector import BINS, CROP, SIDE, PoseDetector, cubic_matrix


@pytest.fixture(scope="module")
def detector() -> PoseDetector:
    torch.manual_seed(0)
    return PoseDetector(finder_widths=(8, 8, 8), reader_widths=(8, 8, 8)).eval()


def test_quadratics_are_followed_exactly_to_the_peak():
    matrix = cubic_matrix(24, 24).double()
    middles = torch.arange(24, dtype=torch.float64) + 0.5
    for place in np.linspace(2, 22, 41):
        logits = -(middles - place).square() / 2
        fine = logits @ matrix
        wanted = -(torch.arange(24 * 24, dtype=torch.float64) / 24 - place).square() / 2
        inner = slice(2 * 24, 22 * 24)
        torch.testing.assert_close(fine[inner], wanted[inner], atol=1e-4, rtol=0)
        assert abs(float(fine.argmax()) / 24 - place) <= 0.5 / 24 + 1e-6


def test_constants_and_lines_are_kept_up_to_the_edges():
    matrix = cubic_matrix(6, 4).double()
    places = torch.arange(24, dtype=torch.float64) / 4
    torch.testing.assert_close(torch.ones(6).double() @ matrix, torch.ones(24).double())
    line = torch.arange(6, dtype=torch.float64) + 0.5
    torch.testing.assert_close(line @ matrix, places, atol=1e-6, rtol=0)


def test_the_finder_has_yoloxs_answer(detector: PoseDetector):
    with torch.no_grad():
        answer = detector.finder(torch.rand(2, 3, SIDE, SIDE) * 255)
    assert answer.shape == (2, 8400, 85)
    assert (answer[:, :8000] == 0).all()
    scores = answer[:, 8000:, 4:]
    assert ((scores[..., 0] > 0) & (scores[..., 0] < 1)).all()
    assert (scores[..., 1] == 1).all() and (scores[..., 2:] == 0).all()


def test_a_cells_box_is_decoded_as_it_was_meant(detector: PoseDetector):
    picture = torch.rand(1, 3, SIDE, SIDE) * 255
    with torch.no_grad():
        cells = detector.finder.cells(torch.nn.functional.avg_pool2d(picture, 8))
        boxes = decoded_boxes(detector.finder(picture)[0].numpy(), SIDE)
    row, column = 3, 17
    x, y, wide, tall = cells[0, :4, row, column].tolist()
    centre = 32 * np.array([x + column, y + row])
    half = 16 * np.exp([wide, tall])
    expected = np.concatenate([centre - half, centre + half])
    np.testing.assert_allclose(boxes[8000 + row * 20 + column], expected, rtol=1e-4, atol=1e-3)


def test_the_readers_greatest_scores_are_its_certainty(detector: PoseDetector):
    crop = torch.randn(2, 3, CROP[1], CROP[0])
    with torch.no_grad():
        across, down = detector.reader(crop)
        sure = detector.reader.cells(torch.nn.functional.avg_pool2d(crop, 3))[2]
    assert across.shape == (2, 133, CROP[0] * BINS)
    assert down.shape == (2, 133, CROP[1] * BINS)
    for scores in (across, down):
        torch.testing.assert_close(scores.amax(dim=2), sure.sigmoid())


def test_too_few_levels_are_refused():
    with pytest.raises(ValueError, match="widths must name 3 levels or more: got 2"):
        PoseDetector(finder_widths=(8, 8))
