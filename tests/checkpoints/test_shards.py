"""Streamed safetensors: what the library reads back, the split, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file

from quickstep.checkpoints.files import CheckpointError, Stored
from quickstep.checkpoints.shards import write_shards


def announced(state):
    return {key: Stored(tuple(value.shape), value.dtype) for key, value in state.items()}


@pytest.fixture
def state():
    torch.manual_seed(0)
    return {
        "c": torch.tensor([True, False, True]),
        "a": torch.randn(3, 5),
        "b": torch.randn(7).half(),
        "d": torch.tensor(3),
        "e": torch.empty(0, 2),
        "f": torch.randn(4, 3).t(),
    }


def test_the_library_reads_back_what_was_streamed(state, tmp_path):
    paths = write_shards(tmp_path, "model", announced(state), state.__getitem__)
    assert [path.name for path in paths] == ["model.safetensors"]
    read = load_file(paths[0])
    assert set(read) == set(state)
    assert all(torch.equal(read[key], value) for key, value in state.items())


def test_large_weights_go_to_several_files_with_an_index(tmp_path):
    state = {name: torch.full((10,), float(number)) for number, name in enumerate("abcde")}
    paths = write_shards(tmp_path, "model", announced(state), state.__getitem__, max_bytes=100)
    assert [path.name for path in paths] == [
        f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)
    ]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    for key, file in index["weight_map"].items():
        assert torch.equal(load_file(tmp_path / file)[key], state[key])
    assert set(index["weight_map"]) == set(state)
    assert index["metadata"]["total_size"] == 200


def test_one_tensor_is_held_at_a_time(tmp_path):
    """A tensor is asked for when its turn has come, and once."""
    asked = []

    def read(key):
        asked.append(key)
        return torch.zeros(4)

    write_shards(tmp_path, "model", {key: Stored((4,), torch.float32) for key in "abc"}, read)
    assert asked == ["a", "b", "c"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_are_no_numbers_or_too_large_are_refused(value, tmp_path):
    tensors = {"a": Stored((1,), torch.float16)}
    with pytest.raises(CheckpointError, match="a has weights that are not finite, or too large"):
        write_shards(tmp_path, "model", tensors, lambda key: torch.tensor([value]))
