"""The picture metrics of DisCo's evaluation scripts, which the papers' tables were made with.

Facts of Wangt-CN/DisCo, ``tool/metrics``, on 8-bit RGB pictures. Each function takes a clip and
gives one number a frame; DisCo's own number is the mean over all frames of all videos, so that a
long video weighs more than a short one. What differs from the usual:

- **L1** is divided by the number of pixels a second time (`disco_l1`).
- **PSNR** was taken on bytes that overflow until April 2024 (`overflow_psnr`): about 28 dB for
  any two pictures that differ much. Tables older than that hold it.
- **PSNR** afterwards, "PSNR*" in the papers, is `disco_psnr`: the mean of the frames' dB.
- **SSIM** is that of grey pictures (`grey_ssim`).
- A made picture of another size is stretched to the truth's by `stretched`, which does not
  filter. Here that is a call of its own: the metrics refuse pictures that differ in size.

None of these changes when made and truth change places, or when both are mirrored or turned.
L1 and PSNR do not change when the pixels of both are shuffled in one way, nor when the colours
are; SSIM does. All but `overflow_psnr` get worse under growing noise and blur.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from quickstep.evaluation.frames import Pictures, expect_pair, expect_pictures, similarity_map

EQUAL_PSNR = 100.0
"""dB of equal pictures. Pictures that differ can have more: one level in one value of 256x256
pixels is 101 dB. DisCo's rule is kept as it is."""


def level_l1(made: Pictures, truth: Pictures) -> Float[np.ndarray, " f"]:
    """Mean absolute difference of each frame in grey levels, 0 to 255.

    Raises:
        ValueError: the videos are not 8-bit RGB of one length and size; so for all of these.
    """
    return np.array([_level_l1(*pair) for pair in _pairs(made, truth)])


def disco_l1(made: Pictures, truth: Pictures) -> Float[np.ndarray, " f"]:
    """DisCo's "L1" of each frame: `level_l1` divided by height times width once more.

    It depends on the resolution: times 65536 it is in grey levels at 256x256.
    """
    return level_l1(made, truth) / (truth.shape[1] * truth.shape[2])


def disco_psnr(made: Pictures, truth: Pictures) -> Float[np.ndarray, " f"]:
    """PSNR of each frame in dB, ``20 log10(255 / rmse)`` over all colours; 100 for equal frames.

    This is the papers' "PSNR*" (DisCo since 2024-04-10).
    """
    return np.array([_decibels(_squared_error(*pair)) for pair in _pairs(made, truth)])


def overflow_psnr(made: Pictures, truth: Pictures) -> Float[np.ndarray, " f"]:
    """The PSNR of DisCo before 2024-04-10, in dB, whose bytes wrap round; only for old tables.

    The difference and its square are kept modulo 256, so black against white has an error of 1
    (48 dB), a difference of 16 levels has none at all (100 dB), and unrelated pictures have
    about 28 dB, as good a value as the tables of that time report.
    """
    return np.array([_decibels(_overflown_error(*pair)) for pair in _pairs(made, truth)])


def grey_ssim(made: Pictures, truth: Pictures) -> Float[np.ndarray, " f"]:
    """DisCo's SSIM of each frame: on 8-bit grey pictures, by scikit-image's defaults.

    Grey is OpenCV's conversion, rounded to bytes; for the rest see `frames.ssim`.

    Raises:
        ValueError: as above, or pictures of fewer than 7 pixels on a side.
    """
    expect_pair(made, truth)
    local = similarity_map(_grey(made), _grey(truth))
    return local.flatten(1).mean(dim=1).numpy()


def stretched(frames: Pictures, *, size: tuple[int, int]) -> UInt8[np.ndarray, "f H W 3"]:
    """Pictures brought to another size as DisCo does it, whatever their aspect.

    OpenCV's bilinear interpolation: nothing is filtered before shrinking, so fine detail
    aliases. For anything but DisCo's numbers use a filter that antialiases.

    Args:
        frames: pictures of any size.
        size: (width, height), at least 1x1.

    Raises:
        ValueError: `frames` are not 8-bit RGB, or `size` is not positive.
    """
    expect_pictures(frames, name="frames")
    if min(size) < 1:
        raise ValueError(f"size (width, height) must be positive: got {size}")
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in frames])


def _pairs(made: np.ndarray, truth: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    expect_pair(made, truth)
    return zip(made, truth, strict=True)


def _level_l1(made: np.ndarray, truth: np.ndarray) -> float:
    return float(cv2.absdiff(made, truth).mean(dtype=np.float64))


def _squared_error(made: np.ndarray, truth: np.ndarray) -> float:
    difference = made.astype(np.float64) - truth
    return float((difference * difference).mean())


def _overflown_error(made: np.ndarray, truth: np.ndarray) -> float:
    wrapped = made - truth
    return float((wrapped * wrapped).mean(dtype=np.float64))


def _decibels(squared_error: float) -> float:
    if squared_error == 0:
        return EQUAL_PSNR
    return 20 * math.log10(255 / math.sqrt(squared_error))


def _grey(frames: np.ndarray) -> Float[torch.Tensor, "f 1 H W"]:
    grey = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    return torch.from_numpy(grey)[:, None].double() / 255
