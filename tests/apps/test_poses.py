"""``quickstep poses`` on footage, by a detector whose answers are known, and on what is read."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from borrowed import borrowed
from quickstep.animation import driving
from quickstep.animation.animator import Animator
from quickstep.animation.driving import read_driving
from quickstep.apps.cli import main
from quickstep.apps.options import read_person
from quickstep.conditions.skeleton import Poses
from quickstep.data.footage import Search
from quickstep.data.image import read_image
from quickstep.data.video import read_video

_FOOTAGE = borrowed("data/test_footage.py")

detector = _FOOTAGE.detector
video = _FOOTAGE.video


@pytest.fixture
def poses(video: Path, detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs ``quickstep poses`` on the footage in its folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, source: str = "street.mp4") -> int:
        return main(["poses", source, "--detector", "detector", "--device", "cpu", *words])

    return run


def test_footage_becomes_keypoints_and_an_overlay(poses, capsys):
    assert poses("-o", "out.npz", "--overlay", "over.mp4") == 0
    found = Poses.read("out.npz")
    assert (len(found), found.size) == (5, (64, 64))
    assert read_video("over.mp4").frames.shape == (5, 64, 64, 3)
    assert "out.npz: 5 frames, 99% of the points visible" in capsys.readouterr().out


def test_the_summary_holds_sha256_and_findings(poses, capsys):
    assert poses("-o", "out.json", "--check", "--json", "--layout", "coco") == 0
    summary = json.loads(capsys.readouterr().out)
    assert len(summary["origin"]["reader"]["sha256"]) == 64
    assert {"person", "gaps", "limbs", "face", "first frame"} <= {
        finding["name"] for finding in summary["check"]
    }
    assert summary["overlay"] == "out.check.png"
    assert read_image("out.check.png").shape == (2 * 64, 3 * 64 + 4, 3)
    assert len(Poses.read("out.json")) == 5


def test_a_check_is_a_line_a_finding(poses, capsys):
    assert poses("-o", "out.npz", "--check") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("ok  ", "look")) for line in lines) >= 8


def test_a_reference_is_compared(poses, capsys):
    Image.fromarray(np.zeros((128, 128, 3), np.uint8)).save("person.png")
    assert poses("-o", "out.npz", "--check", "--json", "--reference", "person.png") == 0
    findings = {one["name"]: one for one in json.loads(capsys.readouterr().out)["check"]}
    assert findings["scale"]["numbers"]["ratio"] == pytest.approx(1.0, abs=1e-3)
    assert poses("-o", "again.npz", "--check", "--json", "--reference", "out.npz") == 0


def test_keypoints_are_checked_without_a_detector(poses):
    assert poses("-o", "out.npz") == 0
    assert poses("-o", "again.npz", "--check", source="out.npz") == 0
    np.testing.assert_array_equal(
        Poses.read("again.npz").keypoints, Poses.read("out.npz").keypoints
    )


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("-o", "out.txt"), "out.txt: the output must end in .npz or .json"),
        (("-o", "out.npz", "--person", "9"), "person must be below 1"),
        (("-o", "out.npz", "--person", "tall"), "--person must be largest, a number"),
        (("-o", "out.npz", "--reference", "street.mp4"), "--reference is compared by --check"),
        (("-o", "out.npz", "--threshold", "2"), "threshold must be between 0 and 1"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(poses, capsys, words, line):
    before = sorted(os.listdir())
    assert poses(*words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert line in error
    assert error.startswith("quickstep: error: ")
    assert sorted(os.listdir()) == before


def test_footage_drives_and_its_detector_is_remembered(video, detector):
    dance = read_driving(video, Search(detector=str(detector), threads=1))
    assert len(dance.poses) == 5
    assert dance.search is not None
    assert dance.truth == video


def test_footage_is_refused_where_it_is_not_asked_for(video):
    with pytest.raises(ValueError, match=r"street\.mp4: not a skeleton on black"):
        read_driving(video, None)


@pytest.mark.parametrize("text", ["-1", "1,2,3", "a,b", "nan,1", ""])
def test_persons_that_mean_nobody_are_refused(text: str):
    with pytest.raises(ValueError, match="--person must be largest"):
        read_person(text)


def test_people_are_named_by_number_point_or_box():
    assert read_person("2") == 2
    assert read_person("1.5,2") == (1.5, 2.0)
    assert read_person("1,2,3,4") == (1.0, 2.0, 3.0, 4.0)


def write_person(path: str) -> None:
    picture = np.full((64, 64, 3), 90, np.uint8)
    picture[16:, 24:40] = 200
    Image.fromarray(picture).save(path)


def test_footage_animates_a_picture(video, detector, model_folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_person("person.png")
    words = ["--model", str(model_folders / "student"), "--device", "cpu"]
    words += ["--detector", "detector", "--compare", "side.mp4"]
    assert main(["animate", "person.png", "street.mp4", "-o", "out.mp4", *words]) == 0
    assert read_video("out.mp4").frames.shape == (5, 64, 64, 3)
    assert read_video("side.mp4").frames.shape == (5, 64, 4 * 64 + 3 * 2, 3)


def test_a_picture_in_which_nobody_is_found_is_told(
    video, detector, model_folders, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driving, "find_pose", lambda picture, search: None)
    write_person("view.png")
    animator = Animator.from_pretrained(model_folders / "student")
    dance = animator.driving("street.mp4", Search(detector="detector"))
    with pytest.warns(
        UserWarning, match=r"nobody is found in view\.png by the detector 'detector'"
    ):
        animator.scene("view.png", dance)


def test_a_file_of_jobs_names_detector_and_person(
    video, detector, model_folders, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_person("person.png")
    job = {"image": "person.png", "driving": "street.mp4", "output": "out.mp4"}
    Path("jobs.jsonl").write_text(json.dumps({**job, "detector": "detector", "person": "0"}))
    words = ["--model", str(model_folders / "student"), "--device", "cpu"]
    assert main(["animate", "--jobs", "jobs.jsonl", *words]) == 0
    assert Path("out.mp4").is_file()
