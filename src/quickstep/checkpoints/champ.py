"""Champ's public files: seven of its own, Stable Diffusion's autoencoder, CLIP's ViT-L/14."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

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

_PAGE = "https://huggingface.co/fudan-generative-ai/champ"
_LICENCE = "MIT (Champ), CreativeML Open RAIL-M (Stable Diffusion 1.5)"


def _own(name: str, what: str, licence: str) -> Source:
    """A file of Champ's own, in its folder or in the one that holds that folder."""
    file = f"{name}.pth"
    return Source(name, what, file, _PAGE, licence, places=(file, f"champ/{file}"))


SOURCES = (
    _own(DENOISER, "Champ's denoising U-Net", _LICENCE),
    _own(MOTION, "Champ's motion modules", "MIT (Champ), Apache-2.0 (AnimateDiff)"),
    _own(REFERENCE, "Champ's reference U-Net", _LICENCE),
    *(_own(f"{MAP_ENCODER}{name}", f"Champ's encoder of {name}", "MIT") for name in POSE_MAPS),
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
    make_network = cache(make_network)

    def part(name: str) -> Any:
        return partial(_part, make_network, name)

    return Family(
        name="champ",
        title="Champ",
        sources=SOURCES,
        parts=(
            Part(
                "unet",
                DENOISER,
                part("unet"),
                (Layout("Champ's denoising U-Net"),),
                holds=_is_spatial_key,
            ),
            Part(
                "unet",
                MOTION,
                part("unet"),
                (Layout("Champ's motion modules", _motion),),
                holds=is_motion_key,
            ),
            Part(
                "reference_unet",
                REFERENCE,
                part("reference_unet"),
                (Layout("Champ's reference U-Net"),),
            ),
            *(_map_encoder(map_name, part("pose_encoders")) for map_name in POSE_MAPS),
            Part("vae", VAE, make_autoencoder, AUTOENCODER),
            Part("image_encoder", IMAGE_ENCODER, make_image_encoder, CLIP_VISION, stem="model"),
        ),
        settings=settings,
    )


def _part(make_network: Callable[[], ChampNetwork], name: str) -> nn.Module:
    return make_network().parts[name]


def _map_encoder(name: str, make: Callable[[], nn.Module]) -> Part:
    prefix = f"encoders.{name}."

    def piece(key: str) -> Piece:
        return Piece(key.removeprefix(prefix))

    def holds(key: str) -> bool:
        return key.startswith(prefix)

    layout = Layout("Champ's guidance encoder", piece)
    return Part("pose_encoders", f"{MAP_ENCODER}{name}", make, (layout,), holds=holds)


def _is_spatial_key(key: str) -> bool:
    return not is_motion_key(key)


def _motion(key: str) -> Piece:
    """A motion weight; position codes are there twice, once for each attention."""
    first, *others = upstream_motion_keys(key)
    return Piece(first, copies=tuple(others))
