"""The networks of a model folder without their weights, to be counted and not to be run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from quickstep.checkpoints.encoders import autoencoder
from quickstep.checkpoints.unianimate import SETTINGS, image_encoder
from quickstep.networks.autoencoder import encode_video
from quickstep.networks.clip import image_embedding
from quickstep.networks.folder import Model, Settings, find_model, read_settings
from quickstep.networks.unianimate import UniAnimateConditions, UniAnimateUNet

PUBLIC = "unianimate"
"""Stands for the public checkpoint, which need not be there to be planned for."""


@dataclass(frozen=True)
class Networks:
    """The networks of a model, without data, and its settings."""

    network: UniAnimateUNet
    vae: AutoencoderKL
    image_encoder: CLIPVisionModelWithProjection
    settings: Settings


def settings_of(name: str | Path) -> Settings:
    """What a model was made for.

    Args:
        name: a model's name or folder, or `PUBLIC`.

    Raises:
        ValueError: no such model, or one of a family that cannot be planned for.
    """
    if str(name) == PUBLIC:
        return SETTINGS
    settings = read_settings(find_model(name))
    if settings.family != "unianimate":
        raise ValueError(f"plan knows the family unianimate: {name} is of {settings.family}")
    return settings


def networks_without_data(
    name: str | Path, *, device: torch.device, dtype: torch.dtype = torch.float32
) -> Networks:
    """A model's networks, to be called within `quickstep.planning.counting.without_data`.

    Args:
        name: a model's name or folder, or `PUBLIC`.
        device: where it would run.
        dtype: number type of the network.

    Raises:
        ValueError: no such model.
    """
    unet: Any = {}
    if str(name) == PUBLIC:
        vae, clip = autoencoder().config, image_encoder().config
    else:
        folder = find_model(name)
        settings = read_settings(folder)
        base = find_model(settings.teacher) if settings.teacher else folder
        encoders = read_settings(base).encoders_of
        home = find_model(encoders) if encoders else base
        unet = UniAnimateUNet.load_config(folder / "unet")
        vae = AutoencoderKL.load_config(home / "vae")
        clip = CLIPVisionConfig.from_pretrained(home / "image_encoder")
    with device:  # Made where they shall be: tensors without data cannot be moved.
        parts: tuple[Any, ...] = (
            made(UniAnimateUNet, unet, dtype),
            made(AutoencoderKL, vae),
            CLIPVisionModelWithProjection(clip),  # type: ignore[arg-type]
        )
    network, vae, image_encoder_ = (part.eval().requires_grad_(False) for part in parts)
    return Networks(network, vae, image_encoder_, settings_of(name))


def made(kind: Any, config: Any, dtype: torch.dtype = torch.float32) -> Any:
    """A network of a class by its settings, its weights of a type."""
    known = {key: value for key, value in config.items() if not key.startswith("_")}
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return kind(**known)
    finally:
        torch.set_default_dtype(before)


@dataclass(frozen=True)
class Sizes:
    """Sizes of what networks are told and asked.

    Attributes:
        frames: of a window or clip.
        width: in pixels.
        height: in pixels.
    """

    frames: int
    width: int
    height: int


def conditions(model: Networks | Model, sizes: Sizes, *, batch: int = 1) -> UniAnimateConditions:
    """Conditions of zeros, of the shapes that a clip's have."""
    like = next(model.network.parameters())
    picture = torch.zeros(1, 3, sizes.height, sizes.width, device=like.device)
    with torch.no_grad():
        reference = encode_video(model.vae, picture[:, None])[:, 0]
        image = image_embedding(model.image_encoder, picture)
    rows = (batch, sizes.frames, 3, sizes.height, sizes.width)
    first = picture[:, None] if model.settings.reference_everywhere else None
    return UniAnimateConditions(
        image=image.to(like.dtype).expand(batch, -1, -1),
        reference=reference.to(like.dtype).expand(batch, -1, -1, -1),
        pose=torch.zeros(rows, device=like.device, dtype=like.dtype),
        reference_pose=torch.zeros(rows[0], *rows[2:], device=like.device, dtype=like.dtype),
        first_frame=None if first is None else first.to(like.dtype).expand(batch, -1, -1, -1, -1),
    )


def noisy_latents(told: UniAnimateConditions) -> Float[Tensor, "b f c h w"]:
    """Noise of the shape that belongs to conditions."""
    assert told.reference is not None and told.pose is not None
    return torch.zeros_like(told.reference)[:, None].repeat(1, told.pose.shape[1], 1, 1, 1)
