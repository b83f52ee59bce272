import numpy as np
import pytest

from quickstep.conditions.skeleton import Poses
from quickstep.conditions.smoothing import (
    FILLED_SCORE,
    evenly_timed,
    fill_gaps,
    filled_poses,
    smoothed_poses,
)


def line(num_frames: int) -> Poses:
    """Every point moves along a straight line, 2 right and 1 down a frame."""
    poses = Poses.hidden(num_frames=num_frames, size=(200, 100), fps=10.0)
    way = np.arange(num_frames)[:, None, None] * np.array([2.0, 1.0]) + 5
    seen = np.ones((num_frames, 133))
    return Poses(
        np.broadcast_to(way, (num_frames, 133, 2)),
        scores=seen,
        visible=seen > 0,
        size=poses.size,
        fps=10.0,
    )


def without(poses: Poses, frames: slice, point: int) -> Poses:
    keypoints, scores = poses.keypoints.copy(), poses.scores.copy()
    visible = poses.visible.copy()
    keypoints[frames, point], scores[frames, point], visible[frames, point] = 0.0, 0.0, False
    return Poses(keypoints, scores=scores, visible=visible, size=poses.size, fps=poses.fps)


def test_short_gaps_are_filled_in_a_straight_line_and_marked():
    whole = line(9)
    filled = filled_poses(without(whole, slice(3, 6), 7), max_gap=3)
    np.testing.assert_allclose(filled.keypoints, whole.keypoints, atol=1e-5)
    assert filled.visible.all()
    assert filled.scores[3:6, 7].tolist() == pytest.approx([FILLED_SCORE] * 3)


def test_long_gaps_and_ends_stay():
    gap = without(line(9), slice(3, 6), 7)
    assert not filled_poses(gap, max_gap=2).visible[3:6, 7].any()
    end = without(line(9), slice(7, 9), 7)
    assert not filled_poses(end, max_gap=5).visible[7:, 7].any()


def test_gaps_of_plain_arrays_are_filled_in_place():
    places, scores = np.zeros((4, 1, 2)), np.array([[1.0], [0.0], [0.0], [1.0]])
    places[3, 0] = 3, 6
    fill_gaps(places, scores, max_gap=2)
    assert places[1:3, 0].tolist() == [[1, 2], [2, 4]]


def test_smoothing_leaves_a_straight_line_straight():
    smooth = smoothed_poses(line(21), spread=1.5)
    np.testing.assert_allclose(smooth.keypoints[5:-5], line(21).keypoints[5:-5], atol=1e-4)


def test_smoothing_calms_noise_by_as_much_as_theory_says():
    rng = np.random.default_rng(0)
    still = line(400)
    noisy = Poses(
        50 + rng.normal(size=still.keypoints.shape),
        scores=still.scores,
        visible=still.visible,
        size=still.size,
        fps=10.0,
    )
    spread = 2.0
    left = smoothed_poses(noisy, spread=spread).keypoints[20:-20].std()
    assert left == pytest.approx((4 * np.pi * spread**2) ** -0.25, rel=0.02)


def test_hidden_points_neither_move_nor_pull():
    hidden = without(line(9), slice(4, 5), 7)
    smooth = smoothed_poses(hidden, spread=1.0)
    assert smooth.keypoints[4, 7].tolist() == [0, 0]
    np.testing.assert_allclose(smooth.keypoints[3, 7], line(9).keypoints[3, 7], atol=1.1)
    assert (smooth.visible == hidden.visible).all()


def test_no_smoothing_is_none_and_nonsense_is_refused():
    poses = line(3)
    assert smoothed_poses(poses, spread=0.0) is poses
    with pytest.raises(ValueError, match="spread must be 0 frames or more: got -1"):
        smoothed_poses(poses, spread=-1.0)


def test_one_frame_is_left_alone():
    np.testing.assert_allclose(smoothed_poses(line(1), spread=3.0).keypoints, line(1).keypoints)


def test_poses_at_uneven_times_are_laid_on_an_even_clock():
    even = line(9)
    seconds = np.array([0.0, 0.1, 0.4, 0.5, 0.8]) + 3  # frames 2, 3, 6 and 7 are missing
    uneven = even[[0, 1, 4, 5, 8]]
    timed = evenly_timed(uneven, seconds, fps=10)
    np.testing.assert_allclose(timed.keypoints, even.keypoints, atol=1e-4)
    assert timed.visible.all() and timed.fps == 10
    hidden = evenly_timed(without(uneven, slice(2, 3), 7), seconds, fps=10)
    assert hidden.visible[:, 7].tolist() == [True] * 3 + [False] * 2 + [True] * 4
    np.testing.assert_allclose(hidden.keypoints[2, 7], even.keypoints[1, 7], atol=1e-4)
    assert len(evenly_timed(even[0], np.array([2.0]), fps=10)) == 1


@pytest.mark.parametrize("seconds", [[0.0, 0.1], [0.0, 0.2, 0.2]])
def test_times_that_cannot_be_are_refused(seconds):
    with pytest.raises(ValueError, match="seconds must grow, one for each of 3 frames"):
        evenly_timed(line(3), np.array(seconds), fps=10)
