import math

import cv2
import numpy as np
import pytest
import torch

from quickstep.conditions.skeleton import Poses
from quickstep.evaluation.people import (
    face_error,
    hand_boxes,
    hand_error,
    identity_distance,
    square_crops,
)

FACE = (20.0, 10.0, 40.0, 34.0)
SIZE = (64, 72)
NOWHERE = (math.nan,) * 4


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 196, size=(3, 12, 11, 3), dtype=np.uint8)
    return np.stack([cv2.resize(each, SIZE, interpolation=cv2.INTER_CUBIC) for each in coarse])


@pytest.fixture
def boxes() -> np.ndarray:
    return np.array([FACE, NOWHERE, FACE])


@pytest.fixture
def poses() -> Poses:
    """A left hand in frames 0 and 1, a right hand in frame 0, none in frame 2."""
    hidden = Poses.hidden(num_frames=3, size=SIZE, fps=12.0)
    points, visible = hidden.keypoints.copy(), hidden.visible.copy()
    rng = np.random.default_rng(1)
    points[:, 91:112] = rng.uniform((8, 8), (20, 24), size=(3, 21, 2))
    points[:, 112:133] = rng.uniform((44, 50), (60, 60), size=(3, 21, 2))
    visible[:2, 91:112] = True
    visible[0, 112:133] = True
    return Poses(points, hidden.scores, visible, SIZE, 12.0)


def mean_colour(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.mean(dim=(2, 3))


def noisy(truth: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=truth.shape)
    return (truth + sigma * noise).round().clip(0, 255).astype(np.uint8)


def test_crops_by_hand():
    boxes = np.array(
        [
            FACE,
            (0.0, 0.0, 10.0, 6.0),
            (30.0, 30.0, 32.0, 31.0),
            (60.0, 68.0, 66.0, 74.0),
            (0.0, 0.0, 64.0, 72.0),
        ]
    )
    places = square_crops(boxes, size=SIZE, margin=1.5)
    assert places.tolist() == [
        [12, 4, 36],  # 24 * 1.5 round (30, 22)
        [0, 0, 15],  # moved inside
        [27, 26, 8],  # the smallest there is
        [55, 63, 9],
        [0, 4, 64],  # no more than the picture
    ]


def test_what_is_not_in_the_picture_has_no_crop():
    boxes = np.array([NOWHERE, (-9.0, 5.0, -1.0, 9.0), (50.0, 80.0, 60.0, 90.0), (5.0, 5, 5, 5)])
    assert square_crops(boxes, size=SIZE, margin=1.3)[:, 2].tolist() == [0, 0, 0, 0]
    half_out = np.array([(-6.0, 20.0, 8.0, 34.0), (-8.0, 20.0, 6.0, 34.0)])
    assert square_crops(half_out, size=SIZE, margin=1.0)[:, 2].tolist() == [14, 0]


def test_crops_lie_inside_whatever_the_box():
    corners = np.random.default_rng(0).uniform(-20, 80, size=(500, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    left, top, side = square_crops(boxes, size=SIZE, margin=1.4).T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + side <= SIZE[0]).all()
    assert (top + side <= SIZE[1]).all()
    assert set(side[side > 0]) <= set(range(8, 65))


def test_boxes_and_margins_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="margin must be at least 1: got 0.9"):
        square_crops(np.array([FACE]), size=SIZE, margin=0.9)
    with pytest.raises(ValueError, match=r"x0 y0 x1 y1: got \[9.0, 0.0, 3.0, 4.0\] at frame 1"):
        square_crops(np.array([FACE, (9.0, 0, 3, 4)]), size=SIZE, margin=1.3)


def test_face_error_by_hand(truth, boxes):
    errors = face_error(truth + np.uint8(7), truth, boxes)
    assert errors[[0, 2]] == pytest.approx([7, 7], abs=1e-4)
    assert math.isnan(errors[1])
    assert face_error(truth, truth, boxes)[[0, 2]].tolist() == [0, 0]


def test_only_the_face_counts(truth, boxes):
    made = 255 - truth
    left, top, side = square_crops(boxes, size=SIZE, margin=1.3)[0]
    inside = np.s_[:, top : top + side, left : left + side]
    made[inside] = truth[inside]
    assert face_error(made, truth, boxes)[0] == 0
    assert identity_distance(made, truth, boxes, features=mean_colour)[0] < 1e-12
    made = truth.copy()
    made[inside] = 255 - made[inside]
    assert face_error(made, truth, boxes)[0] > 20


def test_worse_faces_have_larger_errors(truth, boxes):
    blurs = [
        np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in truth])
        for sigma in (0.5, 1, 2, 4)
    ]
    for series in (blurs, [noisy(truth, sigma) for sigma in (2, 6, 18, 54)]):
        errors = [face_error(made, truth, boxes)[0] for made in series]
        assert errors == sorted(errors)
        assert face_error(truth, series[0], boxes)[0] == errors[0]


