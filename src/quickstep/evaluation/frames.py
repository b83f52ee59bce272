"""How close frames are to the truth: per picture, on the person, and where something moved.

Videos here are ``f 3 H W`` in [0, 1]; masks are ``f H W``. Every function returns one number a
frame (NaN where a mask is empty), except the ratios, which are of a whole clip.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn import functional

Pictures = UInt8[np.ndarray, "_ _ _ 3"]
"""A video as it is judged beside others': 8-bit RGB, (frames, height, width, 3)."""

SSIM_WINDOW = 7


def expect_pair(made: np.ndarray, truth: np.ndarray) -> None:
    """Checks that two videos can be judged frame by frame: 8-bit RGB, of one length and size.

    Raises:
        ValueError: they cannot; the message has both shapes.
    """
    expect_pictures(made, name="the made video")
    expect_pictures(truth, name="the truth")
    if len(made) != len(truth):
        raise ValueError(
            f"the made video must have the truth's {len(truth)} frames: got {len(made)}"
        )
    (height, width), (true_height, true_width) = made.shape[1:3], truth.shape[1:3]
    if (height, width) != (true_height, true_width):
        raise ValueError(
            f"the made video must have the truth's size {true_width}x{true_height}: "
            f"got {width}x{height}"
        )


def expect_pictures(frames: np.ndarray, *, name: str) -> None:
    """Checks that a video is 8-bit RGB pictures, at least one.

    Raises:
        ValueError: it is not; the message begins with `name`.
    """
    shaped = frames.ndim == 4 and frames.shape[-1] == 3 and min(frames.shape) > 0
    if frames.dtype != np.uint8 or not shaped:
        raise ValueError(
            f"{name} must be uint8 pictures of shape (frames, height, width, 3): "
            f"got {frames.dtype} {frames.shape}"
        )


def psnr(
    video: Float[Tensor, "f 3 H W"],
    truth: Float[Tensor, "f 3 H W"],
    *,
    mask: Bool[Tensor, "f H W"] | None = None,
) -> Float[Tensor, " f"]:
    """Peak signal to noise ratio in dB of each frame: ``-10 log10(mean squared error)``.

    Args:
        video: what was made.
        truth: what it should be.
        mask: the pixels that count; all of them without it.

    Returns:
        dB in float64, at most 100 (equal frames), NaN for an empty mask.
    """
    error = (video.double() - truth.double()).square().mean(dim=1)
    return -10 * torch.log10(_masked_mean(error, mask).clamp(min=1e-10))


def absolute_error(
    video: Float[Tensor, "f 3 H W"],
    truth: Float[Tensor, "f 3 H W"],
    *,
    mask: Bool[Tensor, "f H W"] | None = None,
) -> Float[Tensor, " f"]:
    """Mean absolute difference of each frame, in units of the full range."""
    return _masked_mean((video - truth).abs().mean(dim=1), mask)


def ssim(
    video: Float[Tensor, "f 3 H W"],
    truth: Float[Tensor, "f 3 H W"],
    *,
    mask: Bool[Tensor, "f H W"] | None = None,
) -> Float[Tensor, " f"]:
    """Structural similarity of each frame (Wang et al. 2004), averaged over the colours.

    The form of scikit-image's defaults: a 7x7 uniform window, sample covariance, K1 0.01, K2
    0.03, and the outer 3 pixels left out, where the window does not fit.

    Args:
        video: what was made.
        truth: what it should be.
        mask: the window centres that count; all of them without it.

    Returns:
        -1 to 1 in float64, 1 for equal frames, NaN for an empty mask.

    Raises:
        ValueError: frames of fewer than 7 pixels on a side.
    """
    local = similarity_map(video, truth).mean(dim=1)
    return _masked_mean(local, None if mask is None else mask[:, 3:-3, 3:-3])


