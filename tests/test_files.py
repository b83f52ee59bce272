"""Files and folders are whole or not there, and what the dead left is taken away."""

import subprocess
import sys
from pathlib import Path

import pytest

from quickstep.files import folder_written_beside, remove_remains, written_beside

DIE_WRITING = """
import os, sys
from quickstep.files import folder_written_beside, written_beside
with written_beside(sys.argv[1] + "/table.csv") as file, folder_written_beside(
    sys.argv[1] + "/model"
) as folder:
    file.write_text("half")
    (folder / "weights").write_text("half")
    os._exit(9)
"""


def die_writing(home: Path) -> list[Path]:
    """What a process that ends without warning leaves in a folder."""
    before = set(home.iterdir())
    ended = subprocess.run([sys.executable, "-c", DIE_WRITING, str(home)], check=False)
    assert ended.returncode == 9
    return sorted(set(home.iterdir()) - before)


def test_what_the_dead_left_goes_and_the_rest_stays(tmp_path):
    left = die_writing(tmp_path)
    assert [path.name[: len(".model")] for path in left] == [".model", ".table"]
    (tmp_path / ".hidden.123-456.txt").write_text("mine")
    with written_beside(tmp_path / "other.csv") as alive:
        remove_remains(tmp_path.glob(".*"))
        assert alive.is_file()
    assert {path.name for path in tmp_path.iterdir()} == {".hidden.123-456.txt", "other.csv"}


def test_processes_of_other_machines_are_left_alone(tmp_path):
    """Their numbers mean nothing here, and they may be writing still."""
    (left, _) = die_writing(tmp_path)
    machine = left.name.split(".")[2].split("-")[0]
    other = left.rename(left.with_name(left.name.replace(machine, "0" * 6)))
    remove_remains(tmp_path.glob(".*"))
    assert [path for path in tmp_path.iterdir()] == [other]


def test_a_folder_is_replaced_when_the_new_one_is_whole(tmp_path):
    model = tmp_path / "model[1]"
    with folder_written_beside(model) as beside:
        (beside / "old").write_text("x")
    with pytest.raises(RuntimeError, match="stopped"), folder_written_beside(model) as beside:
        (beside / "new").write_text("x")
        raise RuntimeError("stopped")
    assert [path.name for path in model.iterdir()] == ["old"]
    with folder_written_beside(model) as beside:
        (beside / "new").write_text("x")
        assert (model / "old").is_file()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == [
        "model[1]",
        "model[1]/new",
    ]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(IsADirectoryError, match="it is a folder"), written_beside(tmp_path):
        pass
    with pytest.raises(FileNotFoundError, match="cannot write .*lost/file"):
        with written_beside(tmp_path / "lost" / "file"):
            pass
