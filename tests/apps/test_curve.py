import json
import os
from pathlib import Path

import pytest

from quickstep.apps.cli import main
from quickstep.data.dancer_folders import write_dancer_clips

NETWORKS = ("identity", "dancer_perceptual", "dancer_frame_distance", "dancer_video_distance")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clips"
    write_dancer_clips(folder, num_clips=2, num_frames=3, size=64, seed=1_000_000)
    return folder


@pytest.fixture
def curve(model_folders, clips, tmp_path, monkeypatch):
    """Runs ``quickstep curve`` in an empty folder with the tiny models and plain metrics."""
    monkeypatch.chdir(tmp_path)

    def run(*words, models=("teacher", "student"), data=clips):
        folders = [str(model_folders / model) for model in models]
        left_out = [word for name in NETWORKS for word in ("--without", name)]
        options = [*left_out, *(() if "--device" in words else ("--device", "cpu"))]
        return main(["curve", *folders, str(data), *words, *options])

    return run


def test_a_page_and_its_numbers_come_out(curve, capsys, monkeypatch):
    monkeypatch.setattr("quickstep.evaluation.curve.measure.code_digest", lambda: "0" * 64)
    words = ("-o", "out", "--steps", "2", "--clips", "1", "--shown", "1")
    assert curve(*words, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["page"] == os.path.join("out", "curve.html")
    assert summary["headline"].startswith("2 steps: ")
    assert Path("out/curve.html").read_text().startswith("<!doctype html>")
    kept = Path("out/curve.json").read_bytes()
    numbers = json.loads(kept)
    assert [row["name"] for row in numbers["rows"]] == [
        *("copy", "teacher, round trip", "teacher, 2 steps", "student, 2 steps")
    ]
    assert numbers["num_clips"] == 1
    assert len(json.loads(Path("out/timings.json").read_text())["points"]) == 2
    assert curve(*words) == 0
    assert Path("out/curve.json").read_bytes() == kept
    assert capsys.readouterr().out.startswith("2 steps: ")


MISTAKES = {
    "nothing": ((), {"models": ()}, "curve needs MODEL and DATA"),
    "no folder": ((), {}, "curve needs -o DIR"),
    "no data": (("-o", "out"), {"data": "nowhere"}, "nowhere: no such file or folder"),
    "no model": (("-o", "out"), {"models": ("nobody",)}, "nobody"),
    "twice": (("-o", "out"), {"models": ("student", "student")}, "given twice"),
    "steps": (("-o", "out", "--steps", "0"), {}, "steps must be between 1 and 1000: got 0"),
    "teacher steps": (
        ("-o", "out", "--teacher-steps", "0"),
        {},
        "must be between 1 and 1000: got 0",
    ),
    "no teacher": (
        ("-o", "out", "--teacher-steps", "4"),
        {"models": ("student",)},
        "none of the models is a teacher",
    ),
    "clips": (("-o", "out", "--clips", "0"), {}, "limit must be 1 or more: got 0"),
    "shown": (("-o", "out", "--shown", "-1"), {}, "--shown must be 0 or more: got -1"),
    "protocol": (("-o", "out", "--protocol", "fvd"), {}, "no protocol 'fvd'"),
    "folder is a file": (("-o", "file/out"), {}, "file is a file"),
    "guidance": (("-o", "out", "--guidance", "0.5"), {}, "guidance must be at least 1"),
    "device": (("-o", "out", "--device", "teapot"), {}, "teapot"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(curve, capsys, tmp_path, mistake):
    words, changes, message = MISTAKES[mistake]
    (tmp_path / "file").touch()
    assert curve(*words, **changes) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("quickstep: error: ")
    assert message in error
    assert os.listdir(tmp_path) == ["file"]
