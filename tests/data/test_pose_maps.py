import json
import shutil

import numpy as np
import pytest

from quickstep.conditions.pose_maps import SEMANTIC_COLOURS
from quickstep.data.batches import ClipBatches
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.folder_sets import FolderData, prepare_folders
from quickstep.data.pose_maps import prepare_pose_maps
from quickstep.data.prepared import DancerData, PreparedSet, prepare_dancer
from quickstep.networks.champ import POSE_MAPS

DATA = DancerData(num_clips=3, num_frames=2, size=48, first_seed=40)
DEPTH, NORMAL, SEMANTIC, SKELETON = range(4)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare_dancer(tmp_path_factory.mktemp("data") / "set", DATA)


@pytest.fixture(scope="module")
def maps(prepared):
    return prepare_pose_maps(prepared, DATA)


def test_maps_are_kept_beside_a_set_that_stays_as_it_is(prepared, maps):
    assert maps.shape == (3, 3, len(POSE_MAPS), 48, 48, 3)
    assert sorted(path.name for path in (prepared.folder / "pose-maps").iterdir()) == [
        "maps.npy",
        "pose-maps.json",
    ]
    assert "pose" not in json.loads((prepared.folder / "set.json").read_text())["done"]
    assert np.array_equal(prepare_pose_maps(prepared, DATA), maps)


def test_maps_follow_champs_conventions(prepared, maps):
    for frame in maps.reshape(-1, *maps.shape[2:]):
        body = frame[SEMANTIC].any(-1)
        assert body.any() and not body.all()
        grey = frame[DEPTH][..., 0]
        assert grey[body].max() == 255 and grey[body].min() == 0 and not grey[~body].any()
        normal = frame[NORMAL].astype(float) / 127.5 - 1
        assert np.abs(np.linalg.norm(normal[body], axis=-1) - 1).max() < 0.03
        assert (normal[body][:, 2] > -0.1).mean() > 0.98  # surfaces that are seen face the camera
        assert not frame[NORMAL][~body].any()
        colours = {tuple(colour) for colour in frame[SEMANTIC].reshape(-1, 3).tolist()}
        assert colours <= {tuple(colour) for colour in SEMANTIC_COLOURS.tolist()}
        assert frame[SKELETON].any()
    # The body is where the set says the person is.
    share = prepared.person[0, 1].repeat(8, 0).repeat(8, 1) > 0
    assert share[maps[0, 1, SEMANTIC].any(-1)].all()


def test_a_stopped_preparation_goes_on(prepared, maps, tmp_path):
    copy = PreparedSet(shutil.copytree(prepared.folder, tmp_path / "set"))
    note = copy.folder / "pose-maps" / "pose-maps.json"
    noted = json.loads(note.read_text())
    note.write_text(json.dumps({**noted, "done": 1}))
    half = np.load(copy.folder / "pose-maps" / "maps.npy", mmap_mode="r+")
    half[0], half[1:] = 7, 0
    half.flush()
    again = prepare_pose_maps(copy, DATA)
    assert (again[0] == 7).all() and np.array_equal(again[1:], maps[1:])
    note.write_text(json.dumps({**noted, "settings": {}}))
    with pytest.raises(ValueError, match="made from other settings"):
        prepare_pose_maps(copy, DATA)


def test_another_version_of_the_renderer_is_refused(prepared, tmp_path):
    copy = PreparedSet(shutil.copytree(prepared.folder, tmp_path / "set"))
    shutil.rmtree(copy.folder / "pose-maps", ignore_errors=True)
    frames = np.load(copy.folder / "frames.npy", mmap_mode="r+")
    frames[:] = 255 - frames
    frames.flush()
    with pytest.raises(ValueError, match="of another version of the dancer"):
        prepare_pose_maps(copy, DATA)


def test_batches_hold_the_maps_of_their_frames(prepared, maps):
    empty = np.zeros((3, 3, 1, 1, 1), np.float32)
    known = PreparedSet(prepared.folder, "none")
    vars(known).update(latents=empty, images=empty[..., 0, 0])
    batches = ClipBatches(known, lengths=(1,), clips=(2,), shares=(1.0,), pose_maps=maps)
    batch = batches.clips_at(np.array([0, 2]), np.array([[1], [2]]), np.array([0, 1]))
    assert np.array_equal(batch["pose_maps"].numpy(), np.stack([maps[0, [1]], maps[2, [2]]]))


def test_maps_of_real_clips_are_those_of_their_folders(tmp_path):
    write_dancer_clips(tmp_path / "clips", num_clips=1, num_frames=2, size=48, seed=40)
    data = FolderData(folder=str(tmp_path / "clips"), num_frames=2, size=(48, 48))
    real = prepare_pose_maps(prepare_folders(tmp_path / "set", data), data)
    exact = prepare_pose_maps(prepare_dancer(tmp_path / "dancer", DATA), DATA)
    assert not real[0, 0].any()
    for index in (NORMAL, SEMANTIC, SKELETON):
        assert np.abs(real[0, 1:, index].astype(int) - exact[0, 1:, index]).max() <= 1
    # Folders keep depth to a 254th of the clip's range.
    assert np.abs(real[0, 1:, DEPTH].astype(int) - exact[0, 1:, DEPTH]).max() <= 4
    (tmp_path / "clips" / "00000" / "normal.mp4").unlink()
    again = FolderData(folder=str(tmp_path / "clips"), num_frames=1, size=(48, 48))
    with pytest.raises(ValueError, match=r"00000: pose maps need depth.mp4, normal.mp4"):
        prepare_pose_maps(prepare_folders(tmp_path / "other", again), again)
