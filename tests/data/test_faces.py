import json
import shutil

import numpy as np
import pytest
import torch

from quickstep.conditions.face_picture import FacePicture, find_face
from quickstep.conditions.faces import face_crop
from quickstep.data.batches import ClipBatches
from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.dancer.portrait import Portrait
from quickstep.data.dancer.rays import Window
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.faces import PreparedFaces, dancer_face, encode_faces, prepare_faces
from quickstep.data.folder_sets import FolderData, prepare_folders
from quickstep.data.prepared import (
    DancerData,
    PreparedSet,
    encode_set,
    pictures_to_video,
    prepare_dancer,
)
from quickstep.networks.autoencoder import encode_video, small_autoencoder
from quickstep.networks.clip import image_embedding, small_image_encoder
from quickstep.networks.faces import Feature

DATA = DancerData(num_clips=3, num_frames=4, size=32, cell=8, first_seed=5)


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    return {
        "vae": small_autoencoder(size=32, latent_channels=4, widths=(8, 8, 8, 8)).eval(),
        "image_encoder": small_image_encoder(
            size=16, patch=8, width=16, num_layers=1, projection=12
        ).eval(),
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, encoders) -> PreparedSet:
    prepared = prepare_dancer(tmp_path_factory.mktemp("set"), DATA)
    return encode_set(prepared, **encoders, encoders="a")


@pytest.fixture(scope="module")
def folder(prepared):
    return prepare_faces(prepared, DATA, size=16)


@pytest.mark.parametrize("preset", ["plain", "rich", "catwalk", "sculpture", "painting", "neon"])
def test_a_portrait_is_the_reference_of_the_clip(preset):
    clip = render_clip(DancerSeeds.of(3), num_frames=2, size=32, preset=preset, reference_scale=4)
    portrait = Portrait.of(DancerSeeds.of(3), preset=preset)
    assert np.array_equal(portrait.picture(size=32), clip.reference_rgb.numpy())
    np.testing.assert_allclose(portrait.face_box(size=32), clip.reference_face_box, atol=1e-4)
    large = clip.reference_rgb_large
    assert large is not None
    part = portrait.picture(size=128, window=Window(21, 9, 70))
    assert np.array_equal(part, large[9:79, 21:91].numpy())


@pytest.mark.parametrize("seed", [3, 4, 11])
def test_the_face_is_cropped_as_from_the_whole_large_reference(seed):
    clip = render_clip(DancerSeeds.of(seed), num_frames=1, size=32, reference_scale=4)
    assert clip.reference_rgb_large is not None
    box = (4 * clip.reference_face_box).tolist()
    whole = face_crop(clip.reference_rgb_large.numpy(), box, size=16).astype(int)
    face = dancer_face(DancerSeeds.of(seed), size=32)
    assert face.is_inside and face.picture.size < clip.reference_rgb_large.numel()
    assert np.abs(face.crop(16) - whole).max() <= 1


def test_the_set_stays_as_it_is(prepared, folder):
    assert folder == prepared.folder / "faces-16"
    assert "faces" not in (prepared.folder / "set.json").read_text()
    crops, found = np.load(folder / "crops.npy"), np.load(folder / "found.npy")
    assert crops.shape == (3, 16, 16, 3) and found.all()
    assert np.array_equal(crops[1], dancer_face(DancerSeeds.of(6), size=32).crop(16))


def test_stopped_faces_go_on(prepared, folder, monkeypatch, tmp_path):
    monkeypatch.setattr("quickstep.data.faces._CHUNK", 1)
    other = shutil.copytree(prepared.folder, tmp_path / "set")
    shutil.rmtree(other / "faces-16")

    class Stopped(Exception):
        pass

    def stop(done, total, what):
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        prepare_faces(PreparedSet(other), DATA, size=16, report=stop)
    assert json.loads((other / "faces-16" / "faces.json").read_text())["done"] == 2
    seen = []
    prepare_faces(
        PreparedSet(other), DATA, size=16, report=lambda done, total, what: seen.append(done)
    )
    assert seen == [3]
    for name in ("crops", "found"):
        again, once = (np.load(each / f"{name}.npy") for each in (other / "faces-16", folder))
        assert np.array_equal(again, once)


def test_another_renderer_or_other_data_is_refused(prepared, folder, tmp_path):
    other = PreparedSet(shutil.copytree(prepared.folder, tmp_path / "set"))
    moved = DancerData(num_clips=3, num_frames=4, size=32, cell=8, first_seed=6)
    with pytest.raises(ValueError, match="made from other settings"):
        prepare_faces(other, moved, size=16)
    with pytest.raises(ValueError, match="clip 0 is not what its seeds render now"):
        prepare_faces(other, moved, size=8)


