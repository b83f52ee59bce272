"""Moving and still pictures of a page: frames packed into sheets, sheets into data URIs.

A clip is one picture that holds its frames in a grid. The page moves it behind a window, so that
any number of clips runs in step, frame by frame, without a video player.
"""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

LONGEST_SIDE = 16_000
"""WebP's own limit is 16,383 pixels."""


@dataclass(frozen=True)
class Quality:
    """How finely pictures are kept: the largest width in pixels, and WebP's quality 0 to 100."""

    width: int
    webp: int


QUALITIES = (
    Quality(256, 84),
    Quality(192, 80),
    Quality(160, 72),
    Quality(128, 60),
    Quality(96, 50),
)
"""From the finest to the one that is taken when nothing else fits."""


@dataclass(frozen=True)
class Sheet:
    """Frames in a grid.

    Attributes:
        uri: the picture, WebP, as a data URI.
        count: frames in it.
        columns: of the grid.
        rows: of the grid.
        width: of a frame.
        height: of a frame.
    """

    uri: str
    count: int
    columns: int
    rows: int
    width: int
    height: int

    def place(self, frame: int) -> str:
        """CSS position of a frame behind its window."""
        column, row = frame % self.columns, frame // self.columns
        across = 100 * column / max(self.columns - 1, 1)
        down = 100 * row / max(self.rows - 1, 1)
        return f"{across:.4g}% {down:.4g}%"


def pack_frames(frames: UInt8[np.ndarray, "f H W 3"], *, quality: Quality) -> Sheet:
    """Packs frames into a sheet, made smaller where they are wider than the quality allows.

    Raises:
        ValueError: there is no frame.
    """
    if not len(frames):
        raise ValueError("a sheet needs at least one frame: got none")
    height, width = frames.shape[1:3]
    scale = min(1.0, quality.width / width)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    columns = max(1, min(math.ceil(math.sqrt(len(frames))), LONGEST_SIDE // width))
    rows = math.ceil(len(frames) / columns)
    sheet = Image.new("RGB", (columns * width, rows * height))
    for number, frame in enumerate(frames):
        picture = Image.fromarray(frame)
        if scale < 1:
            picture = picture.resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(picture, ((number % columns) * width, (number // columns) * height))
    return Sheet(
        uri=data_uri(sheet, quality=quality.webp),
        count=len(frames),
        columns=columns,
        rows=rows,
        width=width,
        height=height,
    )


def data_uri(picture: Image.Image, *, quality: int) -> str:
    """A picture as a WebP data URI."""
    file = io.BytesIO()
    picture.save(file, format="WEBP", quality=quality, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def pack_within(videos: Sequence[np.ndarray], *, budget: int) -> list[Sheet]:
    """Packs all videos at the finest quality of `QUALITIES` whose total stays within a budget.

    Args:
        videos: the frames of each, `f H W 3` bytes, of any lengths and sizes.
        budget: characters of all data URIs together. The coarsest quality is kept even if it
            needs more.
    """
    sheets: list[Sheet] = []
    for quality in QUALITIES:
        sheets = [pack_frames(video, quality=quality) for video in videos]
        if sum(len(sheet.uri) for sheet in sheets) <= budget:
            break
    return sheets
