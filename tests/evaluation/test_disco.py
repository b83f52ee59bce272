import json

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from quickstep.evaluation.disco import (
    disco_l1,
    disco_psnr,
    grey_ssim,
    level_l1,
    overflow_psnr,
    stretched,
)

MEASURES = (level_l1, disco_l1, disco_psnr, overflow_psnr, grey_ssim)
OF_FIXTURE = {
    "L1": disco_l1,
    "plain_mean_abs_diff": level_l1,
    "PSNR": disco_psnr,
    "PSNR_before_fix": overflow_psnr,
    "SSIM": grey_ssim,
}


@pytest.fixture(scope="module")
def recorded(shared):
    facts = json.loads((shared / "fixtures/disco_metrics.json").read_text())
    with np.load(shared / "fixtures/disco_metrics_images.npz") as images:
        return facts, {name: images[name][None] for name in images.files}


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 196, size=(3, 6, 5, 3), dtype=np.uint8)
    return np.stack([cv2.resize(each, (40, 48), interpolation=cv2.INTER_CUBIC) for each in coarse])


def noisy(truth: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=truth.shape)
    return (truth + sigma * noise).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("pair", ["p0", "p1", "p2"])
@pytest.mark.parametrize("name", OF_FIXTURE)
def test_values_recorded_from_disco(recorded, pair, name):
    facts, images = recorded
    value = OF_FIXTURE[name](images[f"{pair}_gen"], images[f"{pair}_gt"])
    assert value.shape == (1,)
    assert value[0] == pytest.approx(facts["values"][pair][name], rel=1e-12)


@pytest.mark.parametrize("pair", ["p0", "p1", "p2"])
def test_equal_pictures_have_the_recorded_100_db(recorded, pair):
    facts, images = recorded
    same = images[f"{pair}_gt"]
    assert disco_psnr(same, same)[0] == facts["values"][pair]["PSNR_identical"]


def test_a_made_picture_of_another_size_is_stretched_as_disco_does(recorded):
    facts, images = recorded
    expected = facts["gen_resized_case"]["values"]
    made = stretched(images["p1_gen"], size=(48, 64))
    assert int(made.sum()) == expected["resized_gen_sum"]
    for name in ("L1", "SSIM", "PSNR"):
        value = OF_FIXTURE[name](made, images["p0_gt"])[0]
        assert value == pytest.approx(expected[name], rel=1e-12)


def test_scikit_image_agrees(truth):
    made = noisy(truth, 20)
    for index in range(len(truth)):
        expected = peak_signal_noise_ratio(truth[index], made[index], data_range=255)
        assert disco_psnr(made, truth)[index] == pytest.approx(expected, abs=1e-6)
        a, b = (cv2.cvtColor(each[index], cv2.COLOR_RGB2GRAY) for each in (made, truth))
        expected = structural_similarity(a, b, data_range=255)
        assert grey_ssim(made, truth)[index] == pytest.approx(expected, abs=1e-6)


def test_black_against_white_by_hand():
    black, white = np.zeros((1, 10, 20, 3), np.uint8), np.full((1, 10, 20, 3), 255, np.uint8)
    assert level_l1(black, white)[0] == 255
    assert disco_l1(black, white)[0] == 255 / 200
    assert disco_psnr(black, white)[0] == 0
    # 255^2 = 65025 = 254 * 256 + 1: the byte left over is 1.
    assert overflow_psnr(black, white)[0] == pytest.approx(20 * np.log10(255))
    # Both are flat, so only the means count: C1 / (1 + C1) with C1 = 0.01^2.
    assert grey_ssim(black, white)[0] == pytest.approx(1e-4 / (1 + 1e-4))


def test_one_level_by_hand():
    truth = np.full((2, 8, 8, 3), 100, np.uint8)
    made = truth.copy()
    made[1] += 1
    assert level_l1(made, truth).tolist() == [0, 1]
    assert disco_l1(made, truth).tolist() == [0, 1 / 64]
    assert disco_psnr(made, truth) == pytest.approx([100, 20 * np.log10(255)])
    made[1] = truth[1]
    made[1, 0, 0, 0] += 1
    assert disco_psnr(made, truth)[1] == pytest.approx(20 * np.log10(255) + 10 * np.log10(192))


def test_the_overflow_sees_nothing_in_sixteen_levels():
    truth = np.full((1, 8, 8, 3), 100, np.uint8)
    assert overflow_psnr(truth + np.uint8(16), truth)[0] == 100
    assert disco_psnr(truth + np.uint8(16), truth)[0] == pytest.approx(20 * np.log10(255 / 16))


def test_more_noise_and_more_blur_are_worse(truth):
    levels = [noisy(truth, sigma) for sigma in (2, 5, 10, 20, 40)]
    sharp = noisy(truth, 30)
    blurs = [
        np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in sharp])
        for sigma in (0.3, 0.6, 1.2, 2.4)
    ]
    for right, series in ((truth, levels), (sharp, blurs)):
        for measure, best_first in ((level_l1, False), (disco_psnr, True), (grey_ssim, True)):
            scores = [measure(made, right).mean() for made in series]
            assert scores == sorted(scores, reverse=best_first), measure.__name__


def test_the_overflow_cannot_tell_a_picture_from_another():
    rng = np.random.default_rng(0)
    made, truth = rng.integers(256, size=(2, 1, 64, 64, 3), dtype=np.uint8)
    assert overflow_psnr(made, truth)[0] == pytest.approx(28, abs=0.5)
    assert disco_psnr(made, truth)[0] < 8


@pytest.mark.parametrize("measure", MEASURES)
def test_order_mirror_and_turn_change_nothing(truth, measure):
    made = noisy(truth, 20)
    value = measure(made, truth)
    assert measure(truth, made) == pytest.approx(value, rel=1e-9)
    for change in (lambda v: v[:, ::-1], lambda v: v[:, :, ::-1], lambda v: v.swapaxes(1, 2)):
        assert measure(change(made), change(truth)) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("measure", MEASURES[:-1])
def test_shuffled_pixels_and_colours_change_nothing_but_ssim(truth, measure):
    made, rng = noisy(truth, 20), np.random.default_rng(2)
    value = measure(made, truth)
    order = rng.permutation(48 * 40)
    shuffled = [v.reshape(3, -1, 3)[:, order].reshape(v.shape) for v in (made, truth)]
    assert measure(*shuffled) == pytest.approx(value, rel=1e-12)
    assert measure(made[..., ::-1], truth[..., ::-1]) == pytest.approx(value, rel=1e-12)
    assert grey_ssim(*shuffled)[0] != pytest.approx(grey_ssim(made, truth)[0], rel=1e-3)


@pytest.mark.parametrize("measure", MEASURES)
def test_videos_that_cannot_be_compared_are_refused(truth, measure):
    with pytest.raises(ValueError, match="the truth's 3 frames: got 2"):
        measure(truth[:2], truth)
    with pytest.raises(ValueError, match="the truth's size 40x48: got 40x20"):
        measure(truth[:, :20], truth)
    with pytest.raises(ValueError, match=r"the made video must be uint8 .* got uint8 \(0, 48"):
        measure(truth[:0], truth[:0])


def test_what_is_too_small_or_empty_is_refused():
    small = np.zeros((1, 6, 9, 3), np.uint8)
    with pytest.raises(ValueError, match="at least 7x7 pixels: got 9x6"):
        grey_ssim(small, small)
    with pytest.raises(ValueError, match=r"must be positive: got \(0, 4\)"):
        stretched(small, size=(0, 4))
