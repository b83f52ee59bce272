"""UniAnimate's network against the public checkpoint's keys and recorded outputs."""

import json
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from quickstep.networks.unianimate import UniAnimateUNet
from recorded import recorded_unianimate, unianimate_answer, unianimate_settings

CASES = ["cond", "uncond", "first_frame", "all", "no_image", "pose_only"]


@pytest.fixture(scope="module")
def tiny(shared):
    return recorded_unianimate(shared)


def test_every_key_and_shape_of_the_public_checkpoint(shared):
    facts = json.loads((shared / "fixtures/unianimate_keys.json").read_text())
    with torch.device("meta"):
        network = UniAnimateUNet()
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert ours == facts["keys"]
    assert len(ours) == 1544
    assert network.num_parameters() == 1_416_564_300
    config = unianimate_settings(facts["kwargs"], facts["config"]["resolution"])
    assert {key: network.config[key] for key in config} == config


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_the_recorded_ones(tiny, case):
    names = tiny.facts["cases"][case]["kwargs"]
    output = unianimate_answer(tiny.network, tiny.inputs, names)
    torch.testing.assert_close(output, tiny.outputs[case], atol=2e-3, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_the_recorded_ones_in_double(tiny, case):
    doubled = {
        key: value.double() if value.is_floating_point() else value
        for key, value in tiny.inputs.items()
    }
    names = tiny.facts["cases"][case]["kwargs"]
    output = unianimate_answer(tiny.network.double(), doubled, names)
    tiny.network.float()
    torch.testing.assert_close(output, tiny.outputs[f"out64/{case}"], atol=1e-8, rtol=0)


def seeded(key, shape):
    """The generator of `unianimate_full_seeded.json`."""
    random = np.random.RandomState(zlib.crc32(key.encode()))  # noqa: NPY002
    values = random.randint(-127, 128, size=int(np.prod(shape)), dtype=np.int8)
    return torch.from_numpy(values.reshape(shape)).float()


def seeded_weight(key, shape):
    values = seeded(key, shape)
    if len(shape) == 1:
        return values * 2.0**-10 + (1.0 if key.endswith(".weight") else 0.0)
    fan_in = np.prod(shape[1:])
    return values * 2.0 ** round(float(np.log2(0.8 / np.sqrt(fan_in) / 73.3)))


@pytest.mark.slow
def test_full_size_outputs_are_the_recorded_ones(shared):
    facts = json.loads((shared / "fixtures/unianimate_full_seeded.json").read_text())
    tensors = load_file(shared / "fixtures/unianimate_full_seeded.safetensors")
    with torch.device("meta"):
        network = UniAnimateUNet(
            **unianimate_settings(facts["kwargs"], facts["config.resolution"])
        ).eval()
    network.to_empty(device="cpu")
    state = {key: seeded_weight(key, value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict(state)
    inputs = {"t": torch.tensor([601])}
    for name, shape in facts["shapes"].items():
        plain = name.removesuffix("(u)")
        values = seeded(f"in/{plain}", shape) / 64
        inputs[plain] = (values + 127 / 64) * 0.25 if name.endswith("(u)") else values
    network.set_empty_text(inputs["zero_y"])
    for case, names in facts["cases"].items():
        output = unianimate_answer(network, inputs, names)
        torch.testing.assert_close(output, tensors[case], atol=1e-4, rtol=0)
