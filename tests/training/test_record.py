import json

import pytest

from quickstep.training.config import TrainConfig
from quickstep.training.record import Log, describe_run, open_run, read_log


def description(*, settings=None, micro_batches=1, **changes):
    config = TrainConfig(**{"num_steps": 10, "learning_rate": 1e-3} | changes)
    return describe_run(config, recipe="line", settings=settings or {}, micro_batches=micro_batches)


def test_writes_recipe_settings_and_versions(tmp_path):
    open_run(tmp_path / "run", description(settings={"data": {"size": (8, 8)}}), resume=False)
    written = json.loads((tmp_path / "run" / "config.json").read_text())
    assert written["recipe"] == "line"
    assert written["train"]["num_steps"] == 10
    assert written["settings"] == {"data": {"size": [8, 8]}}
    assert {"python", "torch", "accelerate", "quickstep"} <= written["versions"].keys()


def test_refuses_a_fresh_start_over_a_run(tmp_path):
    open_run(tmp_path, description(), resume=False)
    with pytest.raises(ValueError, match="already holds a run"):
        open_run(tmp_path, description(), resume=False)
    open_run(tmp_path, description(), resume=True)


def test_a_resume_may_change_length_threads_and_reports(tmp_path):
    open_run(tmp_path, description(), resume=True)
    free = {"num_steps": 99, "log_every": 3, "checkpoint_minutes": 1.0, "num_threads": 2}
    open_run(tmp_path, description(**free), resume=True)
    assert json.loads((tmp_path / "config.json").read_text())["train"]["num_steps"] == 99


def test_a_resume_may_change_the_guidance_a_teacher_is_exported_with(tmp_path):
    open_run(tmp_path, description(settings={"guidance": 2.0}), resume=True)
    open_run(tmp_path, description(settings={"guidance": 1.5}), resume=True)
    assert json.loads((tmp_path / "config.json").read_text())["settings"]["guidance"] == 1.5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 5}, "train.seed cannot change on resume: .* begun with 0, got 5"),
        ({"learning_rate": 0.5}, r"train\.learning_rate .* 0\.001, got 0\.5"),
        ({"ema_decay": 0.5}, "train.ema_decay"),
        ({"precision": "bf16"}, "train.precision"),
        ({"micro_batches": 4}, "micro_batches_per_step"),
        ({"settings": {"data": {"size": 16}}}, r"settings\.data\.size .* 8, got 16"),
    ],
)
def test_a_resume_may_not_change_what_is_learned(tmp_path, changed, message):
    open_run(tmp_path, description(settings={"data": {"size": 8}}), resume=False)
    with pytest.raises(ValueError, match=message):
        open_run(
            tmp_path, description(**{"settings": {"data": {"size": 8}}} | changed), resume=True
        )


def test_a_setting_that_is_new_in_the_code_may_join(tmp_path):
    open_run(tmp_path, description(settings={"data": {"size": 8}, "gone": 1}), resume=False)
    joined = {"data": {"size": 8, "crop": True}, "new": 2}
    open_run(tmp_path, description(settings=joined), resume=True)
    with pytest.raises(ValueError, match=r"settings\.data .* None"):
        open_run(tmp_path, description(settings={"data": None}), resume=True)


def test_the_log_goes_on_where_the_run_does(tmp_path):
    with Log(tmp_path, step=0) as log:
        for step in (10, 20, 30):
            log.write(step, {"loss": 1 / step})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')  # torn by a kill
    with Log(tmp_path, step=20) as log:
        log.write(30, {"loss": float("inf")})
    assert [line["step"] for line in read_log(tmp_path)] == [10, 20, 30]
    assert read_log(tmp_path)[-1]["loss"] is None
