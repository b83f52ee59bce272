"""A small network of the real class, a batch of clips for it, and a network known by heart."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quickstep.diffusion.schedule import Schedule
from quickstep.networks.unianimate import UniAnimateUNet


@dataclass
class Shift:
    """A number for each clip that the network adds to its answer; dropped, it is 0."""

    value: Tensor

    def dropped(self) -> "Shift":
        return Shift(torch.zeros_like(self.value))

    def drop(self, mask: Tensor) -> "Shift":
        return Shift(self.value.masked_fill(mask, 0))

    def rows(self, index: Tensor) -> "Shift":
        return Shift(self.value[index])

    @staticmethod
    def cat(parts: Any) -> "Shift":
        return Shift(torch.cat([part.value for part in parts]))


class GainNetwork(nn.Module):
    """Predicts clean latents as one gain for each time, times the noisy ones, plus a shift."""

    def __init__(self, gain: Tensor):
        super().__init__()
        self.gain = nn.Parameter(gain.clone())

    def encode(self, conditions: Tensor) -> Shift:
        return Shift(conditions)

    def forward(self, noisy: Tensor, t: Tensor, features: Shift) -> Tensor:
        gain, shift = (value[:, None, None, None, None] for value in (self.gain[t], features.value))
        return gain * noisy + shift


@pytest.fixture(scope="session")
def schedule() -> Schedule:
    return Schedule.scaled_linear().with_zero_terminal_snr()


@pytest.fixture
def gain_network(schedule: Schedule) -> GainNetwork:
    """The perfect denoiser of unit Gaussian data, each clip shifted by what it is told."""
    return GainNetwork(schedule.alpha(torch.arange(1000)).float())


@pytest.fixture
def gain_pair(gain_network: GainNetwork) -> tuple[GainNetwork, GainNetwork]:
    """A teacher, and a student that differs from it everywhere."""
    student = copy.deepcopy(gain_network)
    wave = torch.linspace(0, 20, 1000).sin()
    with torch.no_grad():
        student.gain.add_(0.1 * wave)
    return gain_network, student


@pytest.fixture
def gain_batch(generator: torch.Generator) -> dict[str, Tensor]:
    return {
        "latents": torch.randn(64, 2, 1, 2, 2, generator=generator),
        "shift": 0.1 * torch.randn(64, generator=generator),
    }


@pytest.fixture
def count_rows() -> Callable[[nn.Module], list[int]]:
    """A list that grows by the number of rows of every evaluation of a network."""

    def count_rows(network: nn.Module) -> list[int]:
        seen: list[int] = []
        network.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
        return seen

    return count_rows


@pytest.fixture
def network() -> UniAnimateUNet:
    torch.manual_seed(0)
    network = UniAnimateUNet(
        in_channels=4,
        out_channels=4,
        width=32,
        multipliers=(1, 1),
        num_res_blocks=1,
        head_dim=16,
        num_first_heads=2,
        context_width=16,
        image_width=12,
        num_text_tokens=0,
        resolution=(32, 32),
        dropout=0.0,
        norm_num_groups=8,
    )
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network


@pytest.fixture
def clip_batch(generator: torch.Generator) -> dict[str, torch.Tensor]:
    clips, frames = 2, 3

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "latents": draw(clips, frames, 4, 4, 4),
        "reference": draw(clips, 4, 4, 4),
        "pose": torch.randint(256, (clips, frames, 32, 32, 3), generator=generator).byte(),
        "reference_pose": torch.randint(256, (clips, 32, 32, 3), generator=generator).byte(),
        "image": draw(clips, 1, 12),
        "person": torch.rand(clips, frames, 4, 4, generator=generator),
    }
