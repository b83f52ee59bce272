"""Poses of footage, by a detector of ONNX files whose answers are known."""

import json
from pathlib import Path

import numpy as np
import pytest

from borrowed import borrowed
from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.order import BODY
from quickstep.conditions.skeleton import PoseError
from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.dancer_poses import dancer_poses
from quickstep.data.footage import Search, find_pose, find_poses, is_skeleton_video
from quickstep.data.video import write_video

onnx_files = borrowed("conditions/detection/onnx_files.py")

PLACES = np.stack([np.linspace(2, 21, 133).round(), np.linspace(30, 3, 133).round()], axis=1)


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    """A folder of a detector that sees one person in every picture, point 9 not at all."""
    scores = np.full(133, 0.7)
    scores[9] = 0.1
    folder = tmp_path / "detector"
    folder.mkdir()
    side, crop = onnx_files.SIDE, onnx_files.CROP
    box = onnx_files.finder_answer((32.0, 32.0, 24.0, 32.0, 0.9))
    onnx_files.write_constant(folder / "finder.onnx", ("b", 3, side, side), {"output": box})
    answer = onnx_files.reader_answer(PLACES, scores)
    onnx_files.write_constant(folder / "reader.onnx", ("b", 3, crop[1], crop[0]), answer)
    return folder


@pytest.fixture
def video(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frames = rng.integers(60, 200, (5, 64, 64, 3), dtype=np.uint8)
    write_video(tmp_path / "street.mp4", frames, fps=12.0)
    return tmp_path / "street.mp4"


def test_footage_gives_a_persons_poses_and_says_by_what(video: Path, detector: Path):
    told = []
    search = Search(detector=str(detector), threads=1)
    poses = find_poses(video, search, report=lambda *words: told.append(words)).poses
    assert (len(poses), poses.size, poses.fps) == (5, (64, 64), 12.0)
    assert poses.visible[:, 10].all() and not poses.visible[:, 9].any()
    expected = 32 + (PLACES - np.array([12, 16])) * 40 / 32
    np.testing.assert_allclose(poses.keypoints[0], expected, atol=1e-3)
    origin = json.loads(poses.origin)
    assert len(origin["finder"]["sha256"]) == 64
    assert told[-1] == (5, 5, "finding poses")


def test_the_threshold_hides_keypoints_and_loses_nobody(video: Path, detector: Path):
    strict = find_poses(video, Search(detector=str(detector), threshold=0.95, threads=1)).poses
    assert not strict.visible.any()
    assert strict.keypoints[:, 10].any()


def test_a_picture_gives_its_pose(detector: Path):
    pose = find_pose(np.zeros((64, 64, 3), np.uint8), Search(detector=str(detector), threads=1))
    assert pose is not None
    assert len(pose) == 1


def test_footage_without_anybody_is_named(video: Path, detector: Path):
    side = onnx_files.SIDE
    empty = onnx_files.finder_answer()
    onnx_files.write_constant(detector / "finder.onnx", ("b", 3, side, side), {"output": empty})
    search = Search(detector=str(detector), threads=1)
    with pytest.raises(PoseError, match=r"street\.mp4: nobody is found in any of the 5 frames by"):
        find_poses(video, search)
    assert find_pose(np.zeros((64, 64, 3), np.uint8), search) is None


def test_skeleton_videos_are_told_from_footage(video: Path, tmp_path: Path):
    from quickstep.conditions.skeleton import Poses

    assert not is_skeleton_video(video)
    rest = Poses.hidden(num_frames=3, size=(256, 256), fps=8.0)
    keypoints, visible = rest.keypoints.copy(), rest.visible.copy()
    places = {0: (128, 40), 5: (160, 80), 6: (96, 80), 7: (176, 120), 8: (80, 120)}
    places |= {9: (184, 160), 10: (72, 160), 11: (144, 150), 12: (112, 150)}
    places |= {13: (148, 195), 14: (108, 195), 15: (150, 240), 16: (106, 240)}
    for point, place in places.items():
        keypoints[:, point], visible[:, point] = place, True
    poses = Poses(keypoints, scores=visible, visible=visible, size=(256, 256), fps=8.0)
    write_video(tmp_path / "skeletons.mp4", draw_skeletons(poses), fps=8.0)
    assert is_skeleton_video(tmp_path / "skeletons.mp4")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 0.0}, "threshold must be between 0 and 1: got 0"),
        ({"fill": -1.0}, "fill must be from 0 to 60 s: got -1"),
        ({"smooth": float("nan")}, "smooth must be from 0 to 60 s: got nan"),
    ],
)
def test_searches_that_mean_nothing_are_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Search(**changes)


def test_the_built_in_detector_finds_dancers_that_it_never_saw(tmp_path: Path):
    clip = render_clip(DancerSeeds.of(1_000_010), num_frames=3, size=128, fps=2.0)
    write_video(tmp_path / "dance.mp4", clip.rgb.numpy(), fps=2.0)
    found = find_poses(tmp_path / "dance.mp4", Search(threads=1)).poses
    truth = dancer_poses(clip)
    torso = np.hypot(*(truth.neck()[0] - truth.hip()[0]).T)[:, None]
    seen = (truth.scores == 1.0)[:, BODY]
    apart = np.hypot(*np.moveaxis(found.keypoints - truth.keypoints, 2, 0))[:, BODY]
    assert np.median((apart / torso)[seen]) < 0.2
    assert found.visible[:, BODY].mean() > 0.7
