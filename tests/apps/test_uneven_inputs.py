"""`animate` with dances of every kind that is no fault: read as what they show, and danced."""

import json
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from borrowed import borrowed
from films import deep, encode, turned, with_alpha
from quickstep.animation.driving import read_driving
from quickstep.apps.cli import main
from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.order import BODY
from quickstep.conditions.skeleton import Poses
from quickstep.data import film
from quickstep.data.decoding import timed_frames
from quickstep.data.footage import Search
from quickstep.data.image import write_image
from quickstep.data.video import read_video, write_video

_FOOTAGE = borrowed("data/test_footage.py")

detector = _FOOTAGE.detector
onnx_files = _FOOTAGE.onnx_files

SIDE = 256
UNEVEN = (10 * np.arange(12) + [0, 3, -2, 1, 4, -3, 0, 2, -4, 3, 1, 0]).tolist()
GAP = [10 * n + 50 * (n >= 6) for n in range(12)]
"""Times in 1/120 s, of frames that an even clock of 12 a second would show every 10."""


def drawn(poses: Poses) -> np.ndarray:
    return draw_skeletons(poses, size=(SIDE, SIDE), style="dwpose")


@pytest.fixture
def walk(dance):
    """Somebody who moves to the right by 4 pixels every tenth of a second, at given times."""

    def at(times: list[int]) -> Poses:
        standing = dance(1).moved(scale=3.0, offset=(8.0, 20.0), size=(SIDE, SIDE))
        poses = standing[[0] * len(times)]
        keypoints = poses.keypoints.copy()
        keypoints[..., 0] += 0.4 * np.array(times)[:, None]
        return Poses(keypoints, poses.scores, poses.visible, poses.size, 12.0)

    return at


@pytest.mark.parametrize(("times", "num_frames"), [(UNEVEN, 12), (GAP, 17)])
def test_uneven_times_become_even_moves(times, num_frames, walk, tmp_path):
    encode(tmp_path / "uneven.mp4", drawn(walk(times)), times=times)
    as_filmed = read_driving(tmp_path / "uneven.mp4")
    dance = as_filmed.evenly()
    assert len(as_filmed.poses) == 12
    assert abs(len(dance.poses) - num_frames) <= 1
    body = [5, 6, 11, 12, 15, 16]

    def moves(poses: Poses) -> np.ndarray:
        assert poses.visible[:, body].all()
        return np.diff(poses.keypoints[:, body, 0].mean(axis=1))

    assert moves(as_filmed.poses).std() > 1
    assert np.abs(moves(dance.poses) - 48 / dance.poses.fps).max() < 1
    whole = (len(dance.poses) - 1) / dance.poses.fps
    assert whole == pytest.approx((times[-1] - times[0]) / 120, abs=1 / 12)


def test_even_times_are_left_alone(walk, tmp_path):
    write_video(tmp_path / "even.mp4", drawn(walk([0, 10, 20])), fps=30000 / 1001)
    dance = read_driving(tmp_path / "even.mp4")
    assert dance.seconds is None
    assert dance.evenly() is dance
    assert dance.poses.fps == pytest.approx(30000 / 1001)


def _write_odd(path: Path, pictures: np.ndarray) -> None:
    write_video(path, pictures[:, :255, :253], fps=12, full_colour=True)


def _write_alpha(path: Path, pictures: np.ndarray) -> None:
    with_alpha(path, pictures, np.where(pictures.any(axis=-1), 255, 0).astype(np.uint8))


def _write_alpha_folder(path: Path, pictures: np.ndarray) -> None:
    path.mkdir()
    for number, picture in enumerate(pictures):
        opaque = np.where(picture.any(axis=-1, keepdims=True), 255, 0).astype(np.uint8)
        Image.fromarray(np.concatenate([picture, opaque], -1)).save(path / f"{number:02d}.png")


KINDS = {
    "turned.mp4": turned,
    "odd.mp4": _write_odd,
    "alpha.mov": _write_alpha,
    "alpha": _write_alpha_folder,
    "deep.mkv": deep,
}


