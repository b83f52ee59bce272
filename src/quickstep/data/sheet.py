"""Pictures of results side by side: the compare video and the contact sheet."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

GAP = 2
LABEL_WIDTH = 72


def side_by_side(
    pictures: Sequence[UInt8[np.ndarray, "H W 3"]],
) -> UInt8[np.ndarray, "H V 3"]:
    """Pictures of one height in a row, a thin white line between them."""
    line = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    row = [pictures[0]]
    for picture in pictures[1:]:
        row += [line, picture]
    return np.concatenate(row, axis=1)


def compare_frames(
    reference: UInt8[np.ndarray, "H W 3"], *columns: Iterable[np.ndarray]
) -> Iterator[UInt8[np.ndarray, "H V 3"]]:
    """Frames of a compare video: the reference beside a frame of each column.

    Args:
        reference: the picture, the same in every frame.
        columns: skeletons, result and, where it is known, truth; it ends with the shortest.
    """
    for pictures in zip(*columns, strict=False):
        yield side_by_side([reference, *pictures])


def moments(num_frames: int, *, count: int = 8) -> list[int]:
    """Frame numbers spread evenly over a clip, its first and last frame among them.

    Example:
        >>> moments(16, count=4), moments(2, count=8)
        ([0, 5, 10, 15], [0, 1])
    """
    count = min(count, num_frames)
    return [round(i * (num_frames - 1) / max(count - 1, 1)) for i in range(count)]


def contact_sheet(
    rows: Sequence[tuple[str, Sequence[UInt8[np.ndarray, "H W 3"]]]],
) -> UInt8[np.ndarray, "U V 3"]:
    """A labelled grid: one row per name, one picture per moment.

    Args:
        rows: names, of one line or more, and their pictures, all of one size and number.

    Raises:
        ValueError: rows of different lengths, or no picture.
    """
    counts = {len(pictures) for _, pictures in rows}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(f"every row needs the same number of pictures: got {sorted(counts)}")
    height, width = rows[0][1][0].shape[:2]
    columns = counts.pop()
    font = ImageFont.load_default(size=13)
    lines = [line for name, _ in rows for line in name.split("\n")]
    margin = max(LABEL_WIDTH, *(round(font.getlength(line)) + 12 for line in lines))
    size = (margin + columns * (width + GAP), len(rows) * (height + GAP) - GAP)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for number, (name, pictures) in enumerate(rows):
        top = number * (height + GAP)
        pen.text((6, top + height // 2), name, fill="black", font=font, anchor="lm")
        for column, picture in enumerate(pictures):
            left = margin + GAP + column * (width + GAP)
            sheet.paste(Image.fromarray(picture), (left, top))
    return np.array(sheet)
