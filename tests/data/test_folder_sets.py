"""Real clips become rows of a prepared set: cut, drawn, known where the dancer's would be."""

import json
import shutil

import numpy as np
import pytest

from quickstep.data.batches import ClipBatches
from quickstep.data.clip import read_clip
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.folder_sets import FolderData, prepare_folders
from quickstep.data.prepared import PreparedSet


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real") / "clips"
    write_dancer_clips(folder, num_clips=2, num_frames=9, size=64, seed=5)
    return folder


@pytest.fixture
def data(clips):
    return FolderData(folder=str(clips), num_frames=4, size=(32, 48), cell=8)


def test_a_long_clip_gives_several_rows(clips, data):
    assert [(path.name, start) for path, start in data.rows()] == [
        *(("00000", 0), ("00000", 4), ("00001", 0), ("00001", 4)),
    ]
    strided = FolderData(folder=str(clips), num_frames=4, stride=2, size=(32, 48))
    assert [start for _, start in strided.rows()] == [0, 0]


def test_rows_hold_the_cut_clip_and_what_is_known_of_it(clips, data, tmp_path):
    prepared = prepare_folders(tmp_path / "set", data)
    assert prepared.frames.shape == (4, 5, 48, 32, 3)
    clip = read_clip(clips / "00000")
    assert clip.mask is not None
    # 64x64 is cut to 43x64 from column 10 on, then brought to 32x48: a factor of .75.
    cut = clip.frames[4:8, :, 10:53]
    assert abs(prepared.frames[1, 1:].mean() - cut.mean()) < 1
    assert prepared.person[1, 1:].mean() / 255 == pytest.approx(
        clip.mask[4:8, :, 10:53].mean(), abs=0.02
    )
    box = (np.array(clip.info.face_box[4]) - [10, 0, 10, 0]) * 0.75
    assert prepared.boxes[1, 1] == pytest.approx(box, abs=0.3)
    assert (prepared.poses[1].reshape(5, -1).max(axis=1) > 100).all()
    assert (prepared.person[:, 0] == 0).all()


def test_a_stopped_set_goes_on_and_another_is_refused(data, tmp_path):
    whole = prepare_folders(tmp_path / "whole", data)
    prepare_folders(tmp_path / "set", data)
    path = tmp_path / "set" / "set.json"
    noted = json.loads(path.read_text())
    noted["done"]["rendered"] = 1
    path.write_text(json.dumps(noted))
    frames = np.load(tmp_path / "set" / "frames.npy", mmap_mode="r+")
    frames[1:] = 0
    frames.flush()
    again = prepare_folders(tmp_path / "set", data)
    assert np.array_equal(again.frames, whole.frames)
    with pytest.raises(ValueError, match="other settings"):
        prepare_folders(tmp_path / "set", FolderData(**{**vars(data), "num_frames": 3}))


def test_a_set_knows_who_its_clips_show(clips, tmp_path):
    """By the name in a clip's folder; clips that name nobody stand for themselves."""
    named = tmp_path / "clips"
    for number, person in enumerate(("Ann", "Ben", "Ann", None)):
        folder = named / f"{number:05d}"
        shutil.copytree(clips / "00000", folder)
        info = json.loads((folder / "clip.json").read_text())
        info.pop("identity")
        (folder / "clip.json").write_text(
            json.dumps(info if person is None else info | {"identity": person})
        )
    data = FolderData(folder=str(named), num_frames=9, size=(32, 48), cell=8)
    prepared = prepare_folders(tmp_path / "set", data)
    assert prepared.persons == ["Ann", "Ben", "Ann", "00003"]
    # A set of an earlier version knows the videos alone.
    noted = json.loads((tmp_path / "set" / "set.json").read_text())
    del noted["persons"]
    (tmp_path / "set" / "set.json").write_text(json.dumps(noted))
    assert PreparedSet(tmp_path / "set").persons == ["00000", "00001", "00002", "00003"]


def test_batches_read_such_a_set(data, tmp_path):
    prepared = prepare_folders(tmp_path / "set", data)
    np.save(tmp_path / "set" / "latents-x.npy", np.zeros((4, 5, 2, 6, 4), np.float16))
    np.save(tmp_path / "set" / "images-x.npy", np.zeros((4, 5, 3), np.float16))
    encoded = PreparedSet(prepared.folder, "x")
    batch = ClipBatches(encoded, lengths=(3,), clips=(2,), shares=(1.0,)).batch(0)
    assert batch["pose"].shape == (2, 3, 48, 32, 3)
    assert batch["motion"].shape == (2, 3, 6, 4)


def test_what_cannot_be_used_is_one_line(tmp_path, clips):
    with pytest.raises(ValueError, match=r"data\.folder must name a folder"):
        FolderData().rows()
    with pytest.raises(FileNotFoundError, match="no such folder"):
        FolderData(folder=str(tmp_path / "none")).rows()
    with pytest.raises(ValueError, match="no clip folder of 32 frames or more"):
        FolderData(folder=str(clips)).rows()
    with pytest.raises(ValueError, match="multiples of cell=8"):
        FolderData(size=(30, 48))
