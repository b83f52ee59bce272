import pytest
import torch

from quickstep.diffusion.noise import draw_noise, draw_upstream_noise


def test_offset_is_one_number_per_frame_and_channel(generator):
    plain = draw_noise((2, 3, 4, 8, 8), generator=torch.Generator().manual_seed(5))
    shifted = draw_noise((2, 3, 4, 8, 8), generator=torch.Generator().manual_seed(5), offset=0.1)
    difference = shifted - plain
    spread = difference.flatten(3).std(dim=-1)
    assert spread.max() < 1e-6
    assert 0.05 < difference[..., 0, 0].std() < 0.2


def test_variance_is_that_of_the_law(generator):
    noise = draw_noise((64, 4, 4, 16, 16), generator=generator, offset=0.5)
    assert noise.var().item() == pytest.approx(1.25, abs=0.05)


def test_negative_offset_is_refused(generator):
    with pytest.raises(ValueError, match="-0.1"):
        draw_noise((1, 1, 1, 1, 1), generator=generator, offset=-0.1)


def test_upstreams_order_is_channels_before_frames():
    """One seed: the latents' noise laid out b c f h w, then one number to a frame and channel."""
    torch.manual_seed(11)
    white = torch.randn(1, 4, 3, 6, 2)
    expected = white + 0.1 * torch.randn(1, 4, 3, 1, 1)
    found = draw_upstream_noise(
        (1, 3, 4, 6, 2), generator=torch.Generator().manual_seed(11), offset=0.1
    )
    assert torch.equal(found.transpose(1, 2), expected)
    plain = draw_upstream_noise((1, 3, 4, 6, 2), generator=torch.Generator().manual_seed(11))
    assert torch.equal(plain.transpose(1, 2), white)
    with pytest.raises(ValueError, match="-1"):
        draw_upstream_noise((1, 1, 1, 1, 1), generator=torch.Generator(), offset=-1.0)
