"""The table of a built-in model: what each way of making a video reaches on unseen dancers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from quickstep.data.batches import ClipBatches
from quickstep.data.prepared import PreparedSet
from quickstep.evaluation.frames import (
    absolute_error,
    motion_energy_ratio,
    moved_mask,
    psnr,
    sharpness_ratio,
    ssim,
)
from quickstep.networks.autoencoder import decode_latents
from quickstep.networks.folder import Model
from quickstep.teachers.generation import TimeGrid, draw_latents
from quickstep.teachers.protocol import Denoiser
from quickstep.teachers.unianimate import conditions_of


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of making a video.

    Attributes:
        name: how the table calls it.
        model: the model, or None for `copy` and `round trip`.
        num_steps: steps of the model.
        guidance: guidance scale; 1 for none.
        times: the teacher's time grid.
        bf16: run the network's products in bfloat16; the solver stays in float32.
    """

    name: str
    model: Model | None = None
    num_steps: int = 0
    guidance: float = 1.0
    times: TimeGrid = "trailing"
    bf16: bool = False


def clip_scores(
    video: Float[Tensor, "f 3 H W"],
    truth: Float[Tensor, "f 3 H W"],
    reference: Float[Tensor, "3 H W"],
    person: Bool[Tensor, "f H W"],
) -> dict[str, float]:
    """All numbers of one clip: whole frame, person, and the pixels that copying gets wrong.

    ``moved_share`` is the absolute error on moved pixels as a share of copying the reference's:
    1 is no better than copying, 0 is perfect.
    """
    moved = moved_mask(truth, reference)
    still = reference.expand_as(truth)

    def mean(values: Tensor) -> float:
        return float(values.nanmean())

    copied = mean(absolute_error(still, truth, mask=moved))
    return {
        "psnr": mean(psnr(video, truth)),
        "ssim": mean(ssim(video, truth)),
        "psnr_person": mean(psnr(video, truth, mask=person)),
        "ssim_person": mean(ssim(video, truth, mask=person)),
        "psnr_moved": mean(psnr(video, truth, mask=moved)),
        "ssim_moved": mean(ssim(video, truth, mask=moved)),
        "moved_share": mean(absolute_error(video, truth, mask=moved)) / copied,
        "motion_energy": motion_energy_ratio(video, truth),
        "sharpness": sharpness_ratio(video, truth, mask=person),
    }


@torch.no_grad()
def row_videos(
    row: Row, prepared: PreparedSet, *, batch_size: int = 4, seed: int = 0
) -> Iterator[Float[Tensor, "f 3 H W"]]:
    """The videos of one row in [0, 1], clip by clip, each from a seed of its own.

    Args:
        row: how to make them.
        prepared: the encoded clips.
        batch_size: clips at once; it does not change the result.
        seed: of the noise; clip ``i`` uses ``seed + i``.
    """
    if row.model is None:
        raise ValueError(f"row {row.name!r} has no model to run")
    model = row.model
    num_frames = prepared.frames.shape[1] - 1
    denoiser = Denoiser(model.network, model.schedule, model.settings.parametrisation)
    batches = ClipBatches(prepared, lengths=(num_frames,), clips=(1,), shares=(1.0,))
    for start in range(0, len(prepared), batch_size):
        rows = np.arange(start, min(start + batch_size, len(prepared)))
        moments = np.tile(np.arange(1, num_frames + 1), (len(rows), 1))
        batch: dict[str, Any] = batches.clips_at(rows, moments, np.zeros(len(rows), int))
        with torch.autocast("cpu", torch.bfloat16, enabled=row.bf16):
            latents = draw_latents(
                denoiser,
                denoiser.encode(conditions_of(model.settings)(batch)),
                settings=model.settings,
                shape=tuple(batch["latents"].shape),
                num_steps=row.num_steps,
                generator=[torch.Generator().manual_seed(seed + int(each)) for each in rows],
                guidance=row.guidance,
                times=row.times,
            )
        yield from decode_latents(model.vae, latents).add(1).div(2)


@torch.no_grad()
def round_trips(model: Model, prepared: PreparedSet) -> Iterator[Float[Tensor, "f 3 H W"]]:
    """What the autoencoder alone keeps of each clip: the ceiling of every model that uses it."""
    for latents in prepared.latents:
        dance = torch.from_numpy(np.array(latents[1:])).float()
        yield decode_latents(model.vae, dance[None])[0].add(1).div(2)


def copies(prepared: PreparedSet) -> Iterator[Float[Tensor, "f 3 H W"]]:
    """The reference picture held still: the baseline that every model must beat clearly."""
    for frames in prepared.frames:
        video = as_video(frames)
        yield video[:1].expand_as(video[1:])


def table_scores(
    videos: Iterator[Float[Tensor, "f 3 H W"]],
    prepared: PreparedSet,
    *,
    report: Callable[[int, int], None] | None = None,
) -> list[dict[str, float]]:
    """Scores of each clip, in the order of the set."""
    scores = []
    for index, video in enumerate(videos):
        frames = as_video(prepared.frames[index])
        person = person_pixels(prepared.person[index][1:], size=frames.shape[-1])
        scores.append(clip_scores(video, frames[1:], frames[0], person))
        if report:
            report(index + 1, len(prepared))
    return scores


def as_video(frames: np.ndarray) -> Float[Tensor, "f 3 H W"]:
    """Pictures 0..255, channels last, as video in [0, 1]."""
    return torch.from_numpy(np.array(frames)).movedim(-1, -3).float().div(255)


def person_pixels(share: np.ndarray, *, size: int) -> Bool[Tensor, "f H W"]:
    """Pixels of the latent cells that the person touches."""
    cells = torch.from_numpy(np.array(share)) > 0
    times = size // cells.shape[-1]
    return cells.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)
