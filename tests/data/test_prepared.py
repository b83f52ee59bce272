import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.prepared import (
    DancerData,
    PreparedSet,
    cell_share,
    encode_set,
    pictures_to_video,
    prepare_dancer,
    video_to_pictures,
)
from quickstep.networks.autoencoder import encode_video, small_autoencoder
from quickstep.networks.clip import small_image_encoder

DATA = DancerData(num_clips=3, num_frames=2, size=32, cell=8, first_seed=5)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> PreparedSet:
    return prepare_dancer(tmp_path_factory.mktemp("set"), DATA, chunk=2)


def test_rows_are_the_rendered_clips(prepared):
    clip = render_clip(DancerSeeds.of(6), num_frames=2, size=32)
    assert np.array_equal(prepared.frames[1, 0], clip.reference_rgb.numpy())
    assert np.array_equal(prepared.frames[1, 1:], clip.rgb.numpy())
    np.testing.assert_allclose(prepared.boxes[1, 1:], clip.face_box.numpy())
    assert prepared.poses[1].any()
    assert len(prepared) == 3


def test_a_stopped_set_goes_on_to_the_same_bits(prepared, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done, total, what):
        raise Stopped

    with pytest.raises(Stopped):
        prepare_dancer(tmp_path, DATA, chunk=2, report=stop)
    assert json.loads((tmp_path / "set.json").read_text())["done"]["rendered"] == 2
    again = prepare_dancer(tmp_path, DATA, chunk=2)
    for name in ("frames", "poses", "person", "boxes"):
        assert np.array_equal(getattr(again, name), getattr(prepared, name)), name


def test_another_set_is_not_written_over(prepared):
    other = DancerData(num_clips=3, num_frames=2, size=32, cell=8, first_seed=6)
    with pytest.raises(ValueError, match="made from other settings"):
        prepare_dancer(prepared.folder, other)


def test_encoding_adds_latents_and_embeddings(prepared):
    torch.manual_seed(0)
    vae = small_autoencoder(size=32, latent_channels=4, widths=(8, 8, 8, 8))
    encoder = small_image_encoder(size=16, patch=8, width=16, num_layers=1, projection=12)
    encoded = encode_set(prepared, vae=vae, image_encoder=encoder, encoders="a")
    assert encoded.latents.shape == (3, 3, 4, 4, 4)
    assert encoded.images.shape == (3, 3, 12)
    video = pictures_to_video(torch.from_numpy(np.array(prepared.frames[2])))
    with torch.no_grad():
        exact = encode_video(vae, video[None])[0]
    error = (torch.from_numpy(np.array(encoded.latents[2])).float() - exact).abs().mean()
    assert error < 0.02 * exact.abs().mean()


def test_sets_of_several_encoders_lie_side_by_side(prepared):
    encoder = small_image_encoder(size=16, patch=8, width=16, num_layers=1, projection=12)
    first, second = (
        encode_set(
            prepared,
            vae=small_autoencoder(size=32, latent_channels=channels, widths=(8, 8, 8, 8)),
            image_encoder=encoder,
            encoders=name,
        )
        for name, channels in (("four", 4), ("two", 2))
    )
    assert (first.latents.shape[2], second.latents.shape[2]) == (4, 2)
    done = json.loads((prepared.folder / "set.json").read_text())["done"]
    assert {"rendered", "encoded-four", "encoded-two"} <= done.keys()
    with pytest.raises(FileNotFoundError, match=r"latents-\.npy is missing"):
        _ = prepared.latents


def test_missing_latents_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"latents-x\.npy is missing"):
        _ = PreparedSet(tmp_path, "x").latents


def test_pictures_and_video_are_inverse():
    pictures = torch.arange(48, dtype=torch.uint8).reshape(1, 4, 4, 3) * 5
    video = pictures_to_video(pictures)
    assert video.shape == (1, 3, 4, 4)
    assert -1 <= video.min() < video.max() <= 1
    assert torch.equal(video_to_pictures(video), pictures)


def test_share_of_a_cell():
    mask = torch.zeros(1, 8, 16, dtype=torch.bool)
    mask[0, :4, :8] = True
    assert cell_share(mask, 8).tolist() == [[[128, 0]]]


@pytest.mark.parametrize("field", ["num_clips", "num_frames", "cell"])
def test_impossible_sets_are_refused(field):
    with pytest.raises(ValueError, match=f"{field} must be at least 1: got 0"):
        replace(DancerData(), **{field: 0})
    with pytest.raises(ValueError, match="multiple of cell=8: got 100"):
        DancerData(size=100)
