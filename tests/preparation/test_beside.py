"""Masks and pose maps beside footage: read in step with it, and carried into the shards."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from quickstep.apps.cli import main
from quickstep.conditions.body import read_body
from quickstep.data.body_maps import body_pose_maps, write_body_maps
from quickstep.data.clip import read_clip, skeleton_pictures
from quickstep.data.pose_maps import clip_pose_maps
from quickstep.data.shards import BODY_MAPS, ShardClips, ShardData, ShardError
from quickstep.data.video import VideoError
from quickstep.data.views import View
from quickstep.networks.champ import POSE_MAPS
from quickstep.preparation.beside import GivenMaps

OPTIONS = ["--frames", "8", "--min-frames", "4", "--size", "48", "64", "--device", "cpu"]


def prepare(home: Path, out: Path, *options: str) -> int:
    return main(["prepare", str(home), str(out), *OPTIONS, "--maps", *options])


def reasons(out: Path) -> dict[str, str]:
    with (out / "rejected.csv").open(encoding="utf-8", newline="") as file:
        return {row["source"]: row["reason"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def footage(tmp_path_factory, dancers: Path) -> Path:
    """Three dancers' videos: maps in a folder, as a body, and one whose body is too short."""
    home = tmp_path_factory.mktemp("with_maps")
    for number, name in enumerate(("folder", "body", "short", "none")):
        for file, beside in (("video.mp4", "mp4"), ("skeletons.npz", "npz")):
            shutil.copy(dancers / f"{number:05d}" / file, home / f"{name}.{beside}")
    write_body_maps(read_body(dancers / "00000" / "body.npz"), home / "folder.maps")
    shutil.copy(dancers / "00001" / "body.npz", home / "body.body.npz")
    read_body(dancers / "00002" / "body.npz")[:12].write(home / "short.body.npz")
    return home


@pytest.fixture(scope="module")
def out(footage: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "shards"
    assert prepare(footage, folder) == 0
    return folder


def test_maps_are_those_of_the_frames_and_of_the_crop(out, dancers):
    clips = ShardClips(ShardData(shards=str(out)), with_maps=True)
    assert {clip["source"] for clip in clips.clips} == {"folder", "body"}
    moments = np.array([2, 3, 4])
    for row, clip in enumerate(clips.clips):
        number = int(clip["source"] == "body")
        maps = body_pose_maps(read_body(dancers / f"0000{number}" / "body.npz"))
        frames = [clip["first_frame"] + moment - 1 for moment in moments]
        told = clips.clips_at(np.array([row]), moments[None], np.array([0]))["pose_maps"][0]
        shown = told.numpy()
        assert shown.shape == (3, len(POSE_MAPS), 64, 48, 3)
        off = offset_of(clips, row)
        for place, name in enumerate(BODY_MAPS):
            whole = maps[name][frames]
            if name == "semantic_map":
                whole = whole * (maps["mask"][frames][..., :1] > 127)
            np.testing.assert_array_equal(shown[:, place], whole[:, :, off : off + 48], name)
        np.testing.assert_array_equal(shown[:, 3], skeleton_pictures(clips.poses(row)[moments]))


def offset_of(clips: ShardClips, row: int) -> int:
    """Where the crop of a clip starts."""
    import json

    content = clips.member(row, "json")
    assert content is not None
    corner = json.loads(content)["corner"]
    assert corner[1] == 0
    return corner[0]


def test_footage_without_its_maps_is_left_out(out):
    told = reasons(out)
    assert set(told) == {"short", "none"}
    assert told["none"].endswith("none.mp4: no pose maps beside it")
    assert told["short"].endswith("short.body.npz: nothing for frame 12")


def test_a_clip_folders_truth_is_shown_as_champ_does(dancers):
    clip = read_clip(dancers / "00003")
    expected = clip_pose_maps(clip, dancers / "00003")
    size = clip.info.size
    given = GivenMaps(dancers / "00003")
    shown = given.at([0, 7, 19], View.whole(size), picture=size)
    for name in BODY_MAPS:
        np.testing.assert_array_equal(shown[name], expected[name][[0, 7, 19]])
    given.expect(20)
    with pytest.raises(VideoError, match="20 pictures, but the video has 21 frames"):
        given.expect(21)


def test_maps_of_another_shape_are_refused(dancers):
    given = GivenMaps(dancers / "00003")
    with pytest.raises(VideoError, match="maps of 64x64, the video's frames are 128x64"):
        given.at([0], View.whole((128, 64)), picture=(128, 64))


def test_shards_without_maps_say_how_to_get_them(footage, tmp_path):
    out = tmp_path / "out"
    assert main(["prepare", str(footage), str(out), *OPTIONS]) == 0
    assert ShardClips(ShardData(shards=str(out)))
    with pytest.raises(ShardError, match="hold no pose maps.*`quickstep prepare --maps`"):
        ShardClips(ShardData(shards=str(out)), with_maps=True)


def test_a_folder_that_lacks_a_map_is_told(dancers, tmp_path):
    home = tmp_path / "clips"
    shutil.copytree(dancers / "00000", home / "a")
    (home / "a" / "normal.mp4").unlink()
    assert prepare(home, tmp_path / "out") == 2
    assert "lacks normal: a folder of maps has depth" in reasons(tmp_path / "out")["a"]
