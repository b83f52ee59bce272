"""Sharded weights learn what whole ones do, and their checkpoints are whole."""

from pathlib import Path

import pytest
import torch
from torch import nn

from quickstep.training.checkpoint import latest_checkpoint, read_checkpoint
from quickstep.training.config import TrainConfig
from quickstep.training.sharding import shard, spread_like, whole, whole_state, whole_tensors

SCRIPT = Path(__file__).with_name("sharded_script.py")
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def checkpoint(folder: Path):
    place = latest_checkpoint(folder)
    assert place is not None
    return read_checkpoint(place)


def test_whole_tensors_stay_as_they_are():
    tensor = torch.ones(2)
    assert whole(tensor) is tensor
    assert spread_like(tensor, torch.zeros(2)) is tensor
    assert whole_tensors({"a": tensor})["a"] is tensor
    state = {"state": {0: {"step": tensor}}, "param_groups": [{"lr": 0.1}]}
    assert whole_state(state) == state


def test_one_rank_has_nothing_to_share_with():
    with pytest.raises(ValueError, match="needs several ranks: launch with torchrun"):
        shard([nn.Linear(1, 1)], device=torch.device("cpu"), count=1)


def test_previews_must_be_off():
    with pytest.raises(ValueError, match="preview_every must be 0 with sharding fsdp2"):
        TrainConfig(num_steps=1, learning_rate=1.0, sharding="fsdp2", preview_every=5)


@pytest.mark.slow
def test_two_sharded_ranks_learn_what_one_does_with_twice_the_accumulation(tmp_path, run_script):
    output = run_script(*TORCHRUN, SCRIPT, tmp_path / "two", "1", "fsdp2", "1")
    assert all(f"rank {rank} of 2: True True" in output for rank in (0, 1))
    assert "rank 0 of 1: False False" in run_script(SCRIPT, tmp_path / "one", "1", "none", "2")
    two, one = checkpoint(tmp_path / "two"), checkpoint(tmp_path / "one")
    assert two.weights.keys() == one.weights.keys()
    for index, state in one.optimizer["state"].items():
        # After one step Adam's first moment is a tenth of the gradient.
        mine = two.optimizer["state"][index]["exp_avg"]
        torch.testing.assert_close(mine, state["exp_avg"], atol=1e-7, rtol=1e-4)


@pytest.mark.slow
def test_a_sharded_run_resumes_to_the_same_bits(tmp_path, run_script):
    run_script(*TORCHRUN, SCRIPT, tmp_path / "once", "3", "fsdp2", "1")
    for steps in ("2", "3"):
        run_script(*TORCHRUN, SCRIPT, tmp_path / "twice", steps, "fsdp2", "1")
    once, twice = checkpoint(tmp_path / "once"), checkpoint(tmp_path / "twice")
    assert once.step == twice.step == 3
    for part in ("weights", "ema", "extra"):
        for name, tensor in getattr(once, part).items():
            assert torch.equal(tensor, getattr(twice, part)[name]), f"{part}: {name}"
    run_script(SCRIPT, tmp_path / "twice", "4", "none", "2")
    assert checkpoint(tmp_path / "twice").step == 4
