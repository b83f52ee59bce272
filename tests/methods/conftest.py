"""A small network of the real class, and a batch of clips for it."""

import pytest
import torch

from quickstep.networks.unianimate import UniAnimateUNet


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
