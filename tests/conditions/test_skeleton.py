import json
from pathlib import Path

import numpy as np
import pytest

from quickstep.conditions.openpose import OpenPoses
from quickstep.conditions.order import (
    LEFT_HIP,
    LEFT_SHOULDER,
    RIGHT_HAND,
    RIGHT_SHOULDER,
    RIGHT_TOES,
)
from quickstep.conditions.skeleton import PoseError, Poses


def test_what_is_written_is_read(dance: Poses, tmp_path: Path):
    dance.write(tmp_path / "a.npz")
    read = Poses.read(tmp_path / "a.npz")
    for name in ("keypoints", "scores", "visible"):
        np.testing.assert_array_equal(getattr(read, name), getattr(dance, name))
    assert (read.size, read.fps) == (dance.size, dance.fps)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    again = (tmp_path / "a.npz").read_bytes()
    dance.write(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").read_bytes() == again


def test_slices_are_clips(dance: Poses):
    assert len(dance[2:5]) == 3 and len(dance[-1]) == 1
    np.testing.assert_array_equal(dance[-1].keypoints[0], dance.keypoints[7])
    with pytest.raises(IndexError, match="8 frames: got 8"):
        dance[8]
    with pytest.raises(PoseError, match="at least one frame: got 0"):
        dance[3:3]


def test_scaling_there_and_back_is_the_identity(dance: Poses):
    back = dance.scaled_to((100, 300)).scaled_to(dance.size)
    np.testing.assert_allclose(back.keypoints, dance.keypoints, atol=1e-3)


def test_neck_and_hip_are_middles(dance: Poses):
    neck, seen = dance.neck()
    np.testing.assert_allclose(
        neck, dance.keypoints[:, [LEFT_SHOULDER, RIGHT_SHOULDER]].mean(axis=1), rtol=1e-6
    )
    assert seen.all()
    visible = dance.visible.copy()
    visible[3, LEFT_HIP] = False
    half = Poses(dance.keypoints, dance.scores, visible, dance.size, dance.fps)
    assert half.hip()[1].tolist() == [True] * 3 + [False] + [True] * 4


def test_openpose_order_there_and_back(dance: Poses):
    ordered = OpenPoses.of(dance)
    np.testing.assert_array_equal(ordered.body[:, 2], dance.keypoints[:, RIGHT_SHOULDER])
    np.testing.assert_array_equal(ordered.hands[:, 1], dance.keypoints[:, RIGHT_HAND])
    toes = dance.keypoints[:, [20, 21]].mean(axis=1)
    np.testing.assert_allclose(ordered.body[:, RIGHT_TOES], toes, rtol=1e-6)
    back = ordered.coco()
    same = [*range(17), *range(23, 133)]
    np.testing.assert_array_equal(back.keypoints[:, same], dance.keypoints[:, same])
    assert not back.visible[:, [19, 22]].any()


def test_a_foot_with_one_toe_ends_there(dance: Poses):
    visible = dance.visible.copy()
    visible[:, 21] = False
    ordered = OpenPoses.of(Poses(dance.keypoints, dance.scores, visible, dance.size, dance.fps))
    np.testing.assert_array_equal(ordered.body[:, RIGHT_TOES], dance.keypoints[:, 20])


def fields(**changes: object) -> dict:
    seen = np.ones((2, 133))
    keypoints = np.ones((2, 133, 2))
    return {
        **dict(keypoints=keypoints, scores=seen, visible=seen > 0, size=(8, 8), fps=30.0),
        **changes,
    }


def test_poses_that_mean_nothing_are_refused():
    broken = np.ones((2, 133, 2))
    broken[1, 9] = np.nan
    for changes, message in (
        ({"keypoints": np.ones((2, 18, 2))}, r"\(frames, 133, 2\): got \(2, 18, 2\)"),
        ({"keypoints": broken}, r"finite: got \[nan, nan\] at frame 1, point 9 \(1 such"),
        ({"scores": np.ones((2, 5))}, r"scores must have shape \(2, 133\): got \(2, 5\)"),
        ({"scores": np.full((2, 133), np.inf)}, "scores must be finite: got inf"),
        ({"size": (0, 8)}, r"size \(width, height\) must be positive: got \(0, 8\)"),
        ({"fps": float("nan")}, "fps must be positive: got nan"),
    ):
        with pytest.raises(PoseError, match=message):
            Poses(**fields(**changes))


def test_files_that_hold_no_poses_are_named(tmp_path: Path, dance: Poses):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", points=np.ones(3))
    np.savez(tmp_path / "nan.npz", **fields(keypoints=np.full((2, 133, 2), np.nan)))
    np.savez(tmp_path / "pickled.npz", **fields(keypoints=np.array([{}], dtype=object)))
    (tmp_path / "a.txt").touch()
    for name, message in (
        ("none.npz", "no such file or folder"),
        ("text.npz", "not a .npz of poses that can be read"),
        ("pickled.npz", "not a .npz of poses that can be read"),
        ("other.npz", "lacks fps, keypoints, scores, size, visible"),
        ("nan.npz", "keypoints must be finite"),
        ("a.txt", "poses are read from .npz, .json or a folder"),
    ):
        with pytest.raises(PoseError, match=message) as caught:
            Poses.read(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(PoseError, match="written as .npz or .json"):
        dance.write(tmp_path / "a.txt")
    with pytest.raises(OSError, match="cannot write .*nowhere"):
        dance.write(tmp_path / "nowhere" / "a.npz")


def person(poses: Poses, *, shift: float = 0.0, scale: float = 1.0, joints: int = 18) -> dict:
    """One frame as an OpenPose person with 18 or 25 body joints."""
    ordered = OpenPoses.of(poses)
    body = ordered.body[0, :18] * scale + [shift, 0]
    if joints == 25:
        hip = (body[8] + body[11]) / 2
        feet = poses.keypoints[0, 17:23] * scale + [shift, 0]
        body = np.concatenate([body[:8], hip[None], body[8:], feet])
    flat = np.concatenate([body, np.full((len(body), 1), 0.9)], axis=1)
    return {"pose_keypoints_2d": flat.ravel().tolist(), "hand_left_keypoints_2d": []}


@pytest.mark.parametrize("joints", [18, 25])
def test_openpose_json_is_read(dance: Poses, tmp_path: Path, joints: int):
    frame = {"people": [person(dance, joints=joints)], "canvas_width": 512, "canvas_height": 704}
    (tmp_path / "a.json").write_text(json.dumps(frame))
    read = Poses.read(tmp_path / "a.json", fps=8.0)
    assert (read.size, read.fps, len(read)) == ((512, 704), 8.0, 1)
    np.testing.assert_allclose(read.keypoints[0, :17], dance.keypoints[0, :17], rtol=1e-5)
    assert read.visible[0, :17].all() and not read.visible[0, 23:].any()
    assert read.visible[0, 17:23].all() == (joints == 25)


def test_a_folder_of_jsons_is_a_clip_in_the_order_of_its_numbers(dance: Poses, tmp_path: Path):
    for number in (10, 9, 8):
        frame = {"people": [person(dance, shift=float(number))]}
        (tmp_path / f"frame_{number}.json").write_text(json.dumps(frame))
    read = Poses.read(tmp_path)
    nose = read.keypoints[:, 0, 0] - dance.keypoints[0, 0, 0]
    np.testing.assert_allclose(nose, [8, 9, 10], atol=1e-3)


def test_the_largest_person_is_followed(dance: Poses, tmp_path: Path):
    small = person(dance, scale=0.4)
    large, other = person(dance, scale=0.8), person(dance, scale=0.85, shift=400)
    frames = [{"people": [small, large]}, {"people": []}, {"people": [other, small, large]}]
    (tmp_path / "a.json").write_text(json.dumps(frames))
    read = Poses.read(tmp_path / "a.json")
    for frame in (0, 2):
        np.testing.assert_allclose(
            read.keypoints[frame, :17], 0.8 * dance.keypoints[0, :17], rtol=1e-5
        )
    assert not read.visible[1].any()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not json"),
        ('{"person": 1}', "not an OpenPose json"),
        ('{"people": []}', "no person in any of its 1 frames"),
        ('{"people": [{"pose_keypoints_2d": [1, 2, 1]}]}', "18 or 25 points: got 1"),
        ('{"people": [{"pose_keypoints_2d": [1, 2]}]}', "flat list of x, y, score"),
        ("[]", "no frame in it"),
    ],
)
def test_jsons_of_another_kind_are_named(tmp_path: Path, content: str, message: str):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(PoseError, match=message) as caught:
        Poses.read(tmp_path / "a.json")
    assert "a.json" in str(caught.value)


