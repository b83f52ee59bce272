"""What is added to a prepared set later, in a folder beside its own files: how far it has come."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def rows_kept(note: Path, settings: Mapping[str, Any]) -> int:
    """Rows that are done; 0 where there are none yet.

    Args:
        note: the file that says so.
        settings: what the rows are made from, as JSON values.

    Raises:
        ValueError: they were made from other settings.
    """
    if not note.is_file():
        return 0
    noted = json.loads(note.read_text())
    if noted["settings"] != settings:
        raise ValueError(f"{note.parent} was made from other settings; remove it")
    return noted["done"]


def note_kept(note: Path, settings: Mapping[str, Any], *, done: int) -> None:
    """Notes how many rows are done, whole or not at all."""
    beside = note.with_suffix(".tmp")
    beside.write_text(json.dumps({"settings": settings, "done": done}, indent=1))
    os.replace(beside, note)
