"""The reference picture: any size and mode in, the model's size out, the person kept whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageFilter, ImageOps

from quickstep.data.image import read_image, rgb_picture

_ONE_COLOUR = 2
"""Spread of the values of a picture of one colour, as JPEG may leave it."""


@dataclass(frozen=True)
class Fit:
    """Where a picture lands inside a frame: ``point * scale + offset``, the same scale both ways.

    Attributes:
        scale: pixels of the frame per pixel of the picture.
        offset: left and upper bar, in pixels of the frame.
        size: width and height of the frame.
    """

    scale: float
    offset: tuple[float, float]
    size: tuple[int, int]

    @classmethod
    def centred(cls, inner: tuple[int, int], *, outer: tuple[int, int]) -> "Fit":
        """The largest centred placement of a picture that keeps all of it.

        Args:
            inner: width and height of the picture.
            outer: width and height of the frame.

        Example:
            >>> Fit.centred((100, 50), outer=(200, 200))
            Fit(scale=2.0, offset=(0.0, 50.0), size=(200, 200))
        """
        scale = min(outer[0] / inner[0], outer[1] / inner[1])
        offset = ((outer[0] - scale * inner[0]) / 2, (outer[1] - scale * inner[1]) / 2)
        return cls(scale=scale, offset=offset, size=outer)


def read_picture(image: Any) -> UInt8[np.ndarray, "H W 3"]:
    """Reads a picture of any kind as RGB.

    Args:
        image: a path, a PIL image, or an array: ``(H, W)`` grey or ``(H, W, 1, 3 or 4)``, bytes,
            or floats in [0, 1]. Transparent pictures are laid on white; a camera's rotation mark
            is obeyed.

    Raises:
        ValueError: the file is missing or no picture, or an array has another shape or range.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_as_bytes(np.asarray(image)))
    return rgb_picture(ImageOps.exif_transpose(image))


def read_reference(image: Any) -> UInt8[np.ndarray, "H W 3"]:
    """`read_picture`, of something that may be a person.

    Raises:
        ValueError: the same, or it is one colour all over.
    """
    picture = read_picture(image)
    if np.ptp(picture, axis=(0, 1)).max() <= _ONE_COLOUR:
        name = image if isinstance(image, str | Path) else "image"
        raise ValueError(f"{name}: one colour all over, nobody is in it")
    return picture


def fit_picture(
    picture: UInt8[np.ndarray, "H W 3"], *, size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "h w 3"], Fit]:
    """Scales a picture to fit inside ``size``; what is left over continues its edges, blurred.

    Nothing is cut off and nothing is stretched, so the person stays whole and in proportion.

    Args:
        picture: RGB bytes.
        size: width and height to fill.

    Returns:
        The fitted picture, and where the original lies in it.
    """
    fit = Fit.centred((picture.shape[1], picture.shape[0]), outer=size)
    inner = (
        max(1, min(size[0], round(picture.shape[1] * fit.scale))),
        max(1, min(size[1], round(picture.shape[0] * fit.scale))),
    )
    scaled = Image.fromarray(picture)
    if scaled.size != inner:
        scaled = scaled.resize(inner, Image.Resampling.LANCZOS)
    if inner == size:
        return np.array(scaled), fit
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    right, bottom = size[0] - inner[0] - left, size[1] - inner[1] - top
    bars = ((top, bottom), (left, right), (0, 0))
    padded = Image.fromarray(np.pad(np.asarray(scaled), bars, mode="edge"))
    blurred = padded.filter(ImageFilter.GaussianBlur(max(2.0, min(size) / 32)))
    blurred.paste(scaled, (left, top))
    return np.array(blurred), fit


def _as_bytes(array: np.ndarray) -> np.ndarray:
    plain = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
    if not plain or 0 in array.shape:
        raise ValueError(f"image must have the shape (H W) or (H W 1|3|4): got {array.shape}")
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array // 257).astype(np.uint8)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"image must hold bytes or floats in [0, 1]: got {array.dtype}")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"image must hold bytes or floats in [0, 1]: got {low} to {high}")
    return (array * 255).round().astype(np.uint8)
