"""Still pictures in and out of files."""

import re
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from quickstep.files import written_beside

Ground = Literal["white", "black"]
"""What transparent parts lie on: white paper, or the black that skeletons are drawn on."""

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_NUMBER = re.compile(r"(\d+)(?!.*\d)")


class ImageError(ValueError):
    """A picture that cannot be read or written; the message is one line and names the file."""


def read_image(path: str | Path, *, ground: Ground = "white") -> UInt8[np.ndarray, "H W 3"]:
    """Reads a picture of any size and mode as RGB.

    A rotation noted by a camera is applied, transparent parts lie on the ground, 16-bit grey keeps
    its upper eight bits, and of an animated file the first frame is taken.

    Raises:
        ImageError: the file is missing or is not a picture.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    try:
        with Image.open(path) as image:
            return rgb_picture(ImageOps.exif_transpose(image), ground=ground)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path}: not a picture that can be read") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{path}: damaged picture: {error}") from error


def numbered_pictures(folder: Path, *, but: str | None = None) -> list[Path]:
    """The pictures of a folder in the order of their numbers, which must be that of their names.

    Args:
        folder: where they are.
        but: pictures whose names begin so are left out.

    Raises:
        ImageError: there is none, one has no number, or one is missing between two others.
    """
    pictures = sorted(
        each
        for each in folder.iterdir()
        if each.suffix.lower() in PICTURE_SUFFIXES
        and each.name[0] != "."
        and not (but and each.name.startswith(but))
    )
    if not pictures:
        raise ImageError(f"{folder}: there is no picture in it")
    found = [_NUMBER.search(each.stem) for each in pictures]
    if None in found:
        raise ImageError(f"{pictures[found.index(None)]}: a frame's name needs a number")
    numbers = [int(match.group()) for match in found if match]
    steps = {after - before for before, after in zip(numbers, numbers[1:], strict=False)}
    if any(step <= 0 for step in steps):
        at = next(i for i in range(1, len(numbers)) if numbers[i] <= numbers[i - 1])
        raise ImageError(
            f"{folder}: {pictures[at - 1].name} sorts before {pictures[at].name}: names must sort "
            "in the order of their numbers; write them with leading zeros"
        )
    if len(steps) > 1:
        at = next(i for i in range(1, len(numbers)) if numbers[i] - numbers[i - 1] != min(steps))
        raise ImageError(
            f"{folder}: a frame is missing between {pictures[at - 1].name} and {pictures[at].name}"
        )
    return pictures


def rgb_picture(image: Image.Image, *, ground: Ground = "white") -> UInt8[np.ndarray, "H W 3"]:
    """A PIL picture of any mode as an RGB array; see `read_image`."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = _eight_bit(np.asarray(image))
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, ground), image)
    return np.array(image.convert("RGB"))


def _eight_bit(values: np.ndarray) -> np.ndarray:
    """Grey values of more than 8 bits (0 to 65535) or floats (0 to 1, or 0 to 255) as uint8."""
    values = np.nan_to_num(values.astype(np.float64))
    if values.max(initial=0) > 255:
        values = values / 257
    elif values.max(initial=0) <= 1:
        values = values * 255
    return values.round().clip(0, 255).astype(np.uint8)


def write_image(path: str | Path, picture: UInt8[np.ndarray, "H W 3"]) -> None:
    """Writes an RGB picture, whole or not at all; the suffix chooses the format.

    Raises:
        ImageError: the suffix names no picture format.
        OSError: the folder is missing or cannot be written to.
    """
    path = Path(path)
    if path.suffix.lower() not in Image.registered_extensions():
        raise ImageError(f"{path}: a picture's name must end like .png or .jpg")
    with written_beside(path) as beside:
        Image.fromarray(picture).save(beside)
