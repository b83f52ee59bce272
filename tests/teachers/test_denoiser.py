"""The teacher's two branches through the real network, and what "unconditional" means for it."""

import pytest
import torch

from quickstep.diffusion.schedule import Schedule
from quickstep.networks.unianimate import UniAnimateConditions
from quickstep.teachers.protocol import Denoiser


@pytest.fixture(scope="module")
def denoiser(small_unianimate):
    network = small_unianimate(num_text_tokens=3)
    network.set_empty_text(torch.randn(1, 3, 16, generator=torch.Generator().manual_seed(2)))
    schedule = Schedule.scaled_linear().with_zero_terminal_snr()
    return Denoiser(network.requires_grad_(False), schedule)


@pytest.fixture(scope="module")
def clip():
    generator = torch.Generator().manual_seed(1)
    conditions = UniAnimateConditions(
        image=torch.randn(2, 1, 16, generator=generator),
        reference=torch.randn(2, 4, 8, 8, generator=generator),
        pose=torch.rand(2, 3, 3, 64, 64, generator=generator),
        reference_pose=torch.rand(2, 3, 64, 64, generator=generator),
    )
    return conditions, torch.randn(2, 3, 4, 8, 8, generator=generator), torch.tensor([999, 300])


@torch.no_grad()
def test_guidance_1_is_the_conditional_branch_and_0_the_other(denoiser, clip):
    """Invariant 15: UniAnimate's unconditional branch is told nothing but the empty text."""
    conditions, noisy, t = clip
    features = denoiser.encode(conditions)
    conditional = denoiser.clean(noisy, t, features)
    assert torch.equal(denoiser.guided(noisy, t, features, guidance=1.0), conditional)
    nothing = denoiser.network.encode(UniAnimateConditions(), num_frames=3, batch=2)
    unconditional = denoiser.clean(noisy, t, nothing)
    told_nothing = denoiser.guided(noisy, t, features, guidance=0.0)
    torch.testing.assert_close(told_nothing, unconditional, atol=1e-5, rtol=1e-5)
    assert (conditional - unconditional).abs().mean() > 0.01


@torch.no_grad()
def test_both_branches_in_one_batch_are_two_calls(denoiser, clip):
    """Invariant 14, through the network."""
    conditions, noisy, t = clip
    features = denoiser.encode(conditions)
    conditional, unconditional = (
        denoiser.clean(noisy, t, each) for each in (features, features.dropped())
    )
    expected = unconditional + 2.5 * (conditional - unconditional)
    together = denoiser.guided(noisy, t, features, guidance=2.5)
    torch.testing.assert_close(together, expected, atol=1e-4, rtol=1e-5)
