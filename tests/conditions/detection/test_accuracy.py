import numpy as np
import pytest

from quickstep.conditions.detection.accuracy import Truth, detection_accuracy, torso_length
from quickstep.conditions.detection.detector import People


def truth() -> Truth:
    keypoints = np.random.default_rng(0).uniform(20, 80, (133, 2))
    keypoints[[5, 6]], keypoints[[11, 12]] = [[40, 30], [60, 30]], [[44, 70], [56, 70]]
    return Truth(keypoints, np.ones(133), np.array([10.0, 10.0, 90.0, 90.0]))


def found(offset: np.ndarray, *, box=(10.0, 10.0, 90.0, 90.0), score: float = 0.9) -> People:
    return People(
        boxes=np.array([[0.0, 0.0, 5.0, 5.0], box]),
        certainty=np.array([0.9, 0.8]),
        keypoints=np.stack([np.zeros((133, 2)), truth().keypoints + offset]),
        scores=np.full((2, 133), score),
    )


def test_the_torso_is_measured_between_the_middles():
    assert torso_length(truth().keypoints) == 40.0


def test_shares_of_points_within_a_distance_by_hand():
    offset = np.zeros((133, 2))
    offset[:17, 0] = [1.0] * 5 + [3.0] * 6 + [7.0] * 3 + [9.0] * 3
    numbers = detection_accuracy([found(offset)], [truth()])
    assert numbers["pck_body_0.05"] == pytest.approx(5 / 17)
    assert numbers["pck_body_0.1"] == pytest.approx(11 / 17)
    assert numbers["pck_body_0.2"] == pytest.approx(14 / 17)
    assert numbers["pixels_body"] == 3.0
    assert numbers["pck_face_0.05"] == 1.0
    assert (numbers["iou"], numbers["found"], numbers["marked"]) == (1.0, 1.0, 1.0)


def test_a_person_who_is_not_found_counts_as_missed():
    nobody = People(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 133, 2)), np.zeros((0, 133)))
    numbers = detection_accuracy([found(np.zeros((133, 2))), nobody], [truth(), truth()])
    assert numbers["pck_body_0.2"] == 0.5
    assert numbers["found"] == 0.5
    assert numbers["marked"] == 0.5


def test_points_that_are_not_seen_do_not_count():
    hidden = truth()
    scores = np.where(np.arange(133) < 100, 1.0, 0.5)
    offset = np.where(np.arange(133)[:, None] < 100, 0.0, 99.0)
    numbers = detection_accuracy([found(offset)], [Truth(hidden.keypoints, scores, hidden.box)])
    assert numbers["pck_hands_0.05"] == 1.0


def test_marks_that_are_wrong_are_counted():
    half = truth()
    scores = np.where(np.arange(133) < 33, 0.0, 1.0)
    numbers = detection_accuracy(
        [found(np.zeros((133, 2)))], [Truth(half.keypoints, scores, half.box)]
    )
    assert numbers["marked"] == pytest.approx(100 / 133)


def test_nothing_to_measure_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        detection_accuracy([], [])
