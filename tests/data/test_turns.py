"""Whoever comes second to a folder waits, and finds what the first has made."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from quickstep.data.turns import in_turn


@dataclass
class Folder:
    folder: Path


@in_turn
def add_line(place, *, name, seconds=0.0):
    folder = place if isinstance(place, Path) else place.folder
    path = folder / "lines.txt"
    lines = path.read_text().split() if path.is_file() else []
    time.sleep(seconds)
    path.write_text("\n".join([*lines, name]))
    return len(lines)


@pytest.mark.parametrize("kind", [Path, Folder])
def test_nothing_is_lost_between_two_at_once(tmp_path, kind):
    place = kind(tmp_path / "set")
    others = [
        threading.Thread(target=add_line, args=(place,), kwargs={"name": str(n), "seconds": 0.05})
        for n in range(4)
    ]
    for each in others:
        each.start()
    for each in others:
        each.join()
    assert add_line(place, name="last") == 4


def test_a_failure_gives_the_turn_up(tmp_path):
    @in_turn
    def fail(folder):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail(tmp_path)
    assert add_line(tmp_path, name="next") == 0
