"""The tiny networks whose outputs were recorded from upstream's code, and how they are asked."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor

from quickstep.checkpoints.encoders import AUTOENCODER
from quickstep.checkpoints.layouts import shapes_of
from quickstep.networks.autoencoder import decode_latents, encode_video
from quickstep.networks.champ import POSE_MAPS, ChampConditions, ChampNetwork, ChampShape
from quickstep.networks.champ.checkpoint import DENOISER, MOTION, load_states
from quickstep.networks.unianimate import UniAnimateConditions, UniAnimateUNet

CHAMP_SHAPE = ChampShape(
    widths=(32, 64), attend=(True, False), layers_per_block=1, map_widths=(16, 32, 32, 32)
)


@dataclass(frozen=True)
class Recorded:
    """A network with upstream's weights, what upstream's was asked, and what it answered."""

    network: Any
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    facts: dict[str, Any]


def read(shared: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the facts of a fixture."""
    facts = json.loads((shared / f"fixtures/{name}.json").read_text())
    return load_file(shared / f"fixtures/{name}.safetensors"), facts


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix."""
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def scaled(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that are stored as integers and scales."""
    scales = part(tensors, "scale/")
    return {
        key: value.float() * scales.get(key, 1.0) for key, value in part(tensors, "sd/").items()
    }


def unianimate_settings(kwargs: Mapping[str, Any], resolution: Any) -> dict[str, Any]:
    """Our names for the constructor arguments recorded in the fixtures."""
    return dict(
        in_channels=kwargs["in_dim"],
        out_channels=kwargs["out_dim"],
        width=kwargs["dim"],
        multipliers=tuple(kwargs["dim_mult"]),
        num_res_blocks=kwargs["num_res_blocks"],
        attn_scales=tuple(kwargs["attn_scales"]),
        head_dim=kwargs["head_dim"],
        num_first_heads=kwargs["num_heads"],
        context_width=kwargs["context_dim"],
        num_image_tokens=kwargs["num_tokens"],
        dropout=kwargs["dropout"],
        resolution=tuple(resolution),
    )


def recorded_unianimate(shared: Path) -> Recorded:
    """UniAnimate's; outputs in float32 by case, in float64 under ``out64``."""
    tensors, facts = read(shared, "unianimate_tiny")
    inputs = {
        key: value.float() if value.is_floating_point() else value
        for key, value in part(tensors, "in/").items()
    }
    config = unianimate_settings(facts["constructor_kwargs"], facts["config.resolution (W,H)"])
    network = UniAnimateUNet(**config).eval()
    network.load_state_dict(scaled(tensors))
    network.set_empty_text(inputs["zero_y"])
    doubled = {f"out64/{key}": value for key, value in part(tensors, "out64/").items()}
    return Recorded(network, inputs, part(tensors, "out/") | doubled, facts)


def unianimate_conditions(inputs: Mapping[str, Tensor], names: Any) -> UniAnimateConditions:
    """The fixtures' arguments, which carry the reference's pose as frame 0 of the poses."""
    told = {}
    if "image" in names:
        told["image"] = inputs["image"]
    if "randomref" in names:
        told["reference"] = inputs["randomref"][:, :, 0]
    if "dwpose" in names:
        poses = inputs["dwpose"].transpose(1, 2)
        told["reference_pose"], told["pose"] = poses[:, 0], poses[:, 1:]
    if "local_image" in names:
        told["first_frame"] = inputs["local_image"].transpose(1, 2)
    return UniAnimateConditions(**told)


@torch.no_grad()
def unianimate_answer(network: Any, inputs: Mapping[str, Tensor], names: Any) -> Tensor:
    """A network's answer when it is told the arguments of some names, laid out as upstream's."""
    features = network.encode(
        unianimate_conditions(inputs, names),
        num_frames=inputs["x"].shape[2],
        batch=len(inputs["x"]),
    )
    return network(inputs["x"].transpose(1, 2), inputs["t"], features).transpose(1, 2)


def champ_states(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The fixture's tensors as upstream's files, the denoiser's in one."""
    states: dict[str, dict[str, Tensor]] = {}
    for key, value in part(tensors, "sd/").items():
        name, inner = key.split("/", 1)
        if name == DENOISER and "motion_modules" in inner:
            name = MOTION
        states.setdefault(name, {})[inner] = value
    return states


def recorded_champ(shared: Path) -> Recorded:
    """Champ's."""
    tensors, facts = read(shared, "champ_tiny")
    network = CHAMP_SHAPE.build(image_width=48).eval()
    load_states(network, champ_states(tensors))
    return Recorded(network, part(tensors, "in/"), part(tensors, "out/"), facts)


def champ_maps(inputs: Mapping[str, Tensor]) -> Tensor:
    """The pose maps, b f m c H W."""
    maps = torch.stack([inputs[f"guidance_{name}"] for name in POSE_MAPS], dim=1)
    return maps.permute(0, 3, 1, 2, 4, 5)


@torch.no_grad()
def champ_answer(network: ChampNetwork, inputs: Mapping[str, Tensor], **changes: Any) -> Tensor:
    """A network's answer to the recorded question, some of its conditions changed."""
    told = ChampConditions(
        image=inputs["clip_image_embeds"],
        reference=inputs["ref_image_latents"],
        pose_maps=champ_maps(inputs),
    )
    features = network.encode(replace(told, **changes))
    return network(inputs["noisy_latents"].transpose(1, 2), inputs["timesteps"], features)


def recorded_autoencoder(shared: Path) -> Recorded:
    """Stable Diffusion's autoencoder, remapped as an import does it."""
    tensors, facts = read(shared, "unianimate_vae_tiny")
    levels: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (32, 64, 128, 128),
    }
    vae = AutoencoderKL(**levels, layers_per_block=2, latent_channels=4).eval()
    state, pieces = scaled(tensors), AUTOENCODER[1].pieces(shapes_of(vae))
    vae.load_state_dict({key: piece.take(state[piece.key]) for key, piece in pieces.items()})
    return Recorded(vae, part(tensors, "in/"), part(tensors, "out/"), facts)


@torch.no_grad()
def autoencoder_answers(vae: AutoencoderKL, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Scaled latents of the recorded pictures, and pictures of the recorded latents."""
    latents = encode_video(vae, inputs["x"][None])[0]
    return latents, decode_latents(vae, 0.18215 * inputs["z"][None])[0]
