"""The noise that latents are mixed with: Gaussian, with an optional shared offset."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def draw_upstream_noise(
    shape: Sequence[int],
    *,
    generator: torch.Generator,
    offset: float = 0.0,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "b f c h w"]:
    """The numbers that UniAnimate's code draws for one seed, in the order of `draw_noise`.

    Upstream lays latents out with channels before frames, draws them on the CPU, and the offset
    on the device they run on, from a generator there of the same seed.

    Args:
        shape: ``(b, f, c, h, w)`` of the latents.
        generator: on the CPU.
        offset: standard deviation of the part shared by a frame's channel; 0 draws none.
        device: where upstream would run, and where the noise is wanted.

    Raises:
        ValueError: ``offset`` is negative.
    """
    if offset < 0:
        raise ValueError(f"noise offset must not be negative: got {offset}")
    batch, frames, channels, height, width = shape
    noise = torch.randn(batch, channels, frames, height, width, generator=generator).to(device)
    if offset:
        own = generator
        if noise.device.type != generator.device.type:
            own = torch.Generator(device).manual_seed(generator.initial_seed())
        flat = (batch, channels, frames, 1, 1)
        noise = noise + offset * torch.randn(flat, generator=own, device=noise.device)
    return noise.transpose(1, 2)


def draw_noise(
    shape: Sequence[int],
    *,
    generator: torch.Generator | Sequence[torch.Generator],
    offset: float = 0.0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b ..."]:
    """Unit Gaussian noise for latents, plus ``offset`` times one number per frame and channel.

    The offset lets a network trained with zero terminal SNR learn the mean brightness of a
    frame; a student must be distilled and sampled under its teacher's law (UniAnimate 0.1,
    Champ 0.05). Numbers are drawn on the generator's device and then moved, so that one seed
    means one video everywhere; a generator per sample makes it one video in every batch, too.

    Args:
        shape: ``(b, f, c, h, w)``, or any other; an offset is shared over the last two axes.
        generator: the source of randomness, one or one per sample.
        offset: standard deviation of the shared part; 0 draws none.
        device: where the noise is wanted.
        dtype: float32, or float64 to check mathematics.

    Raises:
        ValueError: ``offset`` is negative, or the number of generators is not ``shape[0]``.
    """
    if offset < 0:
        raise ValueError(f"noise offset must not be negative: got {offset}")
    if not isinstance(generator, torch.Generator):
        if len(generator) != shape[0]:
            raise ValueError(
                f"generator must be one or one per sample, {shape[0]}: got {len(generator)}"
            )
        rows = [
            draw_noise(shape[1:], generator=own, offset=offset, device=device, dtype=dtype)
            for own in generator
        ]
        return torch.stack(rows)
    where = generator.device
    noise = torch.randn(tuple(shape), generator=generator, device=where, dtype=dtype)
    if offset:
        flat = (*shape[:-2], 1, 1)
        shared = torch.randn(flat, generator=generator, device=where, dtype=dtype)
        noise = noise + offset * shared
    return noise.to(device)
