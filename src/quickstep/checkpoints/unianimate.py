"""UniAnimate's public files: its U-Net, Stable Diffusion 2.1's autoencoder, OpenCLIP's ViT-H-14."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import cpu_offload, init_empty_weights
from diffusers import AutoencoderKL
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from quickstep.checkpoints.encoders import (
    AUTOENCODER,
    OPEN_CLIP_PENULTIMATE_TEXT,
    OPEN_CLIP_VISION,
    autoencoder,
)
from quickstep.checkpoints.families import Family, Part, Source
from quickstep.checkpoints.layouts import Layout
from quickstep.networks.folder import EMPTY_TEXT_FILE
from quickstep.networks.settings import Settings
from quickstep.networks.unianimate import UniAnimateUNet

EMPTY_TEXT = (49406, 49407)
"""CLIP's tokens of the empty text: start and end; zeros follow, as OpenCLIP pads."""

SETTINGS = Settings(
    role="teacher",
    method="denoising",
    family="unianimate",
    steps_best=30,
    guidance=2.5,
    frames=32,
    fps=8.0,
    size=(512, 768),
    pose_style="unianimate",
    stroke="upstream",
    noise_offset=0.1,
    licence="research and non-commercial use only (UniAnimate)",
)
"""What upstream's sample settings run it with."""


SOURCES = (
    Source(
        name="unet",
        what="UniAnimate's U-Net",
        file="unianimate_16f_32f_non_ema_223000.pth",
        page="https://modelscope.cn/models/iic/unianimate",
        licence="research and non-commercial use only",
    ),
    Source(
        name="vae",
        what="Stable Diffusion 2.1's autoencoder",
        file="v2-1_512-ema-pruned.ckpt",
        page="https://huggingface.co/stabilityai/stable-diffusion-2-1-base",
        licence="CreativeML Open RAIL++-M",
    ),
    Source(
        name="clip",
        what="OpenCLIP ViT-H-14",
        file="open_clip_pytorch_model.bin",
        page="https://huggingface.co/laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        licence="MIT",
    ),
)
"""The files that UniAnimate's own instructions name."""


def network() -> UniAnimateUNet:
    """The U-Net at the public checkpoint's size, its weights not yet there."""
    with torch.device("meta"):
        return UniAnimateUNet()


def image_encoder() -> CLIPVisionModelWithProjection:
    """The vision tower of ViT-H-14, with the exact GELU, its weights not yet there."""
    config = CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
        image_size=224,
        projection_dim=1024,
        hidden_act="gelu",
    )
    with torch.device("meta"):
        return CLIPVisionModelWithProjection(config)


def text_encoder() -> CLIPTextModel:
    """The text tower of ViT-H-14 without its last block, its weights not yet there."""
    config = CLIPTextConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=23,
        num_attention_heads=16,
        projection_dim=1024,
        hidden_act="gelu",
        bos_token_id=EMPTY_TEXT[0],
        eos_token_id=EMPTY_TEXT[1],
        pad_token_id=0,
    )
    with init_empty_weights(include_buffers=False):
        return CLIPTextModel(config)


@torch.no_grad()
def empty_text(encoder: CLIPTextModel, weights: Mapping[str, Tensor]) -> Float[Tensor, "1 n d"]:
    """The text tower's states of the empty text: all tokens, normalised, not projected.

    UniAnimate takes the last block but one's, so `encoder` has no last block. Its weights are
    read from `weights` a layer at a time while it runs.

    Args:
        encoder: a text tower without weights.
        weights: its weights by key, as float32.
    """
    tokens = torch.zeros(1, encoder.config.max_position_embeddings, dtype=torch.long)
    tokens[0, : len(EMPTY_TEXT)] = torch.tensor(EMPTY_TEXT)
    lazily: Any = weights  # Declared as a dict, used as a mapping.
    cpu_offload(encoder.eval(), torch.device("cpu"), state_dict=lazily)
    return encoder(input_ids=tokens).last_hidden_state


def write_empty_text(
    make: Callable[[], CLIPTextModel], folder: Path, weights: Mapping[str, Tensor]
) -> None:
    """Computes the constant states of the empty text and leaves them beside the network."""
    save_file({"tokens": empty_text(make(), weights)}, folder / EMPTY_TEXT_FILE)


def family(
    *,
    make_network: Callable[[], UniAnimateUNet] = network,
    make_autoencoder: Callable[[], AutoencoderKL] = autoencoder,
    make_image_encoder: Callable[[], CLIPVisionModelWithProjection] = image_encoder,
    make_text_encoder: Callable[[], CLIPTextModel] = text_encoder,
    settings: Settings = SETTINGS,
) -> Family:
    """UniAnimate's files; at another size for networks that are not the public ones."""
    return Family(
        name="unianimate",
        title="UniAnimate",
        sources=SOURCES,
        parts=(
            Part("unet", "unet", make_network, (Layout("UniAnimate"),)),
            Part("vae", "vae", make_autoencoder, AUTOENCODER),
            Part("image_encoder", "clip", make_image_encoder, OPEN_CLIP_VISION, stem="model"),
            Part(
                "empty_text",
                "clip",
                make_text_encoder,
                OPEN_CLIP_PENULTIMATE_TEXT,
                write=partial(write_empty_text, make_text_encoder),
            ),
        ),
        settings=settings,
    )
