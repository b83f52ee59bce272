import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from quickstep.evaluation.frames import (
    absolute_error,
    expect_pair,
    motion_energy_ratio,
    moved_mask,
    psnr,
    sharpness_ratio,
    similarity_map,
    ssim,
)


@pytest.fixture
def truth(generator):
    base = torch.rand(3, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(base, size=(32, 32), mode="bicubic").clamp(0, 1)


@pytest.fixture
def video(truth, generator):
    return (truth + 0.1 * torch.randn(truth.shape, generator=generator)).clamp(0, 1)


def test_psnr_and_ssim_agree_with_scikit_image(video, truth):
    for index in range(len(video)):
        a, b = (each[index].double().numpy().transpose(1, 2, 0) for each in (video, truth))
        expected = structural_similarity(a, b, channel_axis=2, data_range=1.0)
        assert ssim(video, truth)[index].item() == pytest.approx(expected, abs=1e-6)
        expected = peak_signal_noise_ratio(b, a, data_range=1.0)
        assert psnr(video, truth)[index].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [(7, 7), (9, 8), (31, 46), (101, 64)])
def test_ssim_of_any_size_agrees_with_scikit_image_window_by_window(size, generator):
    truth = torch.rand(2, 3, *size, generator=generator)
    video = (truth + 0.3 * torch.randn(truth.shape, generator=generator)).clamp(0, 1)
    found = similarity_map(video, truth)
    assert found.shape == (2, 3, size[0] - 6, size[1] - 6)
    for frame, channel in ((0, 0), (1, 2)):
        a, b = (each[frame, channel].double().numpy() for each in (video, truth))
        full = structural_similarity(a, b, data_range=1.0, full=True)[1]
        assert found[frame, channel].numpy() == pytest.approx(full[3:-3, 3:-3], abs=1e-9)
    assert (similarity_map(truth, truth) == 1).all()


def test_hand_values():
    truth = torch.zeros(1, 3, 8, 8)
    video = torch.full_like(truth, 0.1)
    assert psnr(video, truth).item() == pytest.approx(20.0, abs=1e-4)
    assert absolute_error(video, truth).item() == pytest.approx(0.1)
    assert psnr(truth, truth).item() == 100


def test_pictures_smaller_than_the_window_are_refused():
    small = torch.zeros(1, 3, 6, 20)
    with pytest.raises(ValueError, match="at least 7x7 pixels: got 20x6"):
        ssim(small, small)
    with pytest.raises(ValueError, match="at least 3x3 pixels: got 20x2"):
        sharpness_ratio(small[:, :, :2], small[:, :, :2])


def test_only_8_bit_pictures_of_one_length_and_size_are_a_pair():
    pictures = np.zeros((2, 8, 10, 3), dtype=np.uint8)
    expect_pair(pictures, pictures + np.uint8(1))
    for made, message in (
        (pictures.astype(np.float32), "the made video must be uint8 .* got float32"),
        (pictures[..., :2], r"got uint8 \(2, 8, 10, 2\)"),
        (pictures[0], r"got uint8 \(8, 10, 3\)"),
        (pictures[:1], "the truth's 2 frames: got 1"),
        (pictures[:, :, :4], "the truth's size 10x8: got 4x8"),
    ):
        with pytest.raises(ValueError, match=message):
            expect_pair(made, pictures)
    with pytest.raises(ValueError, match="the truth must be uint8"):
        expect_pair(pictures, pictures[:0])


def test_a_mask_counts_its_pixels_only(truth):
    video, mask = truth.clone(), torch.zeros(3, 32, 32, dtype=torch.bool)
    video[:, :, :16] += 0.5
    mask[:, 16:] = True
    assert absolute_error(video, truth, mask=mask).max() == 0
    assert absolute_error(video, truth, mask=~mask).mean().item() == pytest.approx(0.5)
    empty = torch.zeros_like(mask)
    assert all(math.isnan(value) for value in psnr(video, truth, mask=empty).tolist())


def test_more_noise_is_worse(truth, generator):
    noise = torch.randn(truth.shape, generator=generator)
    levels = [(truth + level * noise).clamp(0, 1) for level in (0.02, 0.05, 0.1, 0.2)]
    for metric in (psnr, ssim):
        scores = [metric(level, truth).mean().item() for level in levels]
        assert scores == sorted(scores, reverse=True)


def test_moved_pixels_are_those_that_changed():
    reference = torch.zeros(3, 4, 4)
    truth = torch.zeros(2, 3, 4, 4)
    truth[1, :, 2, 3] = 1
    assert moved_mask(truth, reference).nonzero().tolist() == [[1, 2, 3]]


def test_frozen_and_slow_motion_show(truth):
    assert motion_energy_ratio(truth, truth) == 1
    assert motion_energy_ratio(truth[:1].repeat(3, 1, 1, 1), truth) == 0
    assert math.isnan(motion_energy_ratio(truth[:1], truth[:1]))


def test_blur_is_less_sharp_and_noise_more(truth, video):
    blurred = torch.nn.functional.avg_pool2d(truth, 5, stride=1, padding=2, count_include_pad=False)
    assert sharpness_ratio(blurred, truth) < 0.9
    assert sharpness_ratio(truth, truth) == pytest.approx(1)
    assert sharpness_ratio(video, truth) > 1.1
    assert np.isfinite(sharpness_ratio(truth, truth, mask=truth.mean(dim=1) > 0.5))
