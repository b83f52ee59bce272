"""UniAnimate's network against the public checkpoint's keys and recorded outputs."""

import json
import zlib

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from quickstep.networks.unianimate import UniAnimateConditions, UniAnimateUNet

CASES = ["cond", "uncond", "first_frame", "all", "no_image", "pose_only"]


def settings(kwargs, resolution):
    """Our names for the constructor arguments recorded in the fixtures."""
    return dict(
        in_channels=kwargs["in_dim"],
        out_channels=kwargs["out_dim"],
        width=kwargs["dim"],
        multipliers=tuple(kwargs["dim_mult"]),
        num_res_blocks=kwargs["num_res_blocks"],
        attn_scales=tuple(kwargs["attn_scales"]),
        head_dim=kwargs["head_dim"],
        num_first_heads=kwargs["num_heads"],
        context_width=kwargs["context_dim"],
        num_image_tokens=kwargs["num_tokens"],
        dropout=kwargs["dropout"],
        resolution=tuple(resolution),
    )


def conditions(inputs, names):
    """The fixtures' arguments, which carry the reference's pose as frame 0 of the poses."""
    told = {}
    if "image" in names:
        told["image"] = inputs["image"]
    if "randomref" in names:
        told["reference"] = inputs["randomref"][:, :, 0]
    if "dwpose" in names:
        poses = inputs["dwpose"].transpose(1, 2)
        told["reference_pose"], told["pose"] = poses[:, 0], poses[:, 1:]
    if "local_image" in names:
        told["first_frame"] = inputs["local_image"].transpose(1, 2)
    return UniAnimateConditions(**told)


def predict(network, inputs, names):
    features = network.encode(
        conditions(inputs, names), num_frames=inputs["x"].shape[2], batch=len(inputs["x"])
    )
    return network(inputs["x"].transpose(1, 2), inputs["t"], features).transpose(1, 2)


@pytest.fixture(scope="module")
def tiny(shared):
    facts = json.loads((shared / "fixtures/unianimate_tiny.json").read_text())
    tensors = load_file(shared / "fixtures/unianimate_tiny.safetensors")
    state = {}
    for key in (key for key in tensors if key.startswith("sd/")):
        name = key.removeprefix("sd/")
        scale = tensors.get(f"scale/{name}", torch.tensor(1.0))
        state[name] = tensors[key].float() * scale
    inputs = {
        key.removeprefix("in/"): value.float() if value.is_floating_point() else value
        for key, value in tensors.items()
        if key.startswith("in/")
    }
    config = settings(facts["constructor_kwargs"], facts["config.resolution (W,H)"])
    network = UniAnimateUNet(**config).eval()
    network.load_state_dict(state)
    network.set_empty_text(inputs["zero_y"])
    return network, facts, inputs, tensors


def test_every_key_and_shape_of_the_public_checkpoint(shared):
    facts = json.loads((shared / "fixtures/unianimate_keys.json").read_text())
    with torch.device("meta"):
        network = UniAnimateUNet()
    ours = {key: list(value.shape) for key, value in network.state_dict().items()}
    assert ours == facts["keys"]
    assert len(ours) == 1544
    assert network.num_parameters() == 1_416_564_300
    config = settings(facts["kwargs"], facts["config"]["resolution"])
    assert {key: network.config[key] for key in config} == config


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_the_recorded_ones(tiny, case):
    network, facts, inputs, tensors = tiny
    with torch.no_grad():
        output = predict(network, inputs, facts["cases"][case]["kwargs"])
    torch.testing.assert_close(output, tensors[f"out/{case}"], atol=2e-3, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_the_recorded_ones_in_double(tiny, case):
    network, facts, inputs, tensors = tiny
    network.double()
    doubled = {
        key: value.double() if value.is_floating_point() else value for key, value in inputs.items()
    }
    with torch.no_grad():
        output = predict(network, doubled, facts["cases"][case]["kwargs"])
    network.float()
    torch.testing.assert_close(output, tensors[f"out64/{case}"], atol=1e-8, rtol=0)


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
        network = UniAnimateUNet(**settings(facts["kwargs"], facts["config.resolution"])).eval()
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
        with torch.no_grad():
            output = predict(network, inputs, names)
        torch.testing.assert_close(output, tensors[case], atol=1e-4, rtol=0)
