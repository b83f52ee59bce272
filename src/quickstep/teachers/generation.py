"""Draws latents from a denoiser, the way its model folder says it wants to be run."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.sampling import (
    Callback,
    sample,
    segment_times,
    trailing_times,
    upstream_times,
)
from quickstep.diffusion.schedule import CLEAN
from quickstep.diffusion.segments import Grid, Segments
from quickstep.networks.folder import Settings
from quickstep.teachers.protocol import Denoiser

TimeGrid = Literal["trailing", "upstream"]


def draw_latents(
    denoiser: Denoiser,
    features: Any,
    *,
    settings: Settings,
    shape: Sequence[int],
    num_steps: int,
    generator: torch.Generator | Sequence[torch.Generator],
    guidance: float | None = None,
    times: TimeGrid = "trailing",
    callback: Callback | None = None,
) -> Float[Tensor, "b f c h w"]:
    """Clean latents from noise, by the model's own sampler.

    Args:
        denoiser: the network.
        features: what it is told, encoded.
        settings: of the model: sampler, segments, grid, guidance and noise offset.
        shape: ``(b, f, c, h, w)`` of the latents.
        num_steps: evaluations of the network (twice as many with guidance).
        generator: the source of all noise.
        guidance: guidance scale instead of the model's own.
        times: the times of a teacher: ``trailing`` starts at pure noise, ``upstream`` is
            UniAnimate's grid, which does not.
        callback: called after each step, as `quickstep.diffusion.sampling.sample` does.
    """
    scale = settings.guidance if guidance is None else guidance
    device = next(denoiser.network.parameters()).device
    noise = draw_noise(shape, generator=generator, offset=settings.noise_offset, device=device)
    segments = model_segments(settings)
    return sample(
        lambda noisy, t: denoiser.guided(noisy, t, features, guidance=scale),
        noise,
        times=sampling_times(settings, num_steps, times=times),
        schedule=denoiser.schedule,
        sampler=settings.sampler,
        segments=segments,
        end=0 if times == "upstream" and segments is None else CLEAN,
        generator=generator,
        noise_offset=settings.noise_offset,
        callback=callback,
    )


def model_segments(settings: Settings) -> Segments | None:
    """The segments a student was trained on; None for a model that knows none."""
    if settings.segments is None:
        return None
    grid = Grid(num_timesteps=settings.schedule.num_timesteps, skip=settings.grid_skip)
    return Segments(count=settings.segments, grid=grid, anchor=settings.anchor)


def sampling_times(
    settings: Settings, num_steps: int, *, times: TimeGrid = "trailing"
) -> list[int]:
    """The times a model is asked at: a student's lie on its trained grid."""
    segments = model_segments(settings)
    if segments is not None:
        return segment_times(num_steps, segments)
    grid = upstream_times if times == "upstream" else trailing_times
    return grid(num_steps, num_timesteps=settings.schedule.num_timesteps)
