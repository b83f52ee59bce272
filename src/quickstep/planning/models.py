"""The networks of a model folder without their weights, to be counted and not to be run."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from quickstep.checkpoints import animate_anyone, champ, unianimate
from quickstep.checkpoints.encoders import autoencoder
from quickstep.networks.autoencoder import encode_video
from quickstep.networks.champ import ChampConditions
from quickstep.networks.clip import image_embedding
from quickstep.networks.families import NETWORKS, network_parts, whole_network
from quickstep.networks.folder import Model, Settings, find_model, read_settings
from quickstep.networks.unianimate import UniAnimateConditions

Conditions = UniAnimateConditions | ChampConditions


@dataclass(frozen=True)
class _Public:
    settings: Settings
    network: Callable[[], Any]
    image_encoder: Callable[[], Any]


PUBLIC = {
    "unianimate": _Public(unianimate.SETTINGS, unianimate.network, unianimate.image_encoder),
    "champ": _Public(champ.SETTINGS, champ.network, champ.image_encoder),
    "animate-anyone": _Public(animate_anyone.SETTINGS, animate_anyone.network, champ.image_encoder),
}
"""Public checkpoints by name, which need not be there to be planned for."""


@dataclass(frozen=True)
class Networks:
    """The networks of a model, without data, and its settings."""

    network: Any
    vae: AutoencoderKL
    image_encoder: CLIPVisionModelWithProjection
    settings: Settings


def is_public(name: str | Path) -> bool:
    """Whether a name stands for a public checkpoint, and no folder of that name is there."""
    return str(name) in PUBLIC and not Path(name).exists()


def settings_of(name: str | Path) -> Settings:
    """What a model was made for.

    Args:
        name: a model's name or folder, or one of `PUBLIC`.

    Raises:
        ValueError: no such model.
    """
    return PUBLIC[str(name)].settings if is_public(name) else read_settings(find_model(name))


def networks_without_data(
    name: str | Path, *, device: torch.device, dtype: torch.dtype = torch.float32
) -> Networks:
    """A model's networks, to be called within `quickstep.planning.counting.without_data`.

    Args:
        name: a model's name or folder, or one of `PUBLIC`.
        device: where it would run.
        dtype: number type of the network.

    Raises:
        ValueError: no such model.
    """
    kinds, settings = NETWORKS[settings_of(name).family], settings_of(name)
    if is_public(name):
        public = PUBLIC[str(name)]
        shapes = {part: each.config for part, each in network_parts(public.network()).items()}
        vae, clip = autoencoder().config, public.image_encoder().config
    else:
        folder = find_model(name)
        base = find_model(settings.teacher) if settings.teacher else folder
        encoders = read_settings(base).encoders_of
        home = find_model(encoders) if encoders else base
        shapes = {"unet": kinds["unet"].load_config(_unet_home(folder, base) / "unet")}
        for part in kinds.keys() - {"unet"}:
            owner = find_model(settings.reference_of) if settings.reference_of else base
            shapes[part] = kinds[part].load_config(owner / part)
        vae = AutoencoderKL.load_config(home / "vae")
        clip = CLIPVisionConfig.from_pretrained(home / "image_encoder")
    with device:  # Made where they shall be: tensors without data cannot be moved.
        parts = {part: made(kind, shapes[part], dtype) for part, kind in kinds.items()}
        others: tuple[Any, ...] = (
            made(AutoencoderKL, vae),
            CLIPVisionModelWithProjection(clip),  # type: ignore[arg-type]
        )
    network, vae, image_encoder = (
        part.eval().requires_grad_(False) for part in (whole_network(parts), *others)
    )
    return Networks(network, vae, image_encoder, settings)


def _unet_home(folder: Path, base: Path) -> Path:
    """An accelerator has no network of its own: it is its teacher's."""
    return folder if (folder / "unet").is_dir() else base


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


def conditions(model: Networks | Model, sizes: Sizes, *, batch: int = 1) -> Conditions:
    """Conditions of zeros, of the shapes that a clip's have."""
    like = next(model.network.parameters())
    picture = torch.zeros(1, 3, sizes.height, sizes.width, device=like.device)
    with torch.no_grad():
        reference = encode_video(model.vae, picture[:, None])[:, 0]
        image = image_embedding(model.image_encoder, picture)
    told: dict[str, Any] = {
        "image": image.to(like.dtype).expand(batch, -1, -1),
        "reference": reference.to(like.dtype).expand(batch, -1, -1, -1),
    }
    pixels = (3, sizes.height, sizes.width)

    def pictures(*shape: int) -> Tensor:
        return torch.zeros(batch, *shape, *pixels, device=like.device, dtype=like.dtype)

    if model.settings.family == "champ":
        maps = len(model.network.pose_encoders.encoders)
        is_still = sizes.frames == 1 and model.settings.frames == 1
        return ChampConditions(**told, pose_maps=pictures(sizes.frames, maps), is_still=is_still)
    first = picture[:, None].to(like.dtype).expand(batch, -1, -1, -1, -1)
    return UniAnimateConditions(
        **told,
        pose=pictures(sizes.frames),
        reference_pose=pictures(),
        first_frame=first if model.settings.reference_everywhere else None,
    )


def with_bank(model: Networks | Model, told: Conditions) -> Conditions:
    """Conditions whose reference a Champ has read already, as it does once for all windows."""
    if not isinstance(told, ChampConditions):
        return told
    return replace(told, bank=model.network.reference_unet(told.reference, told.image))


def noisy_latents(told: Conditions) -> Float[Tensor, "b f c h w"]:
    """Noise of the shape that belongs to conditions."""
    drawn = told.pose_maps if isinstance(told, ChampConditions) else told.pose
    assert told.reference is not None and drawn is not None
    return torch.zeros_like(told.reference)[:, None].repeat(1, drawn.shape[1], 1, 1, 1)
