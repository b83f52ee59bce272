from pathlib import Path

import pytest
import torch
from torch import nn

from quickstep.training.checkpoint import latest_checkpoint, read_checkpoint
from quickstep.training.ranks import Ranks, rank_device

SCRIPT = Path(__file__).with_name("ranks_script.py")


def test_alone_everything_is_its_own():
    ranks = Ranks(torch.device("cpu"))
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.ones(2)
    ranks.average_gradients([parameter])
    assert (ranks.index, ranks.count, ranks.is_first) == (0, 1, True)
    assert ranks.any([True, False]) == [True, False]
    assert ranks.mean(torch.ones(1)) == 1 and parameter.grad.sum() == 2
    with pytest.raises(ValueError, match="no good"):
        ranks.on_first(lambda: (_ for _ in ()).throw(ValueError("no good")))


def test_refuses_to_train_the_same_thing_several_times(monkeypatch):
    Ranks(torch.device("cpu"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="launched with 2 ranks but accelerate joined 1"):
        Ranks(torch.device("cpu"))


def test_each_rank_has_an_accelerator_of_its_own(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert rank_device("cpu") == torch.device("cpu")
    assert rank_device("xpu") == torch.device("xpu", 3)
    assert rank_device("xpu:1") == torch.device("xpu", 1)


@pytest.mark.slow
def test_two_ranks_learn_what_one_does_with_twice_the_accumulation(tmp_path, run_script):
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    output = run_script(*launch, SCRIPT, tmp_path / "two", "1")
    assert sorted(output.split("\n")[:2]) == ["rank 0 of 2", "rank 1 of 2"]
    assert "rank 0 of 1" in run_script(SCRIPT, tmp_path / "one", "2")
    two, one = (latest_checkpoint(tmp_path / name) for name in ("two", "one"))
    assert two is not None and one is not None
    left, right = read_checkpoint(two), read_checkpoint(one)
    for part in ("weights", "ema", "extra"):
        for name, tensor in getattr(left, part).items():
            torch.testing.assert_close(tensor, getattr(right, part)[name], atol=1e-6, rtol=0)