def test_each_kind_shows_what_it_shows_and_is_danced(walk, tmp_path, model_folders, capsys):
    poses, lines = walk([0, 10, 20]), []
    write_image(tmp_path / "me.png", np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 90)
    for name, write in KINDS.items():
        write(tmp_path / name, drawn(poses))
        read = read_driving(tmp_path / name).poses
        seen = read.visible[:, BODY] & poses.visible[:, BODY]
        assert seen.mean() > 0.9, name
        apart = np.hypot(*np.moveaxis(read.keypoints - poses.keypoints, 2, 0))[:, BODY]
        assert np.percentile(apart[seen], 90) < 3, name
        files = {"image": "me.png", "driving": name, "output": f"{name}.out.mp4"}
        lines.append({key: str(tmp_path / value) for key, value in files.items()})
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    words = ["--jobs", str(tmp_path / "jobs.jsonl"), "--model", str(model_folders / "student")]
    assert main(["animate", *words, "--device", "cpu"]) == 0, capsys.readouterr().err
    for line in lines:
        assert len(read_video(line["output"]).frames) == 3


def test_uneven_footage_is_compared_with_its_truth_in_step(
    detector, tmp_path, model_folders, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    write_image(tmp_path / "me.png", np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 90)
    noise = rng.integers(60, 200, (12, 64, 64, 3), dtype=np.uint8)
    encode(tmp_path / "street.mkv", noise, codec="ffv1", form="bgr0", times=GAP)
    words = ["--detector", "detector", "--compare", "side.mp4", "--device", "cpu"]
    words += ["--model", str(model_folders / "student"), "-o", "out.mp4"]
    assert main(["animate", "me.png", "street.mkv", *words]) == 0
    side = read_video("side.mp4").frames
    assert len(read_video("out.mp4").frames) == len(side) == 17
    truth = side[:, :, -64:].astype(float)
    shown = [int(np.abs(noise - one).mean(axis=(1, 2, 3)).argmin()) for one in truth]
    assert shown[:6] == [0, 1, 2, 3, 4, 5]
    assert shown[6:11] in ([5, 5, 5, 6, 6], [5, 5, 6, 6, 6])  # nothing was filmed in between
    assert shown[11:] == [6, 7, 8, 9, 10, 11]


def test_of_three_people_the_largest_dances_and_that_is_said(
    detector, tmp_path, model_folders, monkeypatch, capsys
):
    boxes = [(12.0, 20.0, 10.0, 20.0, 0.9), (32.0, 32.0, 20.0, 40.0, 0.9), (54, 20, 10, 20, 0.9)]
    side = onnx_files.SIDE
    answer = {"output": onnx_files.finder_answer(*boxes)}
    onnx_files.write_constant(detector / "finder.onnx", ("b", 3, side, side), answer)
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(60, 200, (3, 64, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "street.mp4", noise, fps=12)
    write_image(tmp_path / "me.png", noise[0])
    middle, left = (
        read_driving(tmp_path / "street.mp4", Search(str(detector), person=who, threads=1))
        for who in ("largest", 0)
    )
    assert middle.people == left.people == 3
    assert middle.poses.keypoints[0, 10, 0] > left.poses.keypoints[0, 10, 0] + 5
    words = ["--model", str(model_folders / "student"), "--device", "cpu"]
    words = ["me.png", "street.mp4", "-o", "out.mp4", "--detector", "detector", *words]
    assert main(["animate", *words]) == 0
    line = "note: up to 3 people are seen at once; the largest dances; --person names another"
    assert line in capsys.readouterr().err
    assert main(["animate", *words, "--person", "0"]) == 0
    assert "people are seen" not in capsys.readouterr().err


def test_however_long_a_dance_is_few_pictures_are_held(walk, tmp_path, monkeypatch):
    write_video(tmp_path / "long.mp4", drawn(walk([4 * n for n in range(60)])), fps=1, crf=20)
    seen, held = list[weakref.ref](), list[int]()

    def watched(*words, **options):
        for frame in timed_frames(*words, **options):
            seen.append(weakref.ref(frame.picture))
            held.append(sum(one() is not None for one in seen))
            yield frame

    monkeypatch.setattr(film, "timed_frames", watched)
    told: list[tuple[int, int, str]] = []
    dance = read_driving(tmp_path / "long.mp4", report=lambda *words: told.append(words))
    assert len(dance.poses) == 60
    assert told == [(done, 60, "reading skeletons") for done in range(1, 61)]
    assert len(held) >= 60
    assert max(held) <= 5 + 2  # five to find out how they are drawn