def test_identity_by_hand():
    red, green, both = np.zeros((3, 1, 32, 32, 3), np.uint8)
    red[..., 0], green[..., 1], both[..., :2] = 200, 100, 50
    boxes = np.array([(8.0, 8.0, 20.0, 20.0)])

    def distance(made: np.ndarray, truth: np.ndarray) -> float:
        return identity_distance(made, truth, boxes, features=mean_colour)[0]

    assert distance(red, green) == pytest.approx(1)
    assert distance(red, both) == pytest.approx(1 - math.sqrt(0.5))
    assert distance(both, red) == pytest.approx(1 - math.sqrt(0.5))
    assert distance(red, red // 2) == pytest.approx(0, abs=1e-6)


def test_the_network_sees_faces_only_in_batches_of_its_size(truth, boxes):
    seen: list[tuple[int, ...]] = []

    def features(pictures: torch.Tensor) -> torch.Tensor:
        assert not torch.is_grad_enabled()
        assert 0 <= pictures.min() <= pictures.max() <= 1
        seen.append(tuple(pictures.shape))
        return mean_colour(pictures)

    whole = identity_distance(noisy(truth, 30), truth, boxes, features=features, size=24)
    assert seen == [(2, 3, 24, 24)] * 2
    single = identity_distance(
        noisy(truth, 30), truth, boxes, features=features, size=24, batch_size=1
    )
    assert seen[2:] == [(1, 3, 24, 24)] * 4
    np.testing.assert_allclose(single, whole)
    assert np.isnan(whole).tolist() == [False, True, False]


def test_the_length_of_features_does_not_matter(truth, boxes):
    made = noisy(truth, 40)
    plain = identity_distance(made, truth, boxes, features=mean_colour)
    longer = identity_distance(made, truth, boxes, features=lambda each: 9 * mean_colour(each))
    np.testing.assert_allclose(plain, longer, rtol=1e-5)


def test_no_face_at_all_needs_no_network(truth):
    def never(pictures: torch.Tensor) -> torch.Tensor:
        raise AssertionError("called without a face")

    nowhere = np.array([NOWHERE] * 3)
    assert np.isnan(identity_distance(truth, truth, nowhere, features=never)).all()
    assert np.isnan(face_error(truth, truth, nowhere)).all()


def test_features_of_the_wrong_shape_are_refused(truth, boxes):
    with pytest.raises(ValueError, match=r"a vector for each of 2 pictures: got \(2, 3, 112, 112"):
        identity_distance(truth, truth, boxes, features=lambda pictures: pictures)
    with pytest.raises(ValueError, match="finite vectors"):
        identity_distance(
            truth, truth, boxes, features=lambda pictures: mean_colour(pictures) / 0 * 0
        )


def test_hand_boxes_hold_the_points_that_are_seen(poses):
    left, right = hand_boxes(poses)
    points = poses.keypoints[0, 91:112]
    assert left[0].tolist() == [*points.min(axis=0), *points.max(axis=0)]
    assert np.isnan(left[:, 0]).tolist() == [False, False, True]
    assert np.isnan(right[:, 0]).tolist() == [False, True, True]


def test_points_out_of_the_picture_do_not_make_a_hand(poses):
    points = poses.keypoints.copy()
    points[0, 91:109, 0] = -3
    moved = Poses(points, poses.scores, poses.visible, SIZE, 12.0)
    rest = points[0, 109:112]
    assert hand_boxes(moved)[0, 0].tolist() == [*rest.min(axis=0), *rest.max(axis=0)]
    points[0, 109, 1] = SIZE[1]
    moved = Poses(points, poses.scores, poses.visible, SIZE, 12.0)
    assert np.isnan(hand_boxes(moved)[0, 0]).all()


def test_hand_error_is_the_mean_of_the_hands_in_view(truth, poses):
    made = truth.copy()
    made[:, :36] += 6  # the left hand's half
    made[:, 36:] += 20
    errors = hand_error(made, truth, poses)
    assert errors[:2] == pytest.approx([13, 6], abs=1e-4)
    assert math.isnan(errors[2])


def test_hand_error_sees_hands_only_and_grows_with_their_noise(truth, poses):
    errors = [np.nanmean(hand_error(noisy(truth, s), truth, poses)) for s in (0, 2, 6, 18, 54)]
    assert errors == sorted(errors)
    assert errors[0] == 0
    made = truth.copy()
    made[:, :, 32:40] = 0
    assert np.nanmax(hand_error(made, truth, poses)) == 0


def test_size_of_the_picture_does_not_matter_much(truth, poses):
    made = np.stack([cv2.GaussianBlur(frame, (0, 0), 3) for frame in truth])
    large = [
        np.stack([cv2.resize(f, (256, 288), interpolation=cv2.INTER_CUBIC) for f in video])
        for video in (made, truth)
    ]
    small = hand_error(made, truth, poses)[:2]
    assert hand_error(large[0], large[1], poses.scaled_to((256, 288)))[:2] == pytest.approx(
        small, rel=0.1
    )


def test_poses_and_boxes_of_something_else_are_refused(truth, boxes, poses):
    with pytest.raises(ValueError, match=r"videos' \(64, 72\) pictures: got \(128, 144\)"):
        hand_error(truth, truth, poses.scaled_to((128, 144)))
    with pytest.raises(ValueError, match="each of 3 frames: got 2"):
        hand_error(truth, truth, poses[:2])
    with pytest.raises(ValueError, match="each of 3 frames: got 2"):
        face_error(truth, truth, boxes[:2])
    with pytest.raises(ValueError, match="the truth's 3 frames: got 2"):
        identity_distance(truth[:2], truth, boxes, features=mean_colour)
    with pytest.raises(ValueError, match="the truth's size 64x72: got 64x70"):
        face_error(truth[:, 2:], truth, boxes)
