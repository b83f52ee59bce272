"""The recipe of the feature network runs, at toy size, to a network that can be loaded."""

import pytest
import torch

from quickstep.networks.features.dancer import DancerFeatures
from quickstep.training.runs import export_recipe, run_recipe

TOY = {
    "data.num_clips": "4",
    "data.num_frames": "4",
    "data.size": "32",
    "people.num_clips": "4",
    "people.scenes": "2",
    "people.size": "32",
    "widths": "4,6,8,8",
    "frame_width": "8",
    "video_width": "6",
    "face_width": "5",
    "lengths": "4,2",
    "clips": "1,2",
    "persons": "2",
    "faces": "2",
    "train.num_steps": "2",
    "train.warmup_steps": "0",
    "train.prefetch": "0",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "features_dancer"
    assert run_recipe("features_dancer", overrides=TOY, run_folder=folder).step == 2
    return folder


def load(folder) -> DancerFeatures:
    return DancerFeatures.from_pretrained(folder / "model" / "features", use_safetensors=True)


def test_the_export_is_calibrated_and_has_no_heads(run):
    network = load(run)
    assert network.config["frame_width"] == 8
    assert network.frame_scale.min() > 0
    assert network.frame_mean.abs().max() > 0
    assert not any(key.startswith(("video.", "pose", "speed")) for key in network.state_dict())


def test_an_export_again_is_the_same(run):
    before = load(run).state_dict()
    export_recipe("features_dancer", run_folder=run)
    after = load(run).state_dict()
    # Weights lie in another order in memory while they are trained, which rounds otherwise.
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_a_run_can_start_from_another(run, tmp_path):
    steps = {"train.num_steps": "1", "train.learning_rate": "1e-9", "train.ema_decay": "0"}
    home = run.parent / "second"
    run_recipe("features_dancer", overrides=TOY | steps, init=run / "model", run_folder=home)
    first, second = load(run).state_dict(), load(home).state_dict()
    assert all(torch.allclose(first[key], second[key], atol=1e-4) for key in first)
    with pytest.raises(ValueError, match="holds no features"):
        run_recipe("features_dancer", overrides=TOY, init=tmp_path, run_folder=run.parent / "third")
    shape = {"frame_width": "9"}
    with pytest.raises(ValueError, match="of another shape"):
        run_recipe(
            "features_dancer",
            overrides=TOY | shape,
            init=run / "model",
            run_folder=run.parent / "fourth",
        )
