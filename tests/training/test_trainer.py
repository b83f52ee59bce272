import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from line_method import LineBatches, LineMethod
from torch import nn

from quickstep.data.image import write_image
from quickstep.methods.protocol import Loss, Method, PlainMethod
from quickstep.training.checkpoint import latest_checkpoint, load_weights, read_checkpoint
from quickstep.training.config import TrainConfig
from quickstep.training.record import Preview, read_log
from quickstep.training.trainer import DivergenceError, micro_batch_seeds, train


def config(**changes) -> TrainConfig:
    settings = {"num_steps": 8, "learning_rate": 1e-2, "warmup_steps": 2, "log_every": 4}
    return TrainConfig(**settings | changes)


def run(folder: Path, config: TrainConfig, *, method=None, batches=None, **options):
    method = method or LineMethod()
    result = train(
        method,
        batches or LineBatches(),
        config,
        folder=folder,
        report=options.pop("report", lambda line: None),
        **options,
    )
    return method, result


def saved(folder: Path):
    place = latest_checkpoint(folder)
    assert place is not None
    return read_checkpoint(place)


def assert_same_bits(one: Path, other: Path):
    """Weights, average, target and optimiser of the latest checkpoints are equal."""
    first, second = saved(one), saved(other)
    assert first.step == second.step
    assert first.counts["ema_updates"] == second.counts["ema_updates"]
    for part in ("weights", "ema", "extra"):
        left, right = getattr(first, part), getattr(second, part)
        assert left.keys() == right.keys() and left, part
        for name, tensor in left.items():
            assert torch.equal(tensor, right[name]), f"{part}: {name}"
    assert first.optimizer["param_groups"] == second.optimizer["param_groups"]
    for index, state in first.optimizer["state"].items():
        for name, tensor in state.items():
            assert torch.equal(tensor, second.optimizer["state"][index][name]), name


class StopAt:
    """Data that stops the run when a given batch is asked for."""

    def __init__(self, index: int, action):
        self.index, self.action = index, action

    def batch(self, index: int):
        if index == self.index:
            self.action()
        return LineBatches().batch(index)


def test_the_tiny_method_is_one():
    assert isinstance(LineMethod(), Method)
    assert PlainMethod().extra_state() == {}
    with pytest.raises(ValueError, match="PlainMethod keeps no extra state: got a"):
        PlainMethod().load_extra_state({"a": torch.zeros(1)})


def test_learns_a_line(tmp_path):
    network, averaged = nn.Linear(3, 1), nn.Linear(3, 1)
    settings = config(num_steps=150, learning_rate=0.1, ema_decay=0.95)
    run(tmp_path, settings, method=LineMethod(network))
    load_weights(averaged, tmp_path)
    for learned in (network, averaged):
        torch.testing.assert_close(learned.bias.detach(), torch.ones(1), atol=0.1, rtol=0)
    lines = read_log(tmp_path)
    assert lines[-1]["loss"] < 0.1 < 1 < lines[0]["loss"]
    assert {"error", "drift", "gradient_norm", "learning_rate", "seconds"} <= lines[0].keys()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_run_continues_to_the_same_bits(tmp_path, precision):
    whole = config(accumulation=2, precision=precision)
    run(tmp_path / "whole", whole)
    for step in (3, 5):
        _, result = run(
            tmp_path / "parts",
            whole,
            # Whatever stands in the networks at a resume must not matter.
            method=LineMethod(seed=0 if step == 3 else 7),
            batches=StopAt(2 * step, lambda: os.kill(os.getpid(), signal.SIGTERM)),
            resume=step > 3,
        )
        assert (result.step, result.reason) == (step + 1, "SIGTERM")
    _, result = run(tmp_path / "parts", whole, method=LineMethod(seed=9), resume=True)
    assert (result.step, result.reason) == (8, "done")
    assert_same_bits(tmp_path / "whole", tmp_path / "parts")
    assert [line["step"] for line in read_log(tmp_path / "parts")] == [4, 8]


