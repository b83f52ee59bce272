import dataclasses
import inspect

import pytest

from quickstep.training.config import FREE_ON_RESUME, TrainConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_steps", 0),
        ("accumulation", 0),
        ("learning_rate", 0.0),
        ("warmup_steps", -1),
        ("decay_fraction", 1.5),
        ("ema_decay", 1.0),
        ("clip_norm", -1.0),
        ("betas", (0.9, 1.0)),
        ("keep_checkpoints", 0),
        ("log_every", 0),
        ("checkpoint_minutes", -1.0),
    ],
)
def test_refuses_a_value_and_names_it(name, value):
    settings = {"num_steps": 10, "learning_rate": 1e-3, name: value}
    with pytest.raises(ValueError, match=f"{name} must be .*got ") as caught:
        TrainConfig(**settings)
    assert repr(value) in str(caught.value)


def test_refuses_a_weight_decay_without_effect():
    with pytest.raises(ValueError, match=r"weight_decay.*adam"):
        TrainConfig(num_steps=1, learning_rate=1.0, optimizer="adam", weight_decay=0.1)


def test_every_field_says_what_it_means():
    source = inspect.getsource(TrainConfig).partition("def __post_init__")[0]
    fields = dataclasses.fields(TrainConfig)
    assert source.count('"""') == 2 * (len(fields) + 1)
    assert {field.name for field in fields} >= FREE_ON_RESUME
