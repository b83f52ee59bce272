"""Lets tests and the scripts they start share `line_method`."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Tests cut no power, so nothing needs to reach the disk."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def run_script() -> Callable[..., str]:
    """Runs Python with arguments, on one CPU thread, beside `line_method`; gives its output."""

    def run(*arguments: str | Path) -> str:
        changes = {
            "PYTHONPATH": str(HERE),
            "OMP_NUM_THREADS": "1",
            "ACCELERATE_USE_CPU": "true",
            "PYTHONWARNINGS": "ignore",
        }
        done = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=os.environ | changes,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
