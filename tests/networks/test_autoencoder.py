from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import load_file

from quickstep.networks.autoencoder import decode_latents, encode_video, small_autoencoder


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return small_autoencoder(size=16, latent_channels=4, widths=(8, 8, 16)).eval()


@pytest.fixture(scope="module")
def recorded(shared):
    """The tiny autoencoder of the fixture, in diffusers' classes, and its inputs and outputs."""
    tensors = load_file(shared / "fixtures/unianimate_vae_tiny.safetensors")
    state = {
        key.removeprefix("sd/"): value.float() * tensors.get(key.replace("sd/", "scale/"), 1.0)
        for key, value in tensors.items()
        if key.startswith("sd/")
    }
    levels: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (32, 64, 128, 128),
    }
    vae = AutoencoderKL(**levels, layers_per_block=2, latent_channels=4).eval()
    vae.load_state_dict(convert_ldm_vae_checkpoint(state, vae.config))
    return vae, tensors


@torch.no_grad()
def test_latents_and_pictures_are_the_recorded_ones(recorded):
    vae, tensors = recorded
    latents = encode_video(vae, tensors["in/x"][None])
    torch.testing.assert_close(latents[0], 0.18215 * tensors["out/mean"], atol=1e-5, rtol=0)
    video = decode_latents(vae, 0.18215 * tensors["in/z"][None])
    torch.testing.assert_close(video[0], tensors["out/decoded"].clamp(-1, 1), atol=1e-5, rtol=0)


@torch.no_grad()
def test_posterior_noise_is_scaled_by_the_recorded_deviation(recorded):
    vae, tensors = recorded
    video = tensors["in/x"][None]
    latents = encode_video(vae, video, generator=torch.Generator().manual_seed(3))
    noise = torch.randn(tensors["out/mean"].shape, generator=torch.Generator().manual_seed(3))
    std = (0.5 * tensors["out/logvar"].clamp(-30, 20)).exp()
    expected = 0.18215 * (tensors["out/mean"] + std * noise)
    torch.testing.assert_close(latents[0], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_chunks_change_nothing(vae):
    video = torch.rand(2, 3, 3, 16, 16) * 2 - 1
    whole, pieces = (
        encode_video(vae, video, generator=torch.Generator().manual_seed(0), chunk=chunk)
        for chunk in (6, 1)
    )
    assert whole.shape == (2, 3, 4, 4, 4)
    torch.testing.assert_close(whole, pieces)
    torch.testing.assert_close(decode_latents(vae, whole), decode_latents(vae, whole, chunk=4))
    with pytest.raises(ValueError, match="at least 1 frame: got 0"):
        decode_latents(vae, whole, chunk=0)


@torch.no_grad()
def test_scaling_factor_and_shift_are_undone(vae):
    video, plain = torch.rand(1, 1, 3, 16, 16), decode_latents(vae, torch.ones(1, 1, 4, 4, 4))
    latents = encode_video(vae, video)
    vae.register_to_config(scaling_factor=2.0, shift_factor=0.5)
    torch.testing.assert_close(encode_video(vae, video), (latents - 0.5) * 2)
    torch.testing.assert_close(decode_latents(vae, torch.ones(1, 1, 4, 4, 4)), plain)
    vae.register_to_config(scaling_factor=1.0, shift_factor=None)


@torch.no_grad()
def test_each_channel_has_its_own_mean_and_spread(vae):
    video = torch.rand(1, 2, 3, 16, 16)
    plain = encode_video(vae, video)
    mean, std = [0.0, 1.0, -2.0, 0.5], [1.0, 2.0, 0.5, 4.0]
    vae.register_to_config(latents_mean=mean, latents_std=std)
    scaled = encode_video(vae, video)
    expected = (plain - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    torch.testing.assert_close(scaled, expected)
    decoded = decode_latents(vae, scaled)
    vae.register_to_config(latents_mean=None, latents_std=None)
    torch.testing.assert_close(decoded, decode_latents(vae, plain))


def test_output_is_float_whatever_the_weights(vae):
    half = small_autoencoder(size=16, widths=(8, 8))
    half.to(dtype=torch.bfloat16)  # pyright: ignore[reportCallIssue]
    latents = encode_video(half, torch.zeros(1, 1, 3, 8, 8))
    assert latents.dtype == torch.float32
    assert decode_latents(half, latents).dtype == torch.float32


def test_residual_blocks_start_as_the_identity(vae):
    block = vae.encoder.mid_block.resnets[0]
    x = torch.randn(1, 16, 4, 4)
    torch.testing.assert_close(block(x, None), x)


def test_built_in_sizes():
    assert small_autoencoder().num_parameters() < 1.5e6
    assert small_autoencoder(size=64, widths=(24, 48, 72)).num_parameters() > 0.3e6
    with pytest.raises(ValueError, match="multiples of norm_num_groups=8: got 20"):
        small_autoencoder(widths=(20, 40), norm_num_groups=8)
