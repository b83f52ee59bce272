import numpy as np
import pytest

from quickstep.conditions.detection.boxes import (
    box_overlaps,
    decoded_boxes,
    letterbox,
    people_boxes,
    separate_boxes,
)


@pytest.mark.parametrize("size", [(30, 60), (60, 30), (640, 640), (1, 9), (1000, 7)])
def test_a_picture_keeps_its_shape_on_grey(size: tuple[int, int]):
    width, height = size
    canvas, scale = letterbox(np.full((height, width, 3), 200, np.uint8), 64)
    assert canvas.shape == (64, 64, 3)
    assert scale == 64 / max(size)
    right, bottom = max(int(width * scale), 1), max(int(height * scale), 1)
    assert (canvas[:bottom, :right] == 200).all()
    assert (canvas[bottom:] == 114).all()
    assert (canvas[:, right:] == 114).all()


def test_cells_are_read_by_hand():
    answer = np.zeros((84, 85), np.float32)  # 64 px: 8x8, 4x4 and 2x2 cells
    answer[8 + 2, :4] = 0.5, 0.25, np.log(2), np.log(3)  # stride 8, column 2, row 1
    answer[64 + 4 * 3 + 1, :4] = 0, 0, 0, 0  # stride 16, column 1, row 3
    answer[80 + 2, :4] = 1, 0, np.log(0.5), 0  # stride 32, column 0, row 1
    boxes = decoded_boxes(answer, 64)
    np.testing.assert_allclose(boxes[10], [20 - 8, 10 - 12, 20 + 8, 10 + 12], rtol=1e-6)
    np.testing.assert_allclose(boxes[64 + 13], [8, 40, 24, 56], rtol=1e-6)
    np.testing.assert_allclose(boxes[82], [32 - 8, 32 - 16, 32 + 8, 32 + 16], rtol=1e-6)


def test_an_answer_for_another_square_is_refused():
    with pytest.raises(ValueError, match="84 cells for a square of 64 px: got 80"):
        decoded_boxes(np.zeros((80, 85), np.float32), 64)


def test_sides_without_bounds_stay_finite():
    answer = np.full((84, 85), 1e3, np.float32)
    assert np.isfinite(decoded_boxes(answer, 64)).all()


def test_only_certain_people_stay_and_come_back_in_the_pictures_pixels():
    answer = np.zeros((84, 85), np.float32)
    answer[10, 4:7] = 0.9, 0.8, 0.0
    answer[40, 4:7] = 1.0, 0.2, 0.9  # surely something, but no person
    answer[60, 4:7] = 0.95, 0.9, 0.0
    boxes, scores = people_boxes(answer, side=64, scale=0.5)
    np.testing.assert_allclose(scores, [0.855, 0.72], rtol=1e-5)
    np.testing.assert_allclose(boxes[1], [(16 - 4) * 2, (8 - 4) * 2, (16 + 4) * 2, (8 + 4) * 2])


def test_nobody_gives_no_boxes():
    boxes, scores = people_boxes(np.zeros((84, 85), np.float32), side=64, scale=1.0)
    assert boxes.shape == (0, 4)
    assert scores.shape == (0,)


def test_overlaps_by_hand():
    a = np.array([[0.0, 0.0, 4.0, 4.0], [2.0, 2.0, 2.0, 9.0]])
    b = np.array([[2.0, 0.0, 6.0, 4.0], [0.0, 0.0, 4.0, 4.0], [9.0, 9.0, 10.0, 10.0]])
    np.testing.assert_allclose(box_overlaps(a, b), [[1 / 3, 1, 0], [0, 0, 0]])


def test_what_stays_is_apart_and_what_goes_is_covered_by_something_better():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (80, 2))], axis=1)
    scores = rng.uniform(size=80)
    kept = separate_boxes(boxes, scores)
    overlaps = box_overlaps(boxes, boxes)
    assert (np.diff(scores[kept]) <= 0).all()
    assert (overlaps[np.ix_(kept, kept)] - np.eye(len(kept)) <= 0.45).all()
    for gone in set(range(80)) - set(kept.tolist()):
        better = [one for one in kept if scores[one] >= scores[gone]]
        assert overlaps[gone, better].max() > 0.45
