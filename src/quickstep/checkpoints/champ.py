"""Champ's public files: seven of its own, Stable Diffusion's autoencoder, CLIP's ViT-L/14."""

from collections.abc import Callable, Mapping
from functools import cache, partial

import torch
from diffusers import AutoencoderKL
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from quickstep.checkpoints.encoders import AUTOENCODER, CLIP_VISION, autoencoder
from quickstep.checkpoints.families import Family, Part, Source
from quickstep.checkpoints.layouts import Layout, Piece
from quickstep.networks.champ import ChampNetwork, ChampShape
from quickstep.networks.champ.checkpoint import (
    DENOISER,
    MAP_ENCODER,
    MOTION,
    REFERENCE,
    is_motion_key,
    upstream_motion_keys,
)
from quickstep.networks.champ.features import POSE_MAPS
from quickstep.networks.settings import Settings

VAE, IMAGE_ENCODER = "sd-vae-ft-mse", "image_encoder"

SETTINGS = Settings(
    role="teacher",
    method="denoising",
    family="champ",
    steps_best=20,
    guidance=3.5,
    frames=24,
    fps=24.0,
    size=(512, 512),
    pose_style="dwpose",
    stroke="upstream",
    noise_offset=0.05,
    licence="CreativeML Open RAIL-M (Stable Diffusion 1.5, of which Champ is made)",
)
"""What upstream's sample settings run it with, on the schedule that it was trained on."""

PAGE = "https://huggingface.co/fudan-generative-ai/champ"
LICENCE = "MIT (Champ), CreativeML Open RAIL-M (Stable Diffusion 1.5)"


def network_file(name: str, what: str, page: str, licence: str, *, folder: str) -> Source:
    """A file of networks, which lies in a folder of that name or in the one that is given."""
    file = f"{name}.pth"
    return Source(name, what, file, page, licence, places=(file, f"{folder}/{file}"))


_own = partial(network_file, folder="champ")

ENCODER_SOURCES = (
    Source(
        name=VAE,
        what="Stable Diffusion's autoencoder, its decoder fine-tuned",
        file="diffusion_pytorch_model.safetensors",
        page="https://huggingface.co/stabilityai/sd-vae-ft-mse",
        licence="MIT",
        places=tuple(
            f"{folder}diffusion_pytorch_model.{ending}"
            for folder in ("sd-vae-ft-mse/", "vae/", "")
            for ending in ("safetensors", "bin")
        ),
    ),
    Source(
        name=IMAGE_ENCODER,
        what="CLIP ViT-L/14",
        file="pytorch_model.bin",
        page="https://huggingface.co/lambdalabs/sd-image-variations-diffusers",
        licence="MIT (CLIP), CreativeML Open RAIL-M (where it is published)",
        places=tuple(
            f"{folder}{file}"
            for folder in ("image_encoder/", "")
            for file in ("model.safetensors", "pytorch_model.bin")
        ),
    ),
)
"""The files of autoencoder and image encoder."""

SOURCES = (
    _own(DENOISER, "Champ's denoising U-Net", PAGE, LICENCE),
    _own(MOTION, "Champ's motion modules", PAGE, "MIT (Champ), Apache-2.0 (AnimateDiff)"),
    _own(REFERENCE, "Champ's reference U-Net", PAGE, LICENCE),
    *(
        _own(f"{MAP_ENCODER}{name}", f"Champ's encoder of {name}", PAGE, "MIT")
        for name in POSE_MAPS
    ),
    *ENCODER_SOURCES,
)
"""The files that Champ's own instructions name, Stable Diffusion 1.5's U-Net left out: upstream
loads it first, and ``denoising_unet.pth`` puts another in the place of every one of its weights."""


def network() -> ChampNetwork:
    """The networks at the public checkpoint's size, their weights not yet there."""
    with torch.device("meta"):
        return ChampShape().build()


def image_encoder() -> CLIPVisionModelWithProjection:
    """The vision tower of ViT-L/14, with the quick GELU, its weights not yet there."""
    config = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        patch_size=14,
        image_size=224,
        projection_dim=768,
        hidden_act="quick_gelu",
    )
    with torch.device("meta"):
        return CLIPVisionModelWithProjection(config)


def family(
    *,
    make_network: Callable[[], ChampNetwork] = network,
    make_autoencoder: Callable[[], AutoencoderKL] = autoencoder,
    make_image_encoder: Callable[[], CLIPVisionModelWithProjection] = image_encoder,
    settings: Settings = SETTINGS,
) -> Family:
    """Champ's files; at another size for networks that are not the public ones."""
    return Family(
        name="champ",
        title="Champ",
        sources=SOURCES,
        parts=parts(
            "Champ",
            {name: f"{MAP_ENCODER}{name}" for name in POSE_MAPS},
            make_network=make_network,
            make_autoencoder=make_autoencoder,
            make_image_encoder=make_image_encoder,
        ),
        settings=settings,
    )


def parts(
    title: str,
    map_files: Mapping[str, str],
    *,
    make_network: Callable[[], ChampNetwork],
    make_autoencoder: Callable[[], AutoencoderKL],
    make_image_encoder: Callable[[], CLIPVisionModelWithProjection],
) -> tuple[Part, ...]:
    """What becomes of the files of Champ, or of another model on the same networks.

    Args:
        title: of the model, for messages.
        map_files: the file of each pose map's encoder, by the map's name.
        make_network: makes the networks, without weights.
        make_autoencoder: makes the autoencoder, without weights.
        make_image_encoder: makes the image encoder, without weights.
    """
    make_network = cache(make_network)
    unet, reference_unet, pose_encoders = (
        partial(_part, make_network, name) for name in ("unet", "reference_unet", "pose_encoders")
    )
    spatial = Layout(f"{title}'s denoising U-Net")
    motion = Layout(f"{title}'s motion modules", _motion)
    reference = Layout(f"{title}'s reference U-Net")
    return (
        Part("unet", DENOISER, unet, (spatial,), holds=_is_spatial_key),
        Part("unet", MOTION, unet, (motion,), holds=is_motion_key),
        Part("reference_unet", REFERENCE, reference_unet, (reference,)),
        *(_map_encoder(title, name, file, pose_encoders) for name, file in map_files.items()),
        Part("vae", VAE, make_autoencoder, AUTOENCODER),
        Part("image_encoder", IMAGE_ENCODER, make_image_encoder, CLIP_VISION, stem="model"),
    )


def _part(make_network: Callable[[], ChampNetwork], name: str) -> nn.Module:
    return make_network().parts[name]


def _map_encoder(title: str, name: str, file: str, make: Callable[[], nn.Module]) -> Part:
    prefix = f"encoders.{name}."

    def piece(key: str) -> Piece:
        return Piece(key.removeprefix(prefix))

    def holds(key: str) -> bool:
        return key.startswith(prefix)

    layout = Layout(f"{title}'s encoder of {name}", piece)
    return Part("pose_encoders", file, make, (layout,), holds=holds)


def _is_spatial_key(key: str) -> bool:
    return not is_motion_key(key)


def _motion(key: str) -> Piece:
    """A motion weight; position codes are there twice, once for each attention."""
    first, *others = upstream_motion_keys(key)
    return Piece(first, copies=tuple(others))
