"""Fixtures of all tests: one thread, fixed seeds, and the way to the shared material."""

import os
from pathlib import Path

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
