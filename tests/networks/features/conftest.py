"""Weights and pictures from the rules of the `*_seeded.json` fixtures, whose outputs are stored."""

import json
import math
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from safetensors.torch import load_file


def seeded(key, shape):
    random = np.random.RandomState(zlib.crc32(key.encode()))  # noqa: NPY002
    return random.randint(-127, 128, size=math.prod(shape), dtype=np.int8).reshape(shape)


def seeded_weight(key, shape, gain):
    values = torch.from_numpy(seeded(key, shape)).float()
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if len(shape) > 1:
        return values * float(np.float32(gain / (73.3 * math.sqrt(math.prod(shape[1:])))))
    if key.endswith("running_var"):
        return values * 2.0**-9 + 1
    return values * 2.0**-10 + (1.0 if key.endswith(".weight") else 0.0)


def seeded_frames(name, num_frames, height, width):
    coarse_shape = (-(-num_frames // 4), -(-height // 16), -(-width // 16), 3)
    coarse = seeded(f"in/{name}/coarse", coarse_shape).astype(int)
    coarse = coarse.repeat(4, axis=0).repeat(16, axis=1).repeat(16, axis=2)
    fine = seeded(f"in/{name}/fine", (num_frames, height, width, 3))
    mixed = (3 * coarse[:num_frames, :height, :width] + fine + 512) // 4
    return mixed.astype(np.uint8)


@dataclass
class Recorded:
    facts: dict
    keys: dict
    outputs: dict

    def fill(self, network, **others):
        """Gives a network made on the meta device its weights, all but `others` from the rule."""
        state = {
            key: seeded_weight(key, value.shape, self.facts["gain"])
            for key, value in network.state_dict().items()
            if key not in others
        }
        self.check_weights(state)
        network.load_state_dict({**state, **others}, assign=True)
        return network.eval().requires_grad_(False)

    def check_weights(self, state):
        for key, expected in self.facts["check_weights"].items():
            assert state[key].flatten()[:4].tolist() == expected["first4_flat"]
            assert state[key].double().sum().item() == pytest.approx(expected["sum_float64"])


@pytest.fixture(scope="session")
def recorded(shared):
    def read(name):
        folder = shared / "fixtures"
        return Recorded(
            facts=json.loads((folder / f"{name}_seeded.json").read_text()),
            keys=json.loads((folder / f"{name}_keys.json").read_text()),
            outputs=load_file(folder / f"{name}_seeded.safetensors"),
        )

    return read


@pytest.fixture(scope="session")
def pictures():
    """Frames of a fixture, by name, number, height and width."""
    return seeded_frames


@pytest.fixture(scope="session")
def noise():
    """Whole numbers of a fixture, by key and shape."""
    return seeded


@pytest.fixture(scope="session")
def close():
    """Largest error below 1e-5 of the largest value."""

    def check(found, expected, *, relative=1e-5):
        assert found.shape == expected.shape
        error = (found - expected).abs().max() / expected.abs().max()
        assert error.item() < relative, f"error {error.item():.1e} of the largest value"

    return check


@pytest.fixture(scope="session")
def outputs_of():
    """Runs `call` and gives what the submodules named put out on the way."""

    def run(network, names, call):
        found = {}
        hooks = [
            network.get_submodule(name).register_forward_hook(
                lambda _module, _inputs, output, name=name: found.update({name: output})
            )
            for name in names
        ]
        with torch.no_grad():
            result = call()
        for hook in hooks:
            hook.remove()
        return result, found

    return run
