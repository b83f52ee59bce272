"""What a run leaves behind: a model folder, or the part of one that it trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import nn

from quickstep.data.prepared import DancerData, PreparedSet, pictures_to_video
from quickstep.files import folder_written_beside
from quickstep.methods.features import FeatureTasks
from quickstep.networks.autoencoder import posterior
from quickstep.networks.families import network_parts
from quickstep.networks.folder import Settings, save_model
from quickstep.networks.pose_detector import PoseDetector
from quickstep.training.feature_runs import export_features
from quickstep.training.pose_runs import export_detector


def export_run(
    path: Path,
    *,
    network: nn.Module,
    parts: Mapping[str, nn.Module],
    settings: Settings | None,
    pictures: PreparedSet | None,
    name: str,
    data: Any = None,
) -> Path:
    """Writes what was trained: a whole model, or an encoder as a part of one.

    Args:
        path: the folder to make or replace.
        network: what was trained, with the weights to keep.
        parts: the other parts of the model.
        settings: of the model; None for an encoder, which is a part only.
        pictures: the rendered set, whose first pictures set an autoencoder's scale, and a
            feature network's.
        name: the recipe's name.
        data: what it was trained on, as the recipe has it, for the card.
    """
    network = network.eval()
    if settings is not None:
        everything = {**network_parts(network), **parts}
        return save_model(
            path, parts=everything, settings=settings, card=_card(name, settings, data)
        )
    if isinstance(network, PoseDetector):
        return export_detector(path, network)
    assert pictures is not None
    if isinstance(network, FeatureTasks):
        return export_features(path, network, dances=pictures)
    if isinstance(network, AutoencoderKL):
        mean, std = latent_statistics(network, pictures)
        network.register_to_config(latents_mean=mean, latents_std=std, scaling_factor=1.0)
    part = "vae" if isinstance(network, AutoencoderKL) else "image_encoder"
    with folder_written_beside(path) as beside:
        network.save_pretrained(beside / part, safe_serialization=True)  # type: ignore[operator]
    return path


@torch.no_grad()
def latent_statistics(
    autoencoder: AutoencoderKL, pictures: PreparedSet, *, count: int = 512
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over the first ``count`` pictures.

    With these all channels have unit variance. One factor for all leaves an autoencoder's
    channels up to five times apart, and noise then covers the faint ones, which hold the
    details, until the last steps.
    """
    rows = min(count, len(pictures))
    frames = pictures_to_video(torch.from_numpy(np.array(pictures.frames[:rows, 0])))
    device = next(autoencoder.parameters()).device
    means = [
        posterior(autoencoder, part.to(device)).mean.double().cpu() for part in frames.split(16)
    ]
    latents = torch.cat(means)
    mean, std = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    return mean.float().tolist(), std.float().tolist()


def _card(name: str, settings: Settings, data: Any) -> str:
    steps = "any" if not settings.steps_allowed else ", ".join(map(str, settings.steps_allowed))
    return (
        f"# {name}\n\n"
        f"A {settings.role} of the {settings.family} family, made by the recipe `{name}` "
        f"(digest `{settings.recipe_digest}`), method `{settings.method}`.\n\n"
        f"- Data: {_source(data)}; {settings.size[0]}x{settings.size[1]} px, "
        f"{settings.frames} frames at {settings.fps:g} fps.\n"
        f"- Steps: {steps}; best {settings.steps_best}. Sampler `{settings.sampler}`, "
        f"guidance {settings.guidance:g}.\n"
        f"- Licence: {settings.licence}.\n" + _accelerator_lines(settings)
    )


def _source(data: Any) -> str:
    if isinstance(data, DancerData):
        return "the procedural dancer, no picture of a real person"
    return "clips prepared from footage, whose own licences hold"


def _accelerator_lines(settings: Settings) -> str:
    if not settings.teacher:
        return ""
    return (
        f"- Trained as an accelerator: low-rank weights for its teacher `{settings.teacher}` "
        f"(digest of its weights: `{settings.teacher_digest}`).\n"
    )
