"""Videos to latents and back, by diffusers' AutoencoderKL at any size."""

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from jaxtyping import Float
from torch import Tensor

from quickstep.networks.initialisation import start_nearly_linear


def posterior(
    vae: AutoencoderKL, pictures: Float[Tensor, "b 3 H W"]
) -> DiagonalGaussianDistribution:
    """The Gaussian over unscaled latents that the encoder gives for pictures in [-1, 1]."""
    encode: Any = vae.encode
    return encode(pictures, return_dict=False)[0]


def decoded(vae: AutoencoderKL, latents: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 3 H W"]:
    """The pictures of unscaled latents, as the decoder gives them: not clamped."""
    decode: Any = vae.decode
    return decode(latents, return_dict=False)[0]


def encode_video(
    vae: AutoencoderKL,
    video: Float[Tensor, "b f 3 H W"],
    *,
    generator: torch.Generator | None = None,
    chunk: int = 16,
) -> Float[Tensor, "b f c h w"]:
    """Scaled latents of a video, ``(z - shift) * scale``, about unit variance.

    `shift_and_scale` says by what.

    Args:
        vae: the autoencoder.
        video: in [-1, 1], sides a multiple of the autoencoder's reduction.
        generator: where the posterior's noise comes from, all of it in one draw, so that `chunk`
            does not change it. None takes the posterior's mode, which needs no noise.
        chunk: frames encoded at once; memory grows with it.

    Returns:
        float32 latents.

    Raises:
        ValueError: `chunk` is not positive.
    """
    frames = video.flatten(0, 1)
    posteriors = [posterior(vae, part.to(vae.dtype)) for part in _chunks(frames, chunk)]
    z = torch.cat([each.mean for each in posteriors]).float()
    if generator is not None:
        noise = torch.randn(z.shape, generator=generator, device=generator.device)
        std = torch.cat([each.std for each in posteriors]).float()
        z = z + std * noise.to(z.device)
    shift, scale = (part.to(z.device) for part in shift_and_scale(vae))
    return ((z - shift) * scale).unflatten(0, video.shape[:2])


def decode_latents(
    vae: AutoencoderKL, latents: Float[Tensor, "b f c h w"], *, chunk: int = 16
) -> Float[Tensor, "b f 3 H W"]:
    """The video of scaled latents, the inverse of `encode_video` as far as there is one.

    Args:
        vae: the autoencoder.
        latents: scaled latents.
        chunk: frames decoded at once; memory grows with it.

    Returns:
        float32 in [-1, 1], clamped.

    Raises:
        ValueError: `chunk` is not positive.
    """
    shift, scale = (part.to(latents.device) for part in shift_and_scale(vae))
    z = (latents / scale + shift).flatten(0, 1)
    frames = [decoded(vae, part.to(vae.dtype)) for part in _chunks(z, chunk)]
    return torch.cat(frames).float().clamp(-1, 1).unflatten(0, latents.shape[:2])


def small_autoencoder(
    *,
    size: int = 128,
    latent_channels: int = 8,
    widths: Sequence[int] = (16, 32, 64, 80),
    norm_num_groups: int = 4,
    scaling_factor: float = 1.0,
) -> AutoencoderKL:
    """The built-in models' autoencoder, with random weights: one block to a level, no attention.

    Each level after the first halves height and width: four widths make an eighth, three a quarter.
    The weights start as `start_nearly_linear` sets them.

    Args:
        size: side of the pictures it is made for, in pixels.
        latent_channels: channels of the latents.
        widths: channels of each level, from the picture inwards.
        norm_num_groups: groups of every group norm.
        scaling_factor: what latents are multiplied by; measured after training.

    Returns:
        A new autoencoder.

    Raises:
        ValueError: a width that `norm_num_groups` does not divide.
    """
    for width in widths:
        if width % norm_num_groups:
            raise ValueError(
                f"widths must be multiples of norm_num_groups={norm_num_groups}: got {width}"
            )
    levels: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * len(widths),
        "up_block_types": ("UpDecoderBlock2D",) * len(widths),
        "block_out_channels": tuple(widths),
    }
    vae = AutoencoderKL(
        **levels,
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=norm_num_groups,
        sample_size=size,
        scaling_factor=scaling_factor,
        mid_block_add_attention=False,
    )
    start_nearly_linear(vae)
    return vae


def _chunks(frames: Tensor, chunk: int) -> Sequence[Tensor]:
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1 frame: got {chunk}")
    return frames.split(chunk)


def shift_and_scale(vae: AutoencoderKL) -> tuple[Float[Tensor, "c 1 1"], Float[Tensor, "c 1 1"]]:
    """What is taken from latents, and what they are then multiplied by, channel by channel.

    As in diffusers: ``latents_mean`` and ``latents_std`` of the config where they are given, or
    one ``shift_factor``; ``scaling_factor`` multiplies in both cases. Both are on the CPU.
    """
    config: Any = vae.config
    shift = torch.zeros(config.latent_channels) + (config.shift_factor or 0.0)
    scale = torch.full((config.latent_channels,), float(config.scaling_factor))
    if config.latents_mean is not None and config.latents_std is not None:
        shift = torch.tensor(config.latents_mean)
        scale = scale / torch.tensor(config.latents_std)
    return shift[:, None, None], scale[:, None, None]
