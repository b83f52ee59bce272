"""Fixtures of all tests: one thread, fixed seeds, and the way to the shared material."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared material (fixtures, media), or a skip that says where it was sought."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("QUICKSTEP_SHARED", beside))
    if not (folder / "fixtures").is_dir():
        pytest.skip(f"shared material is not at {folder} (set QUICKSTEP_SHARED)")
    return folder


@pytest.fixture(scope="session")
def small_unianimate() -> Callable[..., Any]:
    """Makes small networks of the real class, their weights random everywhere, zeros included."""
    from quickstep.networks.unianimate import UniAnimateUNet

    def make(*, seed: int = 0, **changes: Any) -> UniAnimateUNet:
        settings = {
            "width": 32,
            "multipliers": (1, 1),
            "num_res_blocks": 1,
            "attn_scales": (1.0,),
            "head_dim": 16,
            "num_first_heads": 2,
            "context_width": 16,
            "num_text_tokens": 0,
            "condition_width": 8,
            "resolution": (64, 64),
            "dropout": 0.0,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = UniAnimateUNet(**settings | changes)
            for parameter in network.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
        return network.eval()

    return make
