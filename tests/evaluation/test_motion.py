import math

import cv2
import numpy as np
import pytest

from quickstep.animation.windows import Window, cut_windows
from quickstep.evaluation.motion import (
    BesideTruth,
    Seams,
    common_top,
    difference_heat_map,
    dtssd,
    flicker,
    frame_differences,
    seam_error,
    seam_frames,
    visible_after,
    warping_error,
)

MEASURES = (dtssd, flicker, warping_error, lambda a, b: seam_error(a, b, seams=[2]))


@pytest.fixture(scope="module")
def texture() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(20, 236, size=(22, 24, 3), dtype=np.uint8)
    return cv2.resize(coarse, (96, 88), interpolation=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def sliding(texture) -> np.ndarray:
    """A texture that moves two pixels to the left at each step."""
    return np.stack([texture[:64, 2 * t : 2 * t + 64] for t in range(8)])


@pytest.fixture(scope="module")
def half_still(texture, sliding) -> np.ndarray:
    """The upper half slides, the lower half stands."""
    video = sliding.copy()
    video[:, 32:] = texture[:32, :64]
    return video


def noisy(video: np.ndarray, sigma: float, *, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=video.shape)
    return (video + sigma * noise).round().clip(0, 255).astype(np.uint8)


def blurred(video: np.ndarray, sigma: float) -> np.ndarray:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in video])


def flat(*values: int, side: int = 16) -> np.ndarray:
    levels = np.array(values, dtype=np.uint8)
    return np.repeat(levels, side * side * 3).reshape(-1, side, side, 3)


def test_the_truth_is_without_fault(half_still):
    assert dtssd(half_still, half_still) == 0
    for beside in (flicker(half_still, half_still), warping_error(half_still, half_still)):
        assert beside.excess == 0


def test_beside_truth_by_hand():
    assert BesideTruth(3.0, 2.0).excess == 1
    assert BesideTruth(3.0, 2.0).ratio == 1.5
    assert math.isnan(BesideTruth(3.0, 0.0).ratio)


def test_dtssd_by_hand():
    # Steps of +4 and -2 against +1 and +1: errors 3 and -3.
    assert dtssd(flat(10, 14, 12), flat(20, 21, 22)) == 9
    assert math.isnan(dtssd(flat(10), flat(20)))


