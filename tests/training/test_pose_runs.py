"""The recipe of the pose detector runs, at toy size, to two ONNX files that the runner takes."""

import json

import numpy as np
import pytest

from quickstep.conditions.detection.sessions import load_detector
from quickstep.data.detectors import find_detector
from quickstep.networks.pose_detector import PoseDetector
from quickstep.training import onnx_export
from quickstep.training.pose_runs import torch_detector
from quickstep.training.runs import run_recipe

TOY = {
    "data.num_clips": "4",
    "data.num_frames": "1",
    "data.size": "32",
    "finder_widths": "8,8,8",
    "reader_widths": "8,8,8",
    "crops": "2",
    "scenes": "2",
    "train.num_steps": "2",
    "train.warmup_steps": "0",
    "train.prefetch": "0",
    "train.preview_every": "2",
    "train.precision": "fp32",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "pose_dancer"
    assert run_recipe("pose_dancer", overrides=TOY, run_folder=folder).step == 2
    return folder


def test_the_onnx_files_answer_as_the_networks_do(run):
    networks = PoseDetector.from_pretrained(run / "model" / "detector").eval()
    files = load_detector(find_detector(str(run / "model")), threads=1)
    ours = torch_detector(networks)
    rng = np.random.default_rng(0)
    squares = rng.uniform(0, 255, (3, 3, 640, 640)).astype(np.float32)
    crops = rng.normal(size=(2, 3, 384, 288)).astype(np.float32)
    # Weights are stored in half precision.
    np.testing.assert_allclose(files.find(squares), ours.find(squares), atol=5e-3)
    for found, wanted in zip(files.read(crops), ours.read(crops), strict=True):
        np.testing.assert_allclose(found, wanted, atol=5e-3)


def test_the_preview_measures_on_persons_that_training_never_sees(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    numbers = next(line for line in lines if "pck_body_0.2" in line)
    assert 0 <= numbers["pck_body_0.2"] <= 1
    assert (run / "previews" / "000002.png").is_file()


def test_a_run_can_start_from_another(run, tmp_path):
    steps = {"train.num_steps": "1", "train.learning_rate": "1e-9", "train.ema_decay": "0"}
    home = run.parent / "second"
    run_recipe("pose_dancer", overrides=TOY | steps, init=run / "model", run_folder=home)
    first, second = (
        PoseDetector.from_pretrained(folder / "model" / "detector").state_dict()
        for folder in (run, home)
    )
    assert all(np.allclose(first[key], second[key], atol=1e-4) for key in first)
    with pytest.raises(ValueError, match="holds no detector"):
        run_recipe("pose_dancer", overrides=TOY, init=tmp_path, run_folder=run.parent / "third")


def test_a_missing_package_is_told_before_anything_is_learned(run, monkeypatch):
    monkeypatch.setattr(onnx_export, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(ValueError, match="need no_such_package: pip install onnx"):
        run_recipe("pose_dancer", overrides=TOY, run_folder=run.parent / "fourth")
