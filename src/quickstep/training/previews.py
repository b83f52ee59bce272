"""Strips of pictures that show what a run has learned so far, on persons it never sees."""

from pathlib import Path

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn

from quickstep.data.encoded_clips import Clips
from quickstep.data.image import write_image
from quickstep.data.prepared import PreparedSet, pictures_to_video, video_to_pictures
from quickstep.networks.autoencoder import decode_latents, decoded, posterior
from quickstep.networks.folder import Settings
from quickstep.teachers.families import conditions_of
from quickstep.teachers.generation import draw_latents
from quickstep.teachers.protocol import Denoiser
from quickstep.training.record import Preview


@torch.no_grad()
def preview_pictures(
    folder: Path, step: int, *, autoencoder: AutoencoderKL, prepared: PreparedSet, count: int = 12
) -> Preview:
    """Writes ``previews/<step>.png``: unseen pictures above, their round trips below."""
    frames = torch.from_numpy(np.array(prepared.frames[:count, 0]))
    device = next(autoencoder.parameters()).device
    video = pictures_to_video(frames).to(device)
    output = decoded(autoencoder, posterior(autoencoder, video).mean)
    rows = np.stack([frames.numpy(), video_to_pictures(output).cpu().numpy()])
    return _write_strip(folder, step, rows)


@torch.no_grad()
def preview_clips(
    folder: Path,
    step: int,
    *,
    network: nn.Module,
    vae: AutoencoderKL,
    settings: Settings,
    clips: Clips,
    count: int = 4,
    num_frames: int = 8,
    num_steps: int = 10,
) -> Preview:
    """Writes ``previews/<step>.png``: per clip a row of truth and a row of the teacher's result.

    Each row starts with the reference (above) and its skeleton (below). The teacher runs at its
    own guidance.
    """
    rows = np.arange(min(count, len(clips)))
    available = min(clips.num_frames(int(row)) for row in rows)
    moments = 1 + np.linspace(0, available - 1, min(num_frames, available)).astype(int)
    shown = np.tile(moments, (len(rows), 1))
    batch = clips.clips_at(rows, shown, np.zeros(len(rows), int))
    truths = clips.pictures_at(rows, np.pad(shown, ((0, 0), (1, 0))))
    skeletons = batch["pose"][:, :1].numpy()
    device = next(network.parameters()).device
    batch = {name: value.to(device) for name, value in batch.items()}
    denoiser = Denoiser(network, settings.schedule.build(), settings.parametrisation)
    latents = draw_latents(
        denoiser,
        denoiser.encode(conditions_of(settings)(batch)),
        settings=settings,
        shape=tuple(batch["latents"].shape),
        num_steps=num_steps,
        generator=torch.Generator().manual_seed(0),
    )
    output = video_to_pictures(decode_latents(vae, latents)).cpu().numpy()
    results = np.concatenate([skeletons, output], axis=1)
    lines = [line for both in zip(truths, results, strict=True) for line in both]
    return _write_strip(folder, step, np.stack(lines))


def _write_strip(folder: Path, step: int, rows: np.ndarray) -> Preview:
    path = folder / "previews" / f"{step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines, columns, height, width, _ = rows.shape
    picture = rows.transpose(0, 2, 1, 3, 4).reshape(lines * height, columns * width, 3)
    write_image(path, np.ascontiguousarray(picture))
    return Preview(path)