def test_dtssd_knows_frozen_slow_and_shuffled_motion_but_no_constant(sliding):
    frozen, slow = sliding[[0] * 8], sliding[[0, 0, 1, 1, 2, 2, 3, 3]]
    shuffled = sliding[[3, 0, 6, 1, 7, 2, 5, 4]]
    assert all(dtssd(made, sliding) > 10 for made in (frozen, slow, shuffled))
    dim = (sliding // 2).astype(np.uint8)
    assert dtssd(dim + np.uint8(50), dim) == 0
    assert dtssd(dim, sliding) == dtssd(sliding, dim)
    noise = [dtssd(noisy(sliding, sigma), sliding) for sigma in (1, 3, 9, 27)]
    assert noise == sorted(noise)


def test_flicker_by_hand():
    still = flat(100, 100, 100, 100)
    assert flicker(flat(100, 106, 100, 106), still).made == 6
    assert flicker(flat(100, 103, 106, 109), still) == BesideTruth(0.0, 0.0)
    # The bends of 0 0 8 8 are 4 and 4.
    assert flicker(flat(50, 50, 58, 58), still).made == 4


def test_flicker_of_white_noise_has_its_closed_form():
    truth = flat(*[128] * 12, side=48)
    value = flicker(noisy(truth, 10), truth).made
    assert value == pytest.approx(math.sqrt(3 / math.pi) * 10, rel=0.02)


def test_flicker_counts_only_where_the_truth_is_still(half_still):
    moved = half_still.copy()
    moved[::2, :30] = 255 - moved[::2, :30]
    assert flicker(moved, half_still).made == 0
    moved[::2, 40:50] = np.minimum(moved[::2, 40:50], 245) + 10
    assert flicker(moved, half_still).made > 1


def test_flicker_grows_with_noise_and_ignores_frozen_frames(half_still):
    values = [flicker(noisy(half_still, sigma), half_still).excess for sigma in (1, 3, 9, 27)]
    assert values == sorted(values)
    assert flicker(half_still[[0] * 8], half_still).made == 0


def test_flicker_needs_three_frames_and_stillness(half_still):
    assert math.isnan(flicker(half_still[:2], half_still[:2]).made)
    restless = flat(0, 50, 100, 150)
    assert math.isnan(flicker(restless, restless).made)
    assert flicker(restless, restless, threshold=50.0).made == 0
    with pytest.raises(ValueError, match="threshold must be at least 0 grey levels: got -1"):
        flicker(restless, restless, threshold=-1.0)


def test_a_pixel_is_visible_where_the_way_back_leads_home():
    flow = np.zeros((4, 6, 2), np.float32)
    flow[..., 0] = 2
    visible = visible_after(flow, -flow)
    assert visible[:, :4].all()
    assert not visible[:, 4:].any()  # leaves the picture on the right
    back = -flow
    back[:, 3] = 0  # what is at column 3 was there before: the pixel from column 1 is covered
    assert np.flatnonzero(visible_after(flow, back)[0]).tolist() == [0, 2, 3]


def test_a_still_video_warps_onto_itself(texture):
    video = np.repeat(texture[None, :64, :64], 3, axis=0)
    error = warping_error(noisy(video, 5), video)
    assert error.truth == pytest.approx(0, abs=1e-3)
    # Two independent noises of deviation 5 differ by sqrt(2) * 5 * sqrt(2 / pi) in the mean.
    assert error.made == pytest.approx(10 / math.sqrt(math.pi), rel=0.03)


def test_the_flow_explains_a_sliding_texture(sliding):
    error = warping_error(sliding, sliding)
    plain = frame_differences(sliding).mean()
    assert error.truth < 0.1 * plain


def test_warping_error_grows_with_noise_and_with_texture_that_stays_behind(sliding):
    values = [warping_error(noisy(sliding, sigma), sliding).excess for sigma in (1, 3, 9, 27)]
    assert values == sorted(values)
    assert values[0] > 0
    behind = (sliding // 2 + sliding[[0] * 8] // 2).astype(np.uint8)
    assert warping_error(behind, sliding).excess > 1


def test_a_video_smoother_than_the_truth_has_less_than_nothing_in_excess(sliding):
    grainy = noisy(sliding, 9)
    assert warping_error(sliding, grainy).excess < -1
    assert warping_error(blurred(grainy, 1.0), grainy).excess < -1


def test_warping_error_is_the_same_each_time_and_not_moved_by_a_constant(sliding):
    dim = noisy((sliding // 2).astype(np.uint8), 3)
    first, second = (warping_error(made, sliding) for made in (dim, dim + np.uint8(60)))
    assert first.truth == second.truth
    assert first.made == pytest.approx(second.made, rel=1e-5)


def test_warping_error_needs_two_frames_of_twelve_pixels(sliding):
    assert math.isnan(warping_error(sliding[:1], sliding[:1]).made)
    small = sliding[:, :11, :20]
    with pytest.raises(ValueError, match="at least 12x12 pixels: got 20x11"):
        warping_error(small, small)


def test_seam_error_by_hand():
    # Steps 2 2 10 2 2 against 3 3 6 3 3: errors 1 1 4 1 1.
    made, truth = flat(0, 2, 4, 14, 16, 18), flat(0, 3, 6, 12, 15, 18)
    assert seam_error(made, truth, seams=[3]) == Seams(4.0, 1.0)
    assert seam_error(made, truth, seams=[3, 3]).ratio == 4.5 / 1.5
    assert seam_error(made, truth, seams=(2, 3)) == Seams(2.5, 1.0)
    assert seam_error(made, truth, seams=[1]).ratio == 1.5 / 2.25


def test_a_jump_at_the_seam_shows_through_noise_and_motion(sliding):
    truth = np.minimum(sliding, 160)
    values = []
    for levels in (0, 10, 20, 40):
        made = noisy(truth, 5)
        made[4:] += np.uint8(levels)
        values.append(seam_error(made, truth, seams=[4]).ratio)
    assert values[0] == pytest.approx(1, abs=0.05)
    assert values == sorted(values)
    assert values[1] > 1.5


def test_the_truth_and_a_constant_shift_have_no_seam(sliding):
    dim = (sliding // 2).astype(np.uint8)
    assert seam_error(sliding, sliding, seams=[4]).ratio == 1
    assert seam_error(dim + np.uint8(90), dim, seams=[4]).ratio == 1
    made = noisy(sliding, 8)
    assert seam_error(made, sliding, seams=[4]) == seam_error(sliding, made, seams=[4])


def test_seams_that_cannot_be_measured():
    truth = flat(0, 3, 6, 12)
    for seams in ([], [1, 2, 3]):
        assert math.isnan(seam_error(truth, truth, seams=seams).ratio)
    for seam in (0, 4, -1):
        with pytest.raises(ValueError, match=f"between frames 1 and 3: got {seam}"):
            seam_error(truth, truth, seams=[seam])


def test_seams_are_the_steps_at_which_the_blend_moves_on():
    assert seam_frames([Window(0, 9)]) == []
    assert seam_frames(cut_windows(12, length=6, overlap=0)) == [6]
    assert seam_frames(cut_windows(14, length=8, overlap=2)) == [6, 7, 8]
    assert seam_frames(cut_windows(10, length=6, overlap=5)) == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_frame_differences_by_hand():
    frames = flat(10, 30, 25, side=1)
    frames[1, 0, 0] = (10, 10, 40)
    assert frame_differences(frames).ravel().tolist() == [10, pytest.approx(45 / 3)]
    assert frame_differences(frames[:1]).shape == (0, 1, 1)


def test_heat_maps_run_from_black_to_the_top_of_the_colours():
    frames = flat(0, 0, 20, 120, side=4)
    pictures = difference_heat_map(frames, top=20.0)
    assert pictures.shape == (3, 4, 4, 3)
    assert pictures.dtype == np.uint8
    still, moved, more = pictures[:, 0, 0].astype(int)
    assert still.sum() < 10
    assert moved.tolist() == more.tolist()
    assert moved[0] > 240 > moved[2]  # pale yellow as RGB
    assert difference_heat_map(frames[:1], top=1.0).shape == (0, 4, 4, 3)


def test_brighter_is_more_change():
    frames = np.zeros((2, 1, 100, 3), np.uint8)
    frames[1, 0] = np.arange(100, dtype=np.uint8)[:, None]
    heat = difference_heat_map(frames, top=99.0)[0, 0].astype(float)
    light = heat @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(light) >= 0).all()


def test_one_scale_for_all_videos(sliding):
    jumping = sliding[[0, 7, 0, 7]]
    top = common_top([sliding, jumping])
    assert common_top([sliding]) < top <= frame_differences(jumping).max()
    assert common_top([jumping, sliding]) == top
    assert common_top([sliding[[0] * 3]]) == 1
    assert common_top([sliding[:1]]) == 1


def test_scales_out_of_range_are_refused(sliding):
    with pytest.raises(ValueError, match="share must be between 0 and 1: got 2"):
        common_top([sliding], share=2.0)
    with pytest.raises(ValueError, match="top must be positive: got 0"):
        difference_heat_map(sliding, top=0.0)


@pytest.mark.parametrize("measure", MEASURES)
def test_videos_that_cannot_be_compared_are_refused(sliding, measure):
    with pytest.raises(ValueError, match="the truth's 8 frames: got 7"):
        measure(sliding[1:], sliding)
    with pytest.raises(ValueError, match="the truth's size 64x64: got 60x64"):
        measure(sliding[:, :, 4:], sliding)
