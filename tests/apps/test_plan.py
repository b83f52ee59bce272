"""``quickstep plan``: counts that are known, and what is refused."""

import json

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from quickstep.apps.cli import main
from quickstep.planning.counting import counted, num_bytes, without_data
from quickstep.planning.models import is_public, settings_of
from quickstep.planning.needs import Needs


def test_operations_and_live_memory_of_a_product_are_known():
    with without_data():
        layer = nn.Linear(8, 16, bias=False)
        x = torch.zeros(4, 8)
        with torch.no_grad():
            count = counted(lambda: layer(layer(x)[:, :8]))
    assert count.flops == 2 * 2 * 4 * 8 * 16
    assert count.kept == 4 * 16 * 4
    assert count.peak == 2 * count.kept
    assert num_bytes(nn.Linear(8, 16)) == 4 * (8 * 16 + 16)


def test_attention_on_the_cpu_is_counted():
    with without_data():
        query = torch.zeros(1, 2, 64, 8)
        with torch.no_grad():
            count = counted(lambda: nn.functional.scaled_dot_product_attention(query, query, query))
    assert count.flops == 2 * 2 * 2 * 64 * 64 * 8


def test_checkpointing_frees_what_a_stage_kept():
    """Sixteen layers in four stages: their inputs stay, and one stage is computed again."""
    with without_data():
        layers = [nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(16)]
        stages = nn.ModuleList(nn.Sequential(*layers[k : k + 4]) for k in range(0, 16, 4))
        x = torch.zeros(4096, 8)

        def peak(run):
            def there_and_back():
                hidden = x
                for stage in stages:
                    hidden = run(stage, hidden)
                hidden.sum().backward()
                stages.zero_grad()

            return counted(there_and_back).peak / x.nbytes

        assert peak(lambda stage, hidden: stage(hidden)) == pytest.approx(18, abs=0.1)
        again = peak(lambda stage, hidden: checkpoint(stage, hidden, use_reentrant=False))
        assert again == pytest.approx(9, abs=1.1)


def test_an_operation_that_a_device_does_in_one_is_not_taken_apart():
    """SiLU there and back: the output, then the gradient, and nothing between."""
    with without_data():
        x = torch.zeros(4096, requires_grad=True)
        count = counted(lambda: nn.functional.silu(x).sum().backward())
    assert count.peak == pytest.approx(x.nbytes, abs=64)


def plan(capsys, *words):
    assert main(["plan", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_an_animation_is_planned_and_timed(model_folders, capsys):
    model = model_folders / "teacher"
    short, long = (
        plan(capsys, "animate", "--frames", frames, "--model", model, "--steps", 2, *probe)
        for frames, probe in ((4, ()), (13, ("--no-probe",)))
    )
    assert short["evaluations"] == 2 * 2
    assert long["evaluations"] == 2 * 2 * 4
    assert long["flops"]["denoise"] == 4 * short["flops"]["denoise"]
    assert long["memory"]["windows' features"] == 4 * short["memory"]["windows' features"]
    assert long["memory"]["network"] == short["memory"]["network"]
    assert set(short["seconds"]) == {"load", "conditions", "denoise", "decode"}
    assert long["seconds"] is None
    assert short["fits"]
    whole = short["peak_memory"]
    assert short["choices"].keys() == {"--dtype bfloat16", "--vae-slicing"}
    assert all(memory < whole for memory in short["choices"].values())


def test_the_length_is_given_once(capsys):
    assert main(["plan", "animate"]) == 2
    assert "DRIVING or --frames, one of them" in capsys.readouterr().err


def test_a_distillation_is_planned(model_folders, capsys):
    """Two steps of two clips of two frames: the ledger's evaluations, and what the loop holds."""
    changes = [
        f"teacher={model_folders / 'teacher'}",
        "face=none",
        "train.num_steps=1",
        "train.accumulation=2",
        "clips.lengths=2",
    ]
    changes += ["clips.clips=2", "clips.shares=1", "method.skip_target=false", "method.target=ema"]
    words = [word for change in changes for word in ("--set", change)]
    told = plan(capsys, "distill", "dancelcm_lab", "--no-probe", *words)
    memory = told["memory"]
    assert memory["optimiser"] == 2 * memory["gradients"] > 0
    assert memory["target"] == memory["student"] == memory["teacher"]
    assert told["evaluations"] == 2 * 2 * 6
    assert told["flops"]["student"] == 3 * told["flops"]["target"]
    assert any("gradient_checkpointing" in name for name in told["choices"])
    words += ["--set", "teacher_dtype=bfloat16", "--set", "train.precision=bf16"]
    half = plan(capsys, "distill", "dancelcm_lab", "--no-probe", *words)["memory"]
    assert 2 * half["teacher"] == memory["teacher"]
    assert half["student"] == memory["student"]


def test_a_student_that_is_told_faces_is_planned(model_folders, capsys):
    """As the recipe has it: the face's layers are the student's alone."""
    words = ["--set", f"teacher={model_folders / 'teacher'}"]
    memory = plan(capsys, "distill", "dancelcm_lab", "--no-probe", *words)["memory"]
    assert memory["student"] > memory["teacher"]


def test_a_champ_is_planned(champ_folder, capsys):
    """One look at the picture for all windows; a student that owns a denoiser alone."""
    short, long = (
        plan(capsys, "animate", "--frames", frames, "--model", champ_folder, "--steps", 2, *probe)
        for frames, probe in ((4, ()), (13, ("--no-probe",)))
    )
    assert long["evaluations"] == 4 * short["evaluations"] > 0
    assert long["flops"]["denoise"] == 4 * short["flops"]["denoise"]
    assert set(short["seconds"]) == {"load", "conditions", "denoise", "decode"}
    changes = [
        f"teacher={champ_folder}",
        "face=none",
        "train.num_steps=2",
        "clips.lengths=2",
        "clips.clips=2",
    ]
    changes += ["clips.shares=1", "method.target=ema", "method.skip_target=false"]
    words = [word for change in changes for word in ("--set", change)]
    told = plan(capsys, "distill", "dancelcm_lab", *words)
    memory = told["memory"]
    assert 0 < memory["student"] == memory["target"] < memory["teacher"]
    assert set(told["seconds"]) == {"student", "teacher", "target"}
    assert any("adapter" in name for name in told["choices"])


@pytest.mark.parametrize("name", ["unianimate", "champ", "animate-anyone"])
def test_public_checkpoints_are_known_without_their_files(name):
    assert settings_of(name).size[0] == 512
    assert is_public(name)


def test_a_convolution_on_the_cpu_copies_its_input():
    with without_data(), torch.no_grad():
        layer, x = nn.Conv2d(4, 8, 3, padding=1), torch.zeros(1, 4, 16, 16)
        count = counted(lambda: layer(x))
    assert count.kept == 8 * 16 * 16 * 4
    assert count.peak == count.kept + 4 * 16 * 16 * 4


def test_what_is_no_distillation_is_named(capsys):
    assert main(["plan", "distill", "vae_dancer"]) == 2
    assert "vae_dancer is no distillation" in capsys.readouterr().err


@pytest.mark.parametrize(("free", "word"), [(10, "does not fit"), (10**10, "fits")])
def test_lines_say_what_fits(free, word):
    needs = Needs(
        memory={"network": 10**9},
        available=free,
        disk={"model": 10**9},
        evaluations=8.0,
        flops={"denoise": 4e12},
        seconds={"denoise": 75.0},
    )
    text = "\n".join(needs.lines())
    assert word in text
    assert "about 1 min 15 s" in text
    assert "4 TFLOP" in text