def test_an_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(PoseError, match="holds no .json file"):
        Poses.read(tmp_path)


@pytest.mark.parametrize("layout", ["openpose", "coco"])
def test_jsons_that_are_written_are_read(dance: Poses, tmp_path: Path, layout):
    visible = dance.visible.copy()
    visible[1], visible[2, 40:] = False, False
    written = Poses(
        dance.keypoints, scores=dance.scores, visible=visible, size=dance.size, fps=dance.fps
    )
    written.write(tmp_path / "a.json", layout=layout)
    read = Poses.read(tmp_path / "a.json", fps=dance.fps)
    assert (read.size, len(read)) == (dance.size, len(dance))
    np.testing.assert_array_equal(read.visible, visible)
    np.testing.assert_allclose(read.keypoints[visible], dance.keypoints[visible], atol=1e-3)
    np.testing.assert_allclose(read.scores[visible], dance.scores[visible], atol=1e-3)


def test_openposes_neck_and_hips_lie_between(dance: Poses, tmp_path: Path):
    dance.write(tmp_path / "a.json")
    frames = json.loads((tmp_path / "a.json").read_text())
    body = np.array(frames[0]["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
    np.testing.assert_allclose(body[1, :2], dance.keypoints[0, [5, 6]].mean(0), atol=1e-3)
    np.testing.assert_allclose(body[8, :2], dance.keypoints[0, [11, 12]].mean(0), atol=1e-3)
    assert len(frames[0]["people"][0]["face_keypoints_2d"]) == 3 * 68


def test_cocos_own_annotation_is_read(shared: Path):
    annotation = json.loads((shared / "media" / "coco785.json").read_text())["annotations"][0]
    poses = Poses.read(shared / "media" / "coco785.json")
    assert (poses.size, len(poses)) == ((640, 425), 1)
    body = np.array(annotation["keypoints"]).reshape(17, 3)
    np.testing.assert_allclose(poses.keypoints[0, :17], body[:, :2])
    assert poses.scores[0, :17].tolist() == (body[:, 2] / 2).tolist()
    assert poses.visible.sum() == 112  # upstream counts 113 of 134: the neck is its own point


def coco_file(**changes) -> dict:
    annotation = {"image_id": 7, "keypoints": [10.0, 20.0, 2.0] * 17} | changes
    image = {"id": 7, "width": 64, "height": 48}
    return {"images": [image], "annotations": [annotation]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (coco_file(foot_kpts=[1.0, 2.0, 1.0]), "foot_kpts must hold 6 points .*: got 3 numbers"),
        (coco_file(image_id=8), "no person in any of its 1 frames"),
        ({"images": [], "annotations": []}, "no image in it"),
        ({**coco_file(), "images": [{"id": 1}]}, "width"),
        (
            {
                "images": [{"id": n, "width": n, "height": 4} for n in (1, 2)],
                "annotations": [],
            },
            r"one size: got \[\(1, 4\), \(2, 4\)\]",
        ),
    ],
)
def test_coco_files_of_another_kind_are_named(tmp_path: Path, content: dict, message: str):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(PoseError, match=message) as caught:
        Poses.read(tmp_path / "a.json")
    assert "a.json" in str(caught.value)


def test_several_people_of_a_coco_file_are_one_followed_person(tmp_path: Path):
    frames = [{"id": n, "width": 64, "height": 48} for n in range(2)]
    small = [10.0, 10.0, 2.0, 14.0, 18.0, 2.0] + [0.0] * 45
    large = [30.0, 5.0, 2.0, 50.0, 45.0, 2.0] + [0.0] * 45
    people = [{"image_id": n, "keypoints": points} for n in range(2) for points in (small, large)]
    (tmp_path / "a.json").write_text(json.dumps({"images": frames, "annotations": people}))
    assert Poses.read(tmp_path / "a.json").keypoints[:, 0].tolist() == [[30, 5], [30, 5]]