def test_features_are_those_of_the_crops(folder, encoders):
    crops = pictures_to_video(torch.from_numpy(np.load(folder / "crops.npy")))
    with torch.no_grad():
        latents = encode_video(encoders["vae"], crops[:, None])[:, 0].numpy()
        embeddings = image_embedding(encoders["image_encoder"], crops).numpy()
    wanted: list[tuple[Feature, np.ndarray]] = [("vae", latents), ("clip", embeddings)]
    for feature, expected in wanted:
        faces = encode_faces(folder, feature=feature, encoders="a", **encoders)
        np.testing.assert_allclose(faces.features, expected, atol=2e-3, rtol=2e-3)
        again = encode_faces(folder, feature=feature, encoders="a", **encoders)
        assert np.array_equal(again.features, faces.features)
    assert sorted(path.name for path in folder.glob("*-a.npy")) == ["clip-a.npy", "vae-a.npy"]


def test_a_face_out_of_the_picture_is_none(prepared, encoders, tmp_path):
    picture = np.zeros((20, 10, 3), np.uint8)
    assert FacePicture(picture, (-3.0, 2.0, 4.0, 8.0)).is_inside
    assert not FacePicture(picture, (-5.0, 2.0, 4.0, 8.0)).is_inside
    folder = tmp_path / "faces"
    folder.mkdir()
    np.save(folder / "crops.npy", np.full((2, 16, 16, 3), 9, np.uint8))
    np.save(folder / "found.npy", np.array([True, False]))
    faces = encode_faces(folder, feature="vae", encoders="a", **encoders)
    assert faces.features[0].any() and not faces.features[1].any()


def test_batches_give_faces_and_are_the_same_otherwise(prepared, folder, encoders):
    faces = encode_faces(folder, feature="vae", encoders="a", **encoders)
    options = {"lengths": (2, 4), "clips": (3, 3), "shares": (1.0, 1.0)}
    plain = ClipBatches(prepared, **options)
    told = ClipBatches(prepared, **options, faces=faces, face_drop=0.5)
    found = []
    for index in range(20):
        batch, other = told.batch(index), plain.batch(index)
        assert set(batch) - set(other) == {"face", "face_found"}
        assert all(torch.equal(batch[name], other[name]) for name in other)
        assert batch["face"].shape == (3, 4, 2, 2)
        assert torch.equal(told.batch(index)["face_found"], batch["face_found"])
        found.append(batch["face_found"])
    assert 0.3 < torch.cat(found).float().mean() < 0.7
    rows = np.array([2, 0])
    at = told.clips_at(rows, np.array([[1, 2], [3, 4]]), np.array([0, 3]))
    assert torch.equal(at["face"], torch.from_numpy(faces.features[rows]).float())
    lacking = PreparedFaces(faces.features, np.array([True, True, False]))
    at = ClipBatches(prepared, **options, faces=lacking).clips_at(
        rows, np.array([[1, 2], [3, 4]]), np.array([0, 3])
    )
    assert at["face_found"].tolist() == [False, True]


def test_find_face_takes_the_largest():
    class Blind:
        def propose(self, picture):
            return np.zeros((1, 1), np.float32), np.zeros((1, 1, 4), np.float32)

        def refine(self, crops):
            raise AssertionError("nothing was proposed")

        judge = refine

    assert find_face(np.zeros((64, 64, 3), np.uint8), Blind()) is None


def test_faces_of_real_clips(tmp_path):
    """A box that the folder knows is taken; without one the picture is searched, here in vain."""
    write_dancer_clips(tmp_path / "clips", num_clips=2, num_frames=2, size=32, seed=5)
    note = tmp_path / "clips" / "00001" / "clip.json"
    known = json.loads(note.read_text())
    note.write_text(json.dumps({**known, "reference_face_box": [], "face_picture_box": []}))
    data = FolderData(folder=str(tmp_path / "clips"), num_frames=1, size=(32, 32))
    prepared = prepare_folders(tmp_path / "set", data)
    folder = prepare_faces(prepared, data, size=16)
    assert np.load(folder / "found.npy").tolist() == [True, True, False, False]
    crops = np.load(folder / "crops.npy").astype(int)
    assert np.abs(crops[0] - dancer_face(DancerSeeds.of(5), size=32).crop(16)).mean() < 1
    assert np.array_equal(crops[0], crops[1]) and not crops[2:].any()
