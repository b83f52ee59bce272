import errno
import pickle

import pytest
import torch
from torch import nn

from quickstep.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    latest_weights,
    load_weights,
    read_checkpoint,
    save_checkpoint,
)


def checkpoint_of(module: nn.Module, *, step: int, **parts) -> Checkpoint:
    return Checkpoint(step=step, weights=module.state_dict(), optimizer={"state": {}}, **parts)


def test_gives_back_what_was_saved(tmp_path):
    network = nn.Conv2d(3, 4, 3)
    network.weight.data = network.weight.data.contiguous(memory_format=torch.channels_last)
    saved = checkpoint_of(
        network,
        step=7,
        ema={"weight": torch.ones(4, 3, 3, 3)},
        extra={"target.weight": torch.zeros(2)},
        counts={"ema_updates": 7, "seconds": 1.5},
    )
    place = save_checkpoint(tmp_path, saved, keep=1)
    assert place == latest_checkpoint(tmp_path)
    read = read_checkpoint(place)
    assert (read.step, read.counts) == (7, {"ema_updates": 7, "seconds": 1.5})
    assert torch.equal(read.weights["weight"], network.weight)
    assert read.ema["weight"].sum() == 108
    assert list(read.extra) == ["target.weight"]


def test_loads_the_average_or_the_raw_weights(tmp_path):
    network, other = nn.Linear(2, 2), nn.Linear(2, 2)
    network.bias.requires_grad_(False)  # an average holds no frozen weights
    saved = checkpoint_of(network, step=1, ema={"weight": torch.ones(2, 2)})
    save_checkpoint(tmp_path, saved, keep=1)
    load_weights(other, tmp_path)
    assert (other.weight == 1).all() and torch.equal(other.bias, network.bias)
    load_weights(other, tmp_path, ema=False)
    assert torch.equal(other.weight, network.weight)


def test_keeps_tied_weights(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.second = nn.Linear(2, 2)
            self.second.weight = self.first.weight

    network, other = Tied(), Tied()
    save_checkpoint(tmp_path, checkpoint_of(network, step=1), keep=1)
    load_weights(other, tmp_path)
    assert torch.equal(other.second.weight, network.first.weight)
    assert other.second.weight is other.first.weight


def test_keeps_the_latest_only(tmp_path):
    for step in (1, 2, 3, 10):
        save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=step), keep=2)
    names = sorted(place.name for place in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000003", "step-00000010"]
    place = latest_checkpoint(tmp_path)
    assert place is not None and place.name == "step-00000010"


def test_saving_a_step_again_changes_nothing(tmp_path):
    first = save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=1), keep=2)
    before = (first / "weights.safetensors").read_bytes()
    save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=1), keep=2)
    assert (first / "weights.safetensors").read_bytes() == before


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=1), keep=1)

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=2), keep=1)
    assert [place.name for place in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    load_weights(nn.Linear(1, 1), tmp_path)


def test_replaces_whole_folders_that_nothing_points_at(tmp_path):
    save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=1), keep=1)
    stray = tmp_path / "checkpoints" / "step-00000002"
    stray.mkdir()
    (stray / "state.json").write_text("{}")
    save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=2), keep=1)
    assert read_checkpoint(stray).step == 2


def test_reads_no_pickled_objects(tmp_path):
    place = save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=1), keep=1)
    torch.save({"state": nn.Linear(1, 1)}, place / "optimizer.pt")
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        read_checkpoint(place)


def test_names_what_is_missing_or_foreign(tmp_path):
    with pytest.raises(ValueError, match="holds no checkpoint"):
        latest_weights(tmp_path)
    place = save_checkpoint(tmp_path, checkpoint_of(nn.Linear(1, 1), step=1), keep=1)
    with pytest.raises(ValueError, match="holds another network") as caught:
        load_weights(nn.Linear(2, 1), tmp_path)
    assert "\n" not in str(caught.value)
    (place / "state.json").unlink()
    with pytest.raises(ValueError, match="step-00000001"):
        latest_checkpoint(tmp_path)
