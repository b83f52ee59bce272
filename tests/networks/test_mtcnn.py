import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from quickstep.networks.folder import BUILT_IN, ModelError
from quickstep.networks.mtcnn import BATCH, FILE, MTCNN, load_mtcnn

FOLDER = BUILT_IN / "mtcnn"


@pytest.fixture(scope="module")
def networks() -> MTCNN:
    return load_mtcnn()


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_weights_are_the_sources(shared: Path, networks: MTCNN, name: str):
    source = torch.load(shared / "weights" / f"{name}.pt", weights_only=True)
    ours = getattr(networks, name).state_dict()
    assert list(ours) == list(source)
    for key, value in source.items():
        torch.testing.assert_close(ours[key], value, rtol=0, atol=0)


def test_the_card_and_the_file_name_their_sources(shared: Path):
    card = (FOLDER / "README.md").read_text()
    with safe_open(FOLDER / FILE, framework="pt") as file:
        about = file.metadata()["about"]
    assert hashlib.sha256((FOLDER / FILE).read_bytes()).hexdigest() in card
    for name in ("pnet", "rnet", "onet"):
        digest = hashlib.sha256((shared / "weights" / f"{name}.pt").read_bytes()).hexdigest()
        assert digest in card and digest in about
    licence = (shared / "weights" / "LICENSE.facenet-pytorch.MIT").read_text()
    assert (FOLDER / "LICENSE").read_text() == licence


# What the networks of facenet-pytorch 2.6.0 answer to `ramp`: probability of a face, the first
# offset of the box and, of the third network, x and y of the nose.
UPSTREAM = {
    "pnet": (1.9217709e-5, -0.040311020),
    "rnet": (0.113551438, -0.012511197),
    "onet": (0.023062861, 0.049425788, 0.510732889, 0.619176328),
}


def ramp(side: int) -> np.ndarray:
    """A picture that is no face, but whose rows, columns and colours all differ."""
    row, column = np.mgrid[0:side, 0:side] / (side - 1)
    colours = np.stack([row, column, (row - column) ** 2], axis=-1)
    return (255 * colours).astype(np.float32)


def test_outputs_are_upstreams(networks: MTCNN):
    probability, offsets = networks.propose(ramp(12))
    found = {"pnet": (probability[0, 0], offsets[0, 0, 0])}
    probability, offsets = networks.refine(ramp(24)[None])
    found["rnet"] = (probability[0], offsets[0, 0])
    probability, offsets, landmarks = networks.judge(ramp(48)[None])
    found["onet"] = (probability[0], offsets[0, 0], *landmarks[0, 2])
    for name, values in UPSTREAM.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-4, atol=0, err_msg=name)


def test_a_window_is_judged_alike_inside_a_picture_and_alone(networks: MTCNN):
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 255, (21, 24, 3)).astype(np.float32)
    probability, offsets = networks.propose(picture)
    assert probability.shape == (6, 7) and offsets.shape == (6, 7, 4)
    for row, column in ((0, 0), (2, 5), (4, 6)):
        window = picture[2 * row : 2 * row + 12, 2 * column : 2 * column + 12]
        alone, its_offsets = networks.propose(window)
        np.testing.assert_allclose(probability[row, column], alone[0, 0], rtol=1e-5)
        np.testing.assert_allclose(offsets[row, column], its_offsets[0, 0], atol=1e-5)


def test_a_crop_is_judged_alike_in_a_batch_of_any_length(networks: MTCNN):
    rng = np.random.default_rng(1)
    crops = rng.uniform(0, 255, (BATCH + 3, 24, 24, 3)).astype(np.float32)
    probability, offsets = networks.refine(crops)
    assert probability.shape == (BATCH + 3,) and offsets.shape == (BATCH + 3, 4)
    alone, its_offsets = networks.refine(crops[-1:])
    np.testing.assert_allclose(probability[-1], alone[0], rtol=1e-4)
    np.testing.assert_allclose(offsets[-1], its_offsets[0], atol=1e-5)


def test_landmarks_are_x_of_all_then_y_of_all(networks: MTCNN):
    crop = torch.zeros(1, 3, 48, 48)
    hidden: list[torch.Tensor] = []
    handle = networks.onet.dense6_3.register_forward_hook(lambda *args: hidden.append(args[2]))
    *_, landmarks = networks.onet(crop)
    handle.remove()
    torch.testing.assert_close(landmarks[0, :, 0], hidden[0][0, :5])
    torch.testing.assert_close(landmarks[0, :, 1], hidden[0][0, 5:])


def test_networks_come_frozen_and_ready(networks: MTCNN):
    assert not networks.training
    assert not any(one.requires_grad for one in networks.parameters())
    assert sum(one.numel() for one in networks.parameters()) == 495_850


def test_files_that_are_not_mtcnns_are_named_in_one_line(tmp_path: Path):
    absent = tmp_path / "absent.safetensors"
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x00" * 32)
    other = tmp_path / "other.safetensors"
    save_file(nn.Linear(2, 2).state_dict(), other)
    for path in (absent, damaged, other):
        with pytest.raises(ModelError, match=path.name) as caught:
            load_mtcnn(path)
        assert "\n" not in str(caught.value)
