"""Draws latents from a denoiser, the way its model folder says it wants to be run."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.sampling import (
    DEFAULT_GAMMA,
    Callback,
    Sampler,
    sample,
    segment_times,
    trailing_times,
    upstream_times,
)
from quickstep.diffusion.schedule import CLEAN, Schedule
from quickstep.diffusion.segments import Grid, Segments
from quickstep.diffusion.solver import ddim_step, ddim_step_through_noise
from quickstep.networks.folder import Settings
from quickstep.teachers.protocol import Denoiser

TimeGrid = Literal["trailing", "upstream"]

NOISE_PRIOR_TIME = 949
"""How far UniAnimate noises its reference for a start that is not pure noise."""

LONG_NOISE_PRIOR_TIME = 939
"""The same for videos that run in windows."""


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
    sampler: Sampler | None = None,
    gamma: float = DEFAULT_GAMMA,
    noise_prior: Float[Tensor, "b c h w"] | None = None,
    callback: Callback | None = None,
) -> Float[Tensor, "b f c h w"]:
    """Clean latents from noise, by the model's own sampler or another one.

    Args:
        denoiser: the network.
        features: what it is told, encoded.
        settings: of the model: sampler, segments, grid, guidance and noise offset.
        shape: ``(b, f, c, h, w)`` of the latents.
        num_steps: evaluations of the network (twice as many with guidance).
        generator: the source of all noise.
        guidance: guidance scale instead of the model's own.
        times: the times of a teacher: ``trailing`` starts at pure noise, ``upstream`` is
            UniAnimate's grid, which does not, and its sampler to the bit.
        sampler: another sampler than the model's.
        gamma: of sampler "tcd"; see `quickstep.diffusion.sampling.plan`.
        noise_prior: latents of the reference, to start from them instead of from pure noise; see
            `prior_noise`.
        callback: called after each step, as `quickstep.diffusion.sampling.sample` does.
    """
    scale = settings.guidance if guidance is None else guidance
    device = next(denoiser.network.parameters()).device
    noise = draw_noise(shape, generator=generator, offset=settings.noise_offset, device=device)
    if noise_prior is not None:
        noise = prior_noise(noise, noise_prior, schedule=denoiser.schedule)
    segments, chosen = model_segments(settings), sampler or settings.sampler
    as_upstream = times == "upstream" and segments is None

    def denoise(noisy: Tensor, t: Tensor, edge: Tensor | None = None) -> Tensor:
        return denoiser.guided(noisy, t, denoiser.told(features, edge), guidance=scale)

    return sample(
        denoise,
        noise,
        times=sampling_times(settings, num_steps, times=times, sampler=chosen),
        schedule=denoiser.schedule,
        sampler=chosen,
        segments=segments,
        gamma=gamma,
        told=settings.told_edge,
        end=0 if as_upstream else CLEAN,
        step=ddim_step_through_noise if as_upstream else ddim_step,
        generator=generator,
        noise_offset=settings.noise_offset,
        callback=callback,
    )


def prior_noise(
    noise: Float[Tensor, "b f c h w"],
    reference: Float[Tensor, "b c h w"],
    *,
    schedule: Schedule,
    t: int = NOISE_PRIOR_TIME,
) -> Float[Tensor, "b f c h w"]:
    """A start that knows the reference: its latents in every frame, noised to a late time.

    UniAnimate starts so (its ``noise_prior_value``), and hands the state to its first step as if
    it were at that step's own, noisier time: the ground comes out nearer to the reference's.

    Args:
        noise: what the sampler would start from.
        reference: latents of the reference.
        schedule: the schedule.
        t: the time it is noised to; upstream's settings have 939 and 949.
    """
    times = torch.full((len(noise),), t, device=noise.device)
    return schedule.add_noise(reference[:, None].to(noise).expand_as(noise), noise, times)


def model_segments(settings: Settings) -> Segments | None:
    """The segments a student was trained on; None for a model that knows none."""
    if settings.segments is None:
        return None
    grid = Grid(num_timesteps=settings.schedule.num_timesteps, skip=settings.grid_skip)
    return Segments(count=settings.segments, grid=grid, anchor=settings.anchor)


def sampling_times(
    settings: Settings,
    num_steps: int,
    *,
    times: TimeGrid = "trailing",
    sampler: Sampler | None = None,
) -> list[int]:
    """The times a model is asked at: a student's lie on its trained grid.

    Sampler "perflow" cannot leave a segment out: with fewer steps than segments it takes a step
    for each, as PeRFlow's code does, and warns. The others have a rule for such steps
    (`quickstep.diffusion.sampling.plan`).
    """
    segments = model_segments(settings)
    if segments is not None:
        if (sampler or settings.sampler) == "perflow" and num_steps < segments.count:
            warnings.warn(
                f"sampler 'perflow' takes {segments.count} steps, one for each segment of its "
                f"student, instead of {num_steps}",
                stacklevel=2,
            )
            num_steps = segments.count
        return segment_times(num_steps, segments, told=settings.told_edge)
    grid = upstream_times if times == "upstream" else trailing_times
    return grid(num_steps, num_timesteps=settings.schedule.num_timesteps)
