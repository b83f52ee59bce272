"""Poses found in footage while it is prepared, by the command line."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from borrowed import borrowed
from quickstep.apps.cli import main
from quickstep.conditions import face_picture
from quickstep.conditions.faces import Face
from quickstep.conditions.order import BODY
from quickstep.conditions.skeleton import Poses
from quickstep.data.clip import Clip
from quickstep.data.dancer import VALIDATION_START, DancerSeeds, render_clips
from quickstep.data.dancer_folders import clip_of_dancer
from quickstep.data.detectors import find_detector
from quickstep.data.shards import ShardClips, ShardData
from quickstep.data.video import write_video
from quickstep.networks.mtcnn import load_mtcnn
from quickstep.preparation.person import head_place
from quickstep.preparation.poses import DetectedPoses
from quickstep.preparation.store import file_sha256
from quickstep.preparation.work import Job, search_of

onnx_files = borrowed("conditions/detection/onnx_files.py")

OPTIONS = ["--frames", "12", "--min-frames", "4", "--size", "128", "128", "--device", "cpu"]
PLACES = np.stack([np.linspace(2, 21, 133).round(), np.linspace(30, 3, 133).round()], axis=1)


def prepare(home: Path, out: Path, *options: str) -> int:
    return main(["prepare", str(home), str(out), *OPTIONS, *options])


def rejected(out: Path) -> list[tuple[str, str, str, str]]:
    with (out / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [(row["source"], row["first_frame"], row["last_frame"], row["reason"]) for row in rows]


@pytest.fixture(scope="module")
def dances() -> list[Clip]:
    """Two dancers of 128 pixels that no training of the detector saw, 12 frames each."""
    seeds = [DancerSeeds.of(VALIDATION_START + number) for number in (0, 3)]
    clips = render_clips(seeds, num_frames=12, size=128, preset="plain", fps=12.0)
    return [clip_of_dancer(clip) for clip in clips]


@pytest.fixture(scope="module")
def footage(tmp_path_factory, dances: list[Clip]) -> Path:
    """Videos without skeletons: two dancers, one of whom is out for four frames; an empty wall."""
    home = tmp_path_factory.mktemp("footage")
    write_video(home / "first.mp4", dances[0].frames, fps=12, full_colour=True)
    frames = dances[1].frames.copy()
    frames[4:8] = wall(4)
    write_video(home / "second.mp4", frames, fps=12, full_colour=True)
    write_video(home / "wall.mp4", wall(12), fps=12, full_colour=True)
    return home


def wall(num_frames: int) -> np.ndarray:
    """A light wall that grows darker to the right, lit a little differently in each frame."""
    row = np.linspace(230, 150, 128)[None, None, :, None]
    light = np.linspace(0, 12, num_frames)[:, None, None, None]
    return (row + light + np.zeros((1, 128, 1, 3))).round().astype(np.uint8)


@pytest.fixture(scope="module")
def out(footage: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("detected") / "shards"
    assert prepare(footage, folder, "--detector", "dancer", "--people", "largest") == 0
    return folder


def test_dancers_are_found_and_framed(out, dances):
    clips = ShardClips(ShardData(shards=str(out)))
    spans = sorted(
        (clip["source"], clip["first_frame"], clip["num_frames"]) for clip in clips.clips
    )
    assert spans == [("first", 0, 12), ("second", 0, 4), ("second", 8, 4)]
    for row, clip in enumerate(clips.clips):
        truth = dances[clip["source"] == "second"].poses
        part = slice(clip["first_frame"], clip["first_frame"] + clip["num_frames"])
        found = clips.poses(row)[1:]
        both = (found.visible & truth.visible[part])[:, BODY]
        apart = np.linalg.norm(found.keypoints - truth.keypoints[part], axis=-1)[:, BODY]
        assert both.mean() > 0.5
        assert np.median(apart[both]) < 6  # the detector's own median on such persons is 4.1


def test_frames_without_a_person_are_told(out):
    reasons = rejected(out)
    assert ("second", "4", "7", "no person is seen") in reasons
    assert ("wall", "0", "11", "no person is seen") in reasons
    assert {source for source, *_ in reasons} == {"second", "wall"}


def test_the_manifest_names_the_detector(out):
    detector = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["detector"]
    files = find_detector("dancer")
    assert detector["detector"] == "dancer"
    assert detector["finder"]["sha256"] == file_sha256(files.finder)
    assert detector["reader"]["sha256"] == file_sha256(files.reader)
    assert (detector["threshold"], detector["fill"]) == (0.3, 0.25)


@pytest.mark.slow
def test_two_workers_find_the_same(out, footage, tmp_path, capsys):
    options = ["--detector", "dancer", "--people", "largest", "--workers", "2", "--json"]
    assert prepare(footage, tmp_path / "out", *options) == 0
    assert json.loads(capsys.readouterr().out)["found"] == 0
    one, two = (ShardClips(ShardData(shards=str(each))) for each in (out, tmp_path / "out"))
    assert [clip["key"] for clip in one.clips] == [clip["key"] for clip in two.clips]
    for row in range(len(one)):
        np.testing.assert_array_equal(one.poses(row).keypoints, two.poses(row).keypoints)
    assert rejected(out) == rejected(tmp_path / "out")


def tiny_detector(folder: Path, *boxes: tuple[float, float, float, float, float]) -> str:
    """A detector that sees the same people in every picture, as two paths."""
    side, crop = onnx_files.SIDE, onnx_files.CROP
    answer = onnx_files.finder_answer(*boxes)
    finder = onnx_files.write_constant(folder / "f.onnx", ("b", 3, side, side), {"output": answer})
    points = onnx_files.reader_answer(PLACES, np.full(133, 0.7))
    reader = onnx_files.write_constant(folder / "r.onnx", ("b", 3, crop[1], crop[0]), points)
    return f"{finder},{reader}"


TWO_PEOPLE = [(12.0, 28.0, 12.0, 24.0, 0.9), (44.0, 36.0, 20.0, 40.0, 0.8)]


def test_several_people_are_refused_unless_the_largest_is_asked_for(footage, tmp_path, capsys):
    detector = tiny_detector(tmp_path, *TWO_PEOPLE)
    assert prepare(footage, tmp_path / "one", "--detector", detector) == 2
    assert "no clip is left" in capsys.readouterr().out
    assert {reason for *_, reason in rejected(tmp_path / "one")} == {"2 people"}
    home, cache = tmp_path / "out", str(tmp_path / "one" / "cache")
    options = ["--detector", detector, "--people", "largest", "--cache", cache]
    assert prepare(footage, home, *options) == 0
    clips = ShardClips(ShardData(shards=str(home)))
    (row, *_) = [n for n, clip in enumerate(clips.clips) if clip["source"] == "first"]
    points = clips.poses(row)[1:].keypoints / 2  # of 128 pixels, the detector's square has 64
    expected = np.array([44.0, 36.0]) + (PLACES - np.array([12, 16])) * 50 / 32
    np.testing.assert_allclose(points, np.broadcast_to(expected, points.shape), atol=0.1)


def test_options_that_cannot_be_are_one_line(footage, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("QUICKSTEP_DWPOSE", str(tmp_path))
    for options, message in (
        (["--detector", "dwpose"], "DWPose's two files are not in"),
        (["--detector", "no-such"], "unknown detector 'no-such'"),
        (["--people", "largest"], "--people is for --detector"),
    ):
        assert prepare(footage, tmp_path / "out", *options) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert message in line
    assert not (tmp_path / "out").exists()


def test_another_detector_makes_other_shards(out, footage, tmp_path, capsys):
    other = tiny_detector(tmp_path, *TWO_PEOPLE)
    assert prepare(footage, out, "--detector", other, "--people", "largest") == 2
    assert "was prepared with detector='dancer'" in capsys.readouterr().err


def test_the_face_is_that_of_the_person_who_is_followed(monkeypatch):
    large, small = (0.0, 0.0, 40.0, 40.0), (80.0, 10.0, 100.0, 30.0)
    faces = [Face(box=box, probability=1.0, landmarks=()) for box in (large, small)]
    monkeypatch.setattr(face_picture, "detect_faces", lambda picture, nets: faces)
    poses = Poses.hidden(num_frames=1, size=(128, 64), fps=12.0)
    assert head_place(poses, 0) is None
    poses.keypoints[0, :5], poses.visible[0, :5] = (96, 24), True
    poses.keypoints[0, 5:17], poses.visible[0, 5:17] = (10, 60), True
    place = head_place(poses, 0)
    assert place == (96, 24)
    picture = np.zeros((64, 128, 3), np.uint8)
    nets = load_mtcnn()
    largest, own = (face_picture.find_face(picture, nets, at=at) for at in (None, place))
    assert largest and largest.box == large
    assert own and own.box == small
    assert face_picture.find_face(picture, nets, at=(64.0, 60.0)) is None


def test_moments_without_the_person_are_not_filled(tmp_path, job: Job):
    """Points are laid in between where somebody is found, never a whole person."""
    detector = tiny_detector(tmp_path, (44.0, 36.0, 20.0, 40.0, 0.8))
    finder = DetectedPoses(search_of(dataclasses.replace(job, detector=detector)))
    real, calls = finder._detector.find, iter(range(100))

    def find(pictures: np.ndarray) -> np.ndarray:
        answers = real(pictures).copy()
        if next(calls) == 0:
            answers[4] = 0.0
        return answers

    finder._detector = dataclasses.replace(finder._detector, find=find)
    found = finder.find(np.zeros((8, 64, 64, 3), np.uint8), fps=12.0)
    assert found.people.tolist() == [1, 1, 1, 1, 0, 1, 1, 1]
    assert found.poses.visible.any(axis=1).tolist() == [True] * 4 + [False] + [True] * 3
