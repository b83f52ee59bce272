"""Moore's Animate Anyone: Champ's networks with one pose map, its encoder without attention."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionModelWithProjection

from quickstep.checkpoints import champ
from quickstep.checkpoints.encoders import autoencoder
from quickstep.checkpoints.families import Family
from quickstep.networks.champ import ChampNetwork, ChampShape, PoseMapEncoders
from quickstep.networks.champ.checkpoint import DENOISER, MOTION, REFERENCE
from quickstep.networks.settings import Settings

POSE_GUIDER, POSE_MAP = "pose_guider", "dwpose"

SETTINGS = replace(champ.SETTINGS, steps_best=30, size=(512, 768))
"""What upstream's sample settings run it with, on the schedule that it was trained on."""

_LICENCE = "Apache-2.0 (Moore), CreativeML Open RAIL-M (Stable Diffusion 1.5)"
_own = partial(
    champ.network_file, page="https://huggingface.co/patrolli/AnimateAnyone", folder="AnimateAnyone"
)

SOURCES = (
    _own(DENOISER, "Animate Anyone's denoising U-Net", licence=_LICENCE),
    _own(MOTION, "Animate Anyone's motion modules", licence="Apache-2.0"),
    _own(REFERENCE, "Animate Anyone's reference U-Net", licence=_LICENCE),
    _own(POSE_GUIDER, "Animate Anyone's pose guider", licence="Apache-2.0"),
    *champ.ENCODER_SOURCES,
)
"""The files that Moore's own instructions name, without Stable Diffusion 1.5's U-Net."""


def network() -> ChampNetwork:
    """The networks at the public checkpoint's size, their weights not yet there."""
    with torch.device("meta"):
        return with_pose_guider(ChampShape().build(), widths=(16, 32, 64, 128))


def with_pose_guider(network: ChampNetwork, *, widths: tuple[int, ...]) -> ChampNetwork:
    """Champ's U-Nets with a fresh pose guider.

    Args:
        network: whose U-Nets are taken.
        widths: channels of the pose guider.
    """
    guider = PoseMapEncoders(
        pose_maps=(POSE_MAP,),
        out_channels=network.config.block_out_channels[0],
        widths=widths,
        attends=False,
        unused_layers=False,
    )
    return ChampNetwork(network.denoiser, network.reference_unet, guider)


def family(
    *,
    make_network: Callable[[], ChampNetwork] = network,
    make_autoencoder: Callable[[], AutoencoderKL] = autoencoder,
    make_image_encoder: Callable[[], CLIPVisionModelWithProjection] = champ.image_encoder,
    settings: Settings = SETTINGS,
) -> Family:
    """Animate Anyone's files; at another size for networks that are not the public ones."""
    return Family(
        name="animate-anyone",
        title="Animate Anyone (Moore)",
        sources=SOURCES,
        parts=champ.parts(
            "Animate Anyone",
            {POSE_MAP: POSE_GUIDER},
            make_network=make_network,
            make_autoencoder=make_autoencoder,
            make_image_encoder=make_image_encoder,
        ),
        settings=settings,
    )
