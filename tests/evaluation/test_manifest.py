import json

import numpy as np
import pytest

from quickstep.conditions.drawing import draw_skeletons
from quickstep.data.image import write_image
from quickstep.data.video import write_video
from quickstep.evaluation.sample import SampleError
from quickstep.evaluation.samples import open_samples


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (4, 40, 30, 3), dtype=np.uint8)


def write_frames(folder, pictures, *, first=1, form="{:04d}.png"):
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, first):
        write_image(folder / form.format(number), picture)


def write_manifest(path, *entries):
    lines = path.suffix == ".jsonl"
    path.write_text("\n".join(map(json.dumps, entries)) if lines else json.dumps(entries))
    return path


def only(path):
    samples = open_samples(path)
    return samples.read(samples.names[0])


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_every_part_is_read_where_the_manifest_says(tmp_path, pictures, dance, suffix):
    write_video(tmp_path / "truth.mp4", pictures, fps=24.0, lossless=True)
    write_image(tmp_path / "person.png", pictures[2])
    dance(4).scaled_to((60, 80)).write(tmp_path / "dance.npz")
    dance(1).scaled_to((30, 40)).write(tmp_path / "standing.npz")
    grey = np.repeat((np.arange(4) * 80)[:, None, None, None], 3, axis=3) * np.ones((1, 40, 30, 1))
    write_frames(tmp_path / "mask", grey.astype(np.uint8))
    (tmp_path / "faces.json").write_text(json.dumps([[1, 2, 3, 4]] * 4))
    entry = {
        "name": "one",
        "video": "truth.mp4",
        "reference": "person.png",
        "skeletons": "dance.npz",
        "reference_pose": "standing.npz",
        "mask": "mask",
        "face_boxes": "faces.json",
    }
    sample = only(write_manifest(tmp_path / f"set{suffix}", entry))
    assert (sample.frames == pictures).all()
    assert (sample.reference == pictures[2]).all()
    assert sample.fps == 24
    assert sample.poses is not None and sample.poses.size == (30, 40)
    assert sample.reference_pose is not None and len(sample.reference_pose) == 1
    assert sample.mask is not None
    assert sample.mask.all(axis=(1, 2)).tolist() == [False, False, True, True]
    assert sample.face_boxes is not None and sample.face_boxes[3].tolist() == [1, 2, 3, 4]


def test_a_frame_of_the_clip_may_be_the_reference(tmp_path, pictures, dance):
    write_frames(tmp_path / "truth", pictures)
    dance(4).scaled_to((30, 40)).write(tmp_path / "dance.npz")
    entry = {"name": "one", "frames": "truth", "skeletons": "dance.npz", "fps": 10}
    first = only(write_manifest(tmp_path / "set.json", entry))
    assert (first.reference == pictures[0]).all()
    assert first.fps == 10
    third = only(write_manifest(tmp_path / "set.json", {**entry, "reference": 2}))
    assert (third.reference == pictures[2]).all()
    assert third.reference_pose is not None and third.poses is not None
    assert (third.reference_pose.keypoints == third.poses.keypoints[2]).all()
    assert (open_samples(tmp_path / "set.json", reference=1).read("one").reference[0]).any()
    with pytest.raises(SampleError, match="one: reference must be a frame of 0 to 3: got 4"):
        only(write_manifest(tmp_path / "set.json", {**entry, "reference": 4}))


def test_a_skeleton_video_gives_the_poses(tmp_path, dance):
    poses = dance(2).moved(scale=4.0, offset=(0.0, 0.0), size=(256, 256))
    drawn = draw_skeletons(poses, size=(256, 256), style="dwpose")
    write_video(tmp_path / "skeletons.mp4", drawn, fps=30.0, lossless=True)
    write_video(tmp_path / "truth.mp4", np.zeros((2, 64, 64, 3), np.uint8), fps=30.0)
    entry = {"name": "one", "video": "truth.mp4", "skeletons": "skeletons.mp4"}
    sample = only(write_manifest(tmp_path / "set.json", entry))
    assert sample.poses is not None and sample.poses.size == (64, 64)


def test_tiktok_folders_need_no_manifest(tmp_path, pictures, dance):
    write_frames(tmp_path / "00335" / "images", pictures)
    write_frames(tmp_path / "00335" / "masks", np.where(pictures > 1, 255, 0).astype(np.uint8))
    dance(4).scaled_to((30, 40)).write(tmp_path / "00335" / "skeletons.npz")
    write_frames(tmp_path / "00336" / "images", pictures[:2])
    samples = open_samples(tmp_path)
    assert samples.names == ["00335", "00336"]
    full, bare = samples
    assert full.mask is not None and full.poses is not None
    assert bare.mask is None and bare.poses is None and len(bare.frames) == 2
    assert (full.fps, bare.fps) == (30, 30)


def test_frames_that_cannot_be_read_or_differ_in_size_are_named(tmp_path, pictures):
    write_frames(tmp_path / "truth", pictures)
    path = write_manifest(tmp_path / "set.json", {"name": "one", "frames": "truth"})
    write_image(tmp_path / "truth" / "0003.png", pictures[0, :20])
    with pytest.raises(SampleError, match="0003.png: its size differs from 0001.png's"):
        only(path)
    (tmp_path / "truth" / "0003.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="0003.png: not a picture"):
        only(path)


ENTRY = {"name": "one", "video": "truth.mp4"}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "a manifest is a list of clips, at least one"),
        ([3], "entry 1: a clip must be an object: got int"),
        ([ENTRY, ENTRY], "entry 2: there are two clips 'one'"),
        ([{**ENTRY, "skeleton": "a.npz"}], "entry 1: no field 'skeleton'"),
        ([{**ENTRY, "fps": "12"}], "entry 1: fps must be float or int: got '12'"),
        ([{**ENTRY, "fps": 0}], "entry 1: fps must be positive: got 0"),
        ([{**ENTRY, "reference": True}], "entry 1: reference must be str or int: got True"),
        ([{"name": "one"}], "entry 1: a clip needs either 'video' or 'frames'"),
        ([{**ENTRY, "frames": "truth"}], "entry 1: a clip needs either 'video' or 'frames'"),
        ([{**ENTRY, "name": "../one"}], "entry 1: name must be letters"),
        ([{"video": "truth.mp4"}], "entry 1: name must be letters"),
    ],
)
def test_bad_manifests_are_refused(tmp_path, entries, message):
    with pytest.raises(SampleError, match=message):
        open_samples(write_manifest(tmp_path / "set.json", *entries))


def test_bad_files_of_a_manifest_are_refused(tmp_path, pictures):
    path = write_manifest(tmp_path / "set.json", ENTRY)
    with pytest.raises(SampleError, match="one: .*truth.mp4: no such file"):
        only(path)
    write_video(tmp_path / "truth.mp4", pictures, fps=12.0)
    with pytest.raises(SampleError, match=r"face_boxes must have the shape \(frames, 4\)"):
        only(write_manifest(path, {**ENTRY, "face_boxes": [1, 2]}))
    with pytest.raises(SampleError, match="3 frames but|4 frames but face_boxes of 1"):
        only(write_manifest(path, {**ENTRY, "face_boxes": [[1, 2, 3, 4]]}))
    path.write_bytes(b"[\xff]")
    with pytest.raises(SampleError, match="set.json: not json that can be read"):
        open_samples(path)
    path.write_text("{")
    with pytest.raises(SampleError, match="not json that can be read"):
        open_samples(path)
    with pytest.raises(SampleError, match="a manifest ends in .json or .jsonl"):
        open_samples(tmp_path / "truth.mp4")