def similarity_map(
    video: Float[Tensor, "f c H W"], truth: Float[Tensor, "f c H W"]
) -> Float[Tensor, "f c h w"]:
    """SSIM of every full 7x7 window, in float64; 6 pixels smaller on each axis than the input.

    Raises:
        ValueError: pictures of fewer than 7 pixels on a side.
    """
    if min(video.shape[-2:]) < SSIM_WINDOW:
        height, width = video.shape[-2:]
        raise ValueError(f"SSIM needs pictures of at least 7x7 pixels: got {width}x{height}")
    height, width = (side - SSIM_WINDOW + 1 for side in video.shape[-2:])
    ours, theirs = (each.double().flatten(0, 1).cpu().numpy() for each in (video, truth))
    local = np.empty((len(ours), height, width))
    for index, planes in enumerate(zip(ours, theirs, strict=True)):
        local[index] = _similarity(*planes)
    return torch.from_numpy(local).unflatten(0, video.shape[:2])


def moved_mask(
    truth: Float[Tensor, "f 3 H W"],
    reference: Float[Tensor, "3 H W"],
    *,
    threshold: float = 0.1,
) -> Bool[Tensor, "f H W"]:
    """Pixels where the truth is not what the reference shows there.

    Copying the reference is right everywhere else, so only these tell models apart.

    Args:
        truth: the true frames.
        reference: the reference picture.
        threshold: smallest difference, averaged over the colours, that counts.
    """
    return (truth - reference).abs().mean(dim=1) > threshold


def motion_energy_ratio(video: Float[Tensor, "f 3 H W"], truth: Float[Tensor, "f 3 H W"]) -> float:
    """Change between neighbouring frames, as a share of the truth's: 1 is right, 0 is frozen.

    NaN for a single frame or a truth that does not move.
    """
    return _ratio(_change(video), _change(truth))


def sharpness_ratio(
    video: Float[Tensor, "f 3 H W"],
    truth: Float[Tensor, "f 3 H W"],
    *,
    mask: Bool[Tensor, "f H W"] | None = None,
) -> float:
    """Strength of fine detail as a share of the truth's: below 1 is blur, above is noise.

    Detail is the root mean square of the Laplacian, over the pixels of ``mask``. NaN for a truth
    without any.

    Raises:
        ValueError: frames of fewer than 3 pixels on a side.
    """
    if min(video.shape[-2:]) < 3:
        height, width = video.shape[-2:]
        raise ValueError(f"sharpness needs pictures of at least 3x3 pixels: got {width}x{height}")
    return _ratio(_detail(video, mask), _detail(truth, mask))


def _similarity(
    a: Float[np.ndarray, "H W"], b: Float[np.ndarray, "H W"]
) -> Float[np.ndarray, "h w"]:
    count = SSIM_WINDOW**2
    sample, c1, c2 = count / (count - 1), 0.01**2, 0.03**2
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = sample * (_window_mean(a * b) - product)
    variances = sample * (_window_mean(a * a + b * b) - squares)
    above = (2 * product + c1) * (2 * covariance + c2)
    return above / ((squares + c1) * (variances + c2))


def _window_mean(plane: np.ndarray) -> np.ndarray:
    """The mean of every full window; OpenCV's running sums cost the same at any window."""
    inner = slice(SSIM_WINDOW // 2, -(SSIM_WINDOW // 2))
    return cv2.boxFilter(plane, cv2.CV_64F, (SSIM_WINDOW, SSIM_WINDOW))[inner, inner]


def _detail(video: Tensor, mask: Tensor | None) -> float:
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=video.device)
    grey = video.mean(dim=1, keepdim=True)
    laplacian = functional.conv2d(grey, kernel[None, None])[:, 0]
    inner = None if mask is None else mask[:, 1:-1, 1:-1]
    per_frame = _masked_mean(laplacian.square(), inner)
    return float(per_frame.nanmean().sqrt())


def _change(video: Tensor) -> float:
    return float((video[1:] - video[:-1]).abs().mean()) if len(video) > 1 else float("nan")


def _ratio(made: float, true: float) -> float:
    return made / true if true > 0 else float("nan")


def _masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.flatten(1).mean(dim=1)
    inside = mask.to(values.dtype)
    total = (values * inside).flatten(1).sum(dim=1)
    count = inside.flatten(1).sum(dim=1)
    return torch.where(count > 0, total / count, torch.full_like(total, float("nan")))
