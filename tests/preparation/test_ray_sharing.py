"""Footage prepared by a Ray cluster of this machine: the same bytes, and nothing lost by a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quickstep.apps.cli import main
from quickstep.preparation import ray_sharing
from quickstep.preparation.sharing import SharingError, prepare_all
from quickstep.preparation.store import file_sha256
from quickstep.preparation.work import Job

OPTIONS = ["--frames", "8", "--min-frames", "4", "--size", "64", "64", "--device", "cpu"]
TWO = ["--engine", "ray", "--workers", "2", "--json"]
ENVIRONMENT = {**os.environ, "RAY_worker_niceness": "0", "QUICKSTEP_TRACEBACK": "1"}


def started(home: Path, out: Path) -> subprocess.Popen[str]:
    """The command in a process of its own: Ray and its workers go when it goes."""
    words = [sys.executable, "-m", "quickstep", "prepare", str(home), str(out), *OPTIONS, *TWO]
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)


def results(out: Path) -> list[Path]:
    return sorted((out / "cache" / "clips").rglob("[!.]*.json"))


@pytest.mark.slow
def test_two_ray_workers_make_the_same_bytes_and_a_kill_loses_nothing(film, tmp_path):
    pytest.importorskip("ray.data", reason="Ray Data is not installed: quickstep[ray]")
    home, out = tmp_path / "films", tmp_path / "ray"
    for number, name in enumerate("abcd"):
        film(home / f"{name}.mp4", number=number, num_frames=20)
    (home / "text.mp4").write_text("no video")
    assert main(["prepare", str(home), str(tmp_path / "here"), *OPTIONS, "--json"]) == 0
    killed = started(home, out)
    while len(results(out)) < 1 and killed.poll() is None:
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    kept = {path: path.stat().st_mtime_ns for path in results(out)}
    assert kept and not (out / "manifest.json").exists()
    text, errors = started(home, out).communicate()
    summary = json.loads(text)
    assert summary["found"] >= len(kept) and summary["clips"] == 12, errors
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    for name in ("train-00000.tar", "manifest.json", "rejected.csv"):
        assert file_sha256(out / name) == file_sha256(tmp_path / "here" / name), name
    assert "text: " in errors and "INFO" not in errors


def test_without_ray_one_line_says_what_to_install(tmp_path, job: Job, monkeypatch):
    monkeypatch.setattr(ray_sharing, "find_spec", lambda name: None)
    with pytest.raises(SharingError, match=r"--engine ray needs Ray Data: pip install 'quickstep"):
        list(prepare_all([], job, workers=2, engine="ray"))