def test_a_run_can_be_made_longer(tmp_path):
    run(tmp_path / "whole", config(num_steps=9, decay_fraction=0.0))
    run(tmp_path / "parts", config(num_steps=4, decay_fraction=0.0))
    run(tmp_path / "parts", config(num_steps=9, decay_fraction=0.0), resume=True)
    assert_same_bits(tmp_path / "whole", tmp_path / "parts")


def test_making_batches_ahead_changes_no_bit(tmp_path):
    run(tmp_path / "now", config(accumulation=2))
    run(tmp_path / "ahead", config(accumulation=2, prefetch=3))
    assert_same_bits(tmp_path / "now", tmp_path / "ahead")


def test_leaves_the_callers_random_state_and_signals_alone(tmp_path):
    before, handler = torch.get_rng_state(), signal.getsignal(signal.SIGTERM)
    run(tmp_path, config(num_threads=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_interrupt_saves_and_ends(tmp_path):
    batches = StopAt(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    lines: list[str] = []
    _, result = run(tmp_path, config(), batches=batches, report=lines.append)
    assert (result.step, result.reason, saved(tmp_path).step) == (3, "SIGINT", 3)
    assert lines[-1] == f"SIGINT after step 3; saved in {tmp_path}"


def test_stops_when_its_time_is_over(tmp_path):
    _, result = run(tmp_path, config(max_minutes=1e-9))
    assert (result.step, result.reason, saved(tmp_path).step) == (1, "time", 1)


def test_saves_by_time_and_by_steps(tmp_path):
    seen: list[int] = []

    def note():
        place = latest_checkpoint(tmp_path)
        seen.append(0 if place is None else read_checkpoint(place).step)

    run(tmp_path, config(checkpoint_every=3), batches=StopAt(5, note))
    assert seen == [3]
    run(tmp_path / "t", config(checkpoint_minutes=1e-9, keep_checkpoints=3))
    assert len(list((tmp_path / "t" / "checkpoints").iterdir())) == 3


def test_a_finished_run_stays_as_it_is(tmp_path):
    run(tmp_path, config())
    before = saved(tmp_path)
    _, result = run(tmp_path, config(), resume=True)
    assert (result.step, result.reason) == (8, "done")
    assert torch.equal(saved(tmp_path).weights["0.weight"], before.weights["0.weight"])


def test_refuses_a_second_start_and_another_seed(tmp_path):
    run(tmp_path, config())
    with pytest.raises(ValueError, match="already holds a run"):
        run(tmp_path, config())
    with pytest.raises(ValueError, match=r"train\.seed"):
        run(tmp_path, config(seed=3), resume=True)


class Broken(LineBatches):
    """A batch that no loss survives."""

    def batch(self, index: int):
        batch = super().batch(index)
        if index == 5:
            batch["y"] = batch["y"] / 0
        return batch


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(DivergenceError, match=r"step 6: the loss is (inf|nan) .*step-00000004$"):
        run(tmp_path, config(checkpoint_every=4), batches=Broken())
    assert saved(tmp_path).step == 4
    with pytest.raises(DivergenceError, match="there is no checkpoint yet"):
        run(tmp_path / "other", config(), batches=Broken())


def test_a_preview_sees_the_average_in_evaluation_mode(tmp_path):
    method = LineMethod()
    seen: list[tuple[int, torch.Tensor]] = []

    def preview(step: int) -> None:
        assert not method.trainable.training and not torch.is_grad_enabled()
        torch.randn(3)  # drawing with the global generator must not change the run
        seen.append((step, method.trainable.state_dict()["0.weight"].clone()))

    options = {"preview_every": 4, "checkpoint_every": 4, "keep_checkpoints": 2}
    run(tmp_path / "a", config(**options), method=method, preview=preview)
    assert [step for step, _ in seen] == [4, 8]
    assert torch.equal(seen[1][1], saved(tmp_path / "a").ema["0.weight"])
    assert method.trainable.training
    run(tmp_path / "b", config())
    assert_same_bits(tmp_path / "a", tmp_path / "b")
    with pytest.raises(ValueError, match="preview_every"):
        run(tmp_path / "c", config(preview_every=4))


def test_what_a_preview_finds_is_logged_and_its_warnings_are_said(tmp_path):
    picture = tmp_path / "strip.png"
    write_image(picture, np.zeros((4, 4, 3), np.uint8))
    said: list[str] = []

    def preview(step: int) -> Preview:
        return Preview(picture, {"motion_4": 0.1}, ["samples of 4 steps are static"])

    run(tmp_path / "a", config(preview_every=4), preview=preview, report=said.append)
    assert [line for line in read_log(tmp_path / "a") if "motion_4" in line] == [
        {"step": 4, "motion_4": 0.1},
        {"step": 8, "motion_4": 0.1},
    ]
    assert "step 4: warning: samples of 4 steps are static" in said
    (board,) = (tmp_path / "a" / "tensorboard").iterdir()
    assert b"preview" in board.read_bytes() and b"motion_4" in board.read_bytes()


class LookFirst(PlainMethod):
    """Passes the student without a gradient before its own pass, as targets do."""

    def __init__(self):
        self.trainable: nn.Module = nn.Linear(3, 1)
        self.dtype = torch.float64

    def loss(self, batch, *, generator, progress):
        with torch.no_grad():
            self.trainable(batch["x"])
        prediction = self.trainable(batch["x"])
        self.dtype = prediction.dtype
        return Loss((prediction - batch["y"]).square().mean())


def test_bf16_products_keep_float32_weights_and_every_gradient(tmp_path):
    method = LookFirst()
    before = {name: value.clone() for name, value in method.trainable.state_dict().items()}
    run(tmp_path, config(num_steps=1, precision="bf16"), method=method)
    assert method.dtype == torch.bfloat16
    for name, value in method.trainable.state_dict().items():
        assert value.dtype == torch.float32
        assert not torch.equal(value, before[name]), name


def test_accumulation_is_one_large_batch(tmp_path):
    class Both:
        def batch(self, index: int):
            parts = [LineBatches().batch(2 * index + half) for half in (0, 1)]
            return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    small, large = LookFirst(), LookFirst()
    large.trainable.load_state_dict(small.trainable.state_dict())
    run(tmp_path / "small", config(accumulation=2), method=small)
    run(tmp_path / "large", config(), method=large, batches=Both())
    torch.testing.assert_close(small.trainable.state_dict(), large.trainable.state_dict())


def test_progress_is_the_share_that_is_done(tmp_path):
    method, _ = run(tmp_path, config(num_steps=4, accumulation=2))
    assert method.seen == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75]


def test_seeds_differ_between_batches_runs_and_uses():
    drawn = [
        seed for run in range(20) for index in range(200) for seed in micro_batch_seeds(run, index)
    ]
    assert len(set(drawn)) > 0.999 * len(drawn)
    assert micro_batch_seeds(0, 0) == micro_batch_seeds(0, 0)


class Pictures:
    """Pictures by number."""

    def batch(self, index: int):
        x = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(index))
        return {"x": x, "y": x.mean(1, keepdim=True)}


def small_convolutions() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.SiLU(), nn.Conv2d(5, 1, 3, padding=1))


@pytest.mark.parametrize("last", [(True, True), (False, True), (True, False)])
def test_the_memory_layout_may_change_on_resume(tmp_path, last):
    def steps(folder: str, num_steps: int, channels_last: bool, resume: bool = False):
        settings = config(num_steps=num_steps, channels_last=channels_last, decay_fraction=0.0)
        method = LineMethod(small_convolutions())
        run(tmp_path / folder, settings, method=method, batches=Pictures(), resume=resume)
        return method.trainable.state_dict()

    with torch.random.fork_rng():
        expected = steps("whole", 6, False)
        steps("parts", 3, last[0])
        torch.testing.assert_close(steps("parts", 6, last[1], resume=True), expected)


def test_without_an_average_the_raw_weights_are_exported(tmp_path):
    method, _ = run(tmp_path, config(ema_decay=0.0, channels_last=True), recipe="line")
    other = LineMethod(seed=4).trainable
    load_weights(other, tmp_path)
    assert torch.equal(other.state_dict()["0.weight"], method.trainable.state_dict()["0.weight"])
    assert json.loads((tmp_path / "config.json").read_text())["recipe"] == "line"
