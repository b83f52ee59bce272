import sys

import numpy as np
import pytest
import torch

from quickstep.evaluation.curve.memory import measured_growth, weight_bytes
from quickstep.networks.folder import load_model

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak")


@linux
def test_growth_is_what_was_held_at_the_peak():
    with measured_growth("cpu") as first:
        held = np.ones(60 << 20, np.uint8)
        del held
    with measured_growth("cpu") as second:
        held = np.ones(20 << 20, np.uint8)
        del held
    if first.bytes is None or second.bytes is None:
        pytest.skip("the peak of this process cannot be reset here")
    assert first.bytes >> 20 == pytest.approx(60, abs=8)
    assert second.bytes >> 20 == pytest.approx(20, abs=8)


@linux
def test_nothing_done_is_next_to_nothing():
    with measured_growth(torch.device("cpu")) as growth:
        pass
    if growth.bytes is None:
        pytest.skip("the peak of this process cannot be reset here")
    assert 0 <= growth.bytes < 8 << 20


def test_weights_are_counted_part_by_part(model_folders):
    model = load_model(model_folders / "student")
    parts = (model.network, model.vae, model.image_encoder)
    expected = sum(
        value.numel() * value.element_size()
        for part in parts
        for value in part.state_dict().values()
    )
    assert expected > 0
    assert weight_bytes(model) >= expected
    assert weight_bytes(model) < 1.1 * expected
