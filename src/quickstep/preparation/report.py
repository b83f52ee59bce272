"""What was left out and what was kept, as a table and as pictures to look at."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from quickstep.data.image import write_image
from quickstep.files import written_beside
from quickstep.preparation.shards import picture_of

TABLE = "rejected.csv"
FAULT_SHEET = "rejected.png"
CLIP_SHEET = "clips.png"
COLUMNS = ("source", "first_frame", "last_frame", "stage", "reason")
SHEET_ROWS = 40
"""Rows of a sheet at most; the table has all."""
_TILE = (192, 128)
_TEXT_WIDTH = 520
_GREY = (200, 200, 200)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        source: name of the footage.
        reason: why it is left out.
        stage: what was being done.
        first: number of the first frame concerned; None for all of the source.
        last: of the last.
        picture: file and key of its picture, or None; see `picture_of`.
    """

    source: str
    reason: str
    stage: str
    first: int | None = None
    last: int | None = None
    picture: tuple[Path, str] | None = None

    @property
    def frames(self) -> str:
        """Which frames, in words."""
        if self.first is None:
            return "all of it"
        return f"frame {self.first}" if self.first == self.last else f"{self.first} to {self.last}"


def write_report(out: Path, faults: Sequence[Row], clips: Sequence[tuple[str, bytes]]) -> None:
    """Writes the table and both sheets; a sheet without rows is taken away.

    Args:
        out: the folder of the shards.
        faults: what is left out, in the order of the table.
        clips: labels and PNG strips of clips that are kept.

    Raises:
        OSError: the folder cannot be written to.
    """
    with written_beside(out / TABLE) as beside:
        with beside.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            for row in faults:
                ends = ("" if each is None else each for each in (row.first, row.last))
                table.writerow([row.source, *ends, row.stage, row.reason])
    shown = [
        (picture_of(*row.picture) if row.picture else None, [row.source, row.frames, row.reason])
        for row in faults[:SHEET_ROWS]
    ]
    _write_sheet(out / FAULT_SHEET, shown, width=_TILE[0])
    strips = [(strip, label.split("\n")) for label, strip in clips[:SHEET_ROWS]]
    widest = max((_picture(strip).shape[1] for _, strip in clips[:SHEET_ROWS]), default=1)
    _write_sheet(out / CLIP_SHEET, strips, width=widest)


def _write_sheet(
    path: Path, rows: Sequence[tuple[bytes | None, Sequence[str]]], *, width: int
) -> None:
    if not rows:
        path.unlink(missing_ok=True)
        return
    height = _TILE[1] + 4
    sheet = Image.new("RGB", (width + _TEXT_WIDTH, height * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for number, (content, lines) in enumerate(rows):
        top = number * height
        if content is None:
            pen.rectangle((0, top, width - 1, top + _TILE[1] - 1), fill=_GREY)
        else:
            sheet.paste(Image.fromarray(_picture(content)), (0, top))
        for line, text in enumerate(_wrapped([*lines], font)):
            pen.text((width + 10, top + 6 + 20 * line), text, fill="black", font=font)
    write_image(path, np.array(sheet))


def _wrapped(lines: list[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Lines broken at spaces where they are too long, six at most."""
    broken: list[str] = []
    for line in lines:
        current = ""
        for word in line.split(" "):
            longer = f"{current} {word}".strip()
            if current and font.getlength(longer) > _TEXT_WIDTH - 20:
                broken.append(current)
                longer = word
            current = longer
        broken.append(current)
    return broken[:6]


def _picture(content: bytes) -> UInt8[np.ndarray, "H W 3"]:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))
