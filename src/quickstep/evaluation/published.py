"""What the papers print: every row of every table, as printed, never as ours.

The rows are in ``published.json`` beside this file; ``docs/results/published.json`` is a link to
it. They were measured by others, on other data, sizes and weights, so that they are shown beside
our numbers and never ranked with them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PUBLISHED_FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """One row of a table of a paper.

    Attributes:
        paper: ``dancelcm`` or ``cosec``.
        title: of the paper.
        table: its number.
        caption: of the table.
        dataset: what was measured on.
        method: as printed, without its venue.
        venue: printed behind the method, or empty.
        cited: the paper's reference to the method, or empty.
        steps: denoising steps, or None where none are stated.
        printed: metric to the very characters printed; a dash is the paper's own.
        note: what the text version of the table lost, or what had to be read elsewhere.
    """

    paper: str
    title: str
    table: int
    caption: str
    dataset: str
    method: str
    venue: str
    cited: str
    steps: int | None
    printed: Mapping[str, str]
    note: str

    def value(self, metric: str) -> float | None:
        """The number printed for a metric, or None for a dash or a metric the table lacks."""
        text = self.printed.get(metric, "-")
        return None if text == "-" else float(text)


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """All rows, in the papers' order."""
    content = _content()
    return tuple(
        PublishedRow(
            paper=table["paper"],
            title=content["papers"][table["paper"]]["title"],
            table=table["table"],
            caption=table["caption"],
            dataset=table["dataset"],
            method=row["method"],
            venue=row.get("venue", ""),
            cited=row.get("cited", ""),
            steps=row["steps"],
            printed=row["values"],
            note=table.get("note", ""),
        )
        for table in content["tables"]
        for row in table["rows"]
    )


def published_note() -> str:
    """The sentence that goes with every published number."""
    return _content()["note"]


def higher_is_better(metric: str) -> bool:
    """Whether the papers' arrow beside a metric points up."""
    return _content()["better"][metric] == "higher"


@cache
def _content() -> dict[str, Any]:
    return json.loads(PUBLISHED_FILE.read_text(encoding="utf-8"))
