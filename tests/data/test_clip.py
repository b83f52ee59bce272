import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickstep.conditions.body import BodyMesh
from quickstep.conditions.pose_maps import normal_map
from quickstep.conditions.skeleton import Poses
from quickstep.data import maps
from quickstep.data.clip import (
    Clip,
    ClipError,
    ClipInfo,
    read_clip,
    read_clip_info,
    reference_face,
    write_clip,
)
from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.dancer_folders import clip_of_dancer, write_dancer_clips
from quickstep.data.dancer_poses import dancer_poses, detected
from quickstep.data.faces import dancer_face
from quickstep.data.video import read_video

FILES = {
    *("video.mp4", "reference.png", "skeletons.npz", "reference_skeleton.npz", "body.npz"),
    *("dwpose.mp4", "depth.mp4", "normal.mp4", "semantic_map.mp4", "mask.mp4", "clip.json"),
}


def poses_of(num_frames: int) -> Poses:
    keypoints = np.linspace(1, 47, num_frames * 266).reshape(num_frames, 133, 2)
    seen = np.ones((num_frames, 133))
    return Poses(keypoints, scores=seen, visible=seen > 0, size=(64, 48), fps=12.5)


@pytest.fixture
def clip(frames: np.ndarray) -> Clip:
    rng = np.random.default_rng(0)
    num, high, wide = frames.shape[:3]
    part = rng.integers(0, 25, (num, high, wide)).astype(np.uint8)
    normal = rng.normal(size=(num, high, wide, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    info = ClipInfo(
        fps=12.5,
        size=(wide, high),
        num_frames=num,
        reference_index=3,
        source="a test",
        seeds={"identity": 7},
        face_box=[[1.0, 2.0, 3.0, 4.5]] * num,
        licence="Apache-2.0",
    )
    return Clip(
        info=info,
        frames=frames,
        reference=frames[3],
        poses=poses_of(num),
        reference_pose=poses_of(num)[3],
        depth=np.where(part > 0, rng.uniform(2, 4, part.shape), np.inf).astype(np.float32),
        normal=np.where(part[..., None] > 0, normal, 0),
        part=part,
        mask=part > 0,
        body=BodyMesh(
            verts=rng.normal(size=(num, 5, 3)).astype(np.float32),
            faces=np.array([[0, 1, 2], [2, 3, 4]]),
            part=np.array([0, 1, 2, 3, 23]),
            cam_t=np.full((num, 3), 9.0),
            focal=100.0,
            size=(wide, high),
        ),
    )


def test_a_clip_comes_back(tmp_path: Path, clip: Clip):
    write_clip(tmp_path / "one", clip)
    assert {path.name for path in (tmp_path / "one").iterdir()} == FILES
    read = read_clip(tmp_path / "one")
    error = float(np.mean((read.frames.astype(float) - clip.frames) ** 2))
    assert 10 * np.log10(255**2 / error) > 40
    for name in ("reference", "part", "mask"):
        np.testing.assert_array_equal(getattr(read, name), getattr(clip, name))
    np.testing.assert_array_equal(read.poses.keypoints, clip.poses.keypoints)
    np.testing.assert_array_equal(read.reference_pose.keypoints, clip.poses.keypoints[3:4])
    assert read.depth is not None and clip.depth is not None
    np.testing.assert_allclose(read.depth, clip.depth, atol=2 / 254)
    assert read.normal is not None and clip.normal is not None
    np.testing.assert_allclose(read.normal, clip.normal, atol=0.01)
    assert read.body is not None and clip.body is not None
    np.testing.assert_array_equal(read.body.verts, clip.body.verts)
    assert (read.body.size, read.body.focal) == (clip.body.size, clip.body.focal)
    assert replace(read.info, depth_range=(0.0, 1.0)) == replace(clip.info, depth_range=(0.0, 1.0))


def test_every_map_is_stored_without_loss(tmp_path: Path, clip: Clip):
    write_clip(tmp_path / "one", clip)
    assert clip.part is not None and clip.normal is not None
    stored = read_video(tmp_path / "one" / "semantic_map.mp4").frames
    np.testing.assert_array_equal(stored, maps.part_picture(clip.part))
    stored = read_video(tmp_path / "one" / "normal.mp4").frames
    np.testing.assert_array_equal(stored, normal_map(clip.normal))


def test_what_is_not_known_is_left_out(tmp_path: Path, clip: Clip):
    bare = replace(clip, depth=None, normal=None, part=None, mask=None, body=None)
    write_clip(tmp_path / "one", bare)
    read = read_clip(tmp_path / "one")
    assert read.depth is None and read.part is None and read.body is None
    assert read_clip(tmp_path / "one", with_maps=False).mask is None


def test_nothing_is_left_after_a_failure(tmp_path: Path, clip: Clip):
    (tmp_path / "mine").mkdir()
    with pytest.raises(ClipError, match="mine: already there"):
        write_clip(tmp_path / "mine", clip)
    odd = replace(clip, poses=clip.poses[:2])
    with pytest.raises(ClipError, match="the video has 6 frames, but skeletons 2"):
        write_clip(tmp_path / "one", odd)
    broken = replace(clip, info=replace(clip.info, reference_face_box=[float("nan")]))
    with pytest.raises(ValueError, match="Out of range float"):
        write_clip(tmp_path / "one", broken)
    assert os.listdir(tmp_path) == ["mine"]


def test_damaged_folders_are_named(tmp_path: Path, clip: Clip):
    with pytest.raises(ClipError, match=r"none/clip\.json: no such file"):
        read_clip(tmp_path / "none")
    write_clip(tmp_path / "one", clip)
    (tmp_path / "one" / "reference.png").unlink()
    with pytest.raises(ClipError, match=r"one: the clip lacks reference\.png"):
        read_clip(tmp_path / "one")
    content = json.loads((tmp_path / "one" / "clip.json").read_text())
    (tmp_path / "one" / "clip.json").write_text(json.dumps({**content, "colour": 1}))
    with pytest.raises(ClipError, match=r"clip\.json: its fields must be of"):
        read_clip_info(tmp_path / "one")
    (tmp_path / "one" / "clip.json").write_text("{")
    with pytest.raises(ClipError, match="not json"):
        read_clip_info(tmp_path / "one")


def test_part_colours_are_distinct_and_losses_noticed():
    assert len(np.unique(maps.PART_COLOURS, axis=0)) == 25
    part = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    np.testing.assert_array_equal(maps.part_of(maps.part_picture(part)), part)
    with pytest.raises(ValueError, match="stands for no part"):
        maps.part_of(maps.part_picture(part) ^ 1)


def test_depth_is_bright_when_near():
    depth = np.array([2.0, 3.0, np.inf], dtype=np.float32).reshape(1, 1, 3)
    grey = maps.depth_picture(depth, nearest=2.0, farthest=3.0)[..., 0]
    assert grey.ravel().tolist() == [255, 1, 0]


def test_dancers_become_clip_folders(tmp_path: Path):
    done = []
    settings: dict[str, Any] = {"num_frames": 2, "size": 32, "seed": 40}
    folders = write_dancer_clips(
        tmp_path / "out", num_clips=2, report=lambda *one: done.append(one[:2]), **settings
    )
    assert [folder.name for folder in folders] == ["00000", "00001"] and done == [(1, 2), (2, 2)]
    clip = clip_of_dancer(render_clip(DancerSeeds.of(41), num_frames=2, size=32))
    read = read_clip(folders[1])
    for name in ("part", "mask"):
        np.testing.assert_array_equal(getattr(read, name), getattr(clip, name))
    assert read.info.seeds["motion"] == 41
    assert read.reference_face is not None
    known = reference_face(folders[1] / "reference.png")
    assert known is not None and np.array_equal(known.picture, read.reference_face)
    exact = dancer_face(DancerSeeds.of(41), size=32).crop(16).astype(int)
    assert np.abs(known.crop(16) - exact).mean() < 1
    error = float(np.mean((read.frames.astype(float) - clip.frames) ** 2))
    assert 10 * np.log10(255**2 / error) > 40
    with pytest.raises(ClipError, match="out: the folder is not empty"):
        write_dancer_clips(tmp_path / "out", num_clips=2, **settings)
    before = (folders[0] / "clip.json").stat().st_mtime_ns
    write_dancer_clips(tmp_path / "out", num_clips=3, resume=True, **settings)
    assert (folders[0] / "clip.json").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "00002" / "clip.json").is_file()
    with pytest.raises(ClipError, match="made with other settings"):
        write_dancer_clips(tmp_path / "out", num_clips=3, resume=True, **{**settings, "seed": 9})


def test_a_joint_behind_an_arm_is_marked_and_a_turned_face_is_not():
    keypoints = np.full((1, 133, 2), 16.0, dtype=np.float32)
    keypoints[0, 9] = 34.0, 16.0  # a wrist just outside
    keypoints[0, 10] = 50.0, 16.0  # the other far outside
    marked = detected(keypoints, np.zeros((1, 133), dtype=bool), size=32)[0]
    assert marked[5:10].all() and not marked[10] and marked[11:23].all()
    assert not marked[0:3].any() and not marked[23:133].any()
    seen = detected(keypoints, np.ones((1, 133), dtype=bool), size=32)[0]
    assert seen[0:3].all() and seen[23:133].all()


def test_a_dancers_poses_keep_all_that_is_seen():
    dancer = render_clip(DancerSeeds.of(3), num_frames=3, size=32)
    poses, truth = dancer_poses(dancer), dancer.visible.numpy()
    assert poses.visible[:, :23][truth[:, :23]].mean() == 1
    assert set(np.unique(poses.scores)) <= {0.0, 0.5, 1.0}


def test_the_face_is_known_by_its_folder(tmp_path: Path, clip: Clip):
    info = replace(clip.info, reference_face_box=[10.0, 5.0, 20.0, 17.0])
    write_clip(tmp_path / "one", replace(clip, info=info))
    face = reference_face(tmp_path / "one" / "reference.png")
    assert face is not None and face.box == (10.0, 5.0, 20.0, 17.0)
    np.testing.assert_array_equal(face.picture, clip.reference)
    info = replace(clip.info, reference_face_box=[-30.0, 5.0, -20.0, 17.0])
    write_clip(tmp_path / "moved", replace(clip, info=info))
    write_clip(tmp_path / "none", clip)
    for folder in ("moved", "none"):
        assert reference_face(tmp_path / folder / "reference.png") is None
    assert reference_face(tmp_path / "one" / "other.png") is None
    assert reference_face(tmp_path / "reference.png") is None
