"""Stable Diffusion's autoencoder, and how public files name its tensors and CLIP's towers'."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL

from quickstep.checkpoints.layouts import Layout, Piece, pointwise, same, third, transposed

Rules = Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]


def renamed(key: str, rules: Rules) -> str:
    """A key after all replacements, in order."""
    for pattern, replacement in rules:
        key = re.sub(pattern, replacement, key)
    return key


def _up(match: re.Match[str]) -> str:
    # diffusers counts the decoder's four levels from the latents, LDM from the picture.
    return f"decoder.up.{3 - int(match[1])}."


_LDM: Rules = (
    (r"^encoder\.down_blocks\.(\d)\.", r"encoder.down.\1."),
    (r"^decoder\.up_blocks\.(\d)\.", _up),
    (r"mid_block\.resnets\.0\.", "mid.block_1."),
    (r"mid_block\.resnets\.1\.", "mid.block_2."),
    (r"\.resnets\.", ".block."),
    (r"\.downsamplers\.0\.", ".downsample."),
    (r"\.upsamplers\.0\.", ".upsample."),
    (r"mid_block\.attentions\.0\.", "mid.attn_1."),
    (r"attn_1\.group_norm\.", "attn_1.norm."),
    (r"attn_1\.to_([qkv])\.", r"attn_1.\1."),
    (r"attn_1\.to_out\.0\.", "attn_1.proj_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
    (r"\.conv_norm_out\.", ".norm_out."),
)
_OLD_ATTENTION: Rules = (
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.to_out\.0\.", ".proj_attn."),
)


def _ldm(key: str) -> Piece:
    matrix = re.search(r"attentions\.0\.to_\w+(\.0)?\.weight$", key)
    return Piece(renamed(key, _LDM), pointwise if matrix else same)


def _old_diffusers(key: str) -> Piece:
    return Piece(renamed(key, _OLD_ATTENTION))


AUTOENCODER = (
    Layout("Stable Diffusion", _ldm, prefix="first_stage_model.", spare=("loss.",)),
    Layout("Stable Diffusion's autoencoder", _ldm, spare=("loss.", "model_ema.")),
    Layout("diffusers' AutoencoderKL"),
    Layout("diffusers' AutoencoderKL", _old_diffusers),
)
"""Stable Diffusion's autoencoder of four levels: in a whole checkpoint, alone, or of diffusers."""


def autoencoder() -> AutoencoderKL:
    """Stable Diffusion's autoencoder, its weights not yet there."""
    settings: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 768,
        "scaling_factor": 0.18215,
    }
    with torch.device("meta"):
        return AutoencoderKL(**settings)


_BLOCKS: Rules = (
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.self_attn\.[qkv]_proj\.", ".attn.in_proj_"),
    (r"\.self_attn\.", ".attn."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)
_TEXT: Rules = (
    (r"^embeddings\.token_embedding\.", "token_embedding."),
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^final_layer_norm\.", "ln_final."),
    *_BLOCKS,
)
_VISION: Rules = (
    (r"^visual_projection\.weight$", "proj"),
    (r"^vision_model\.", ""),
    (r"^embeddings\.class_embedding$", "class_embedding"),
    (r"^embeddings\.patch_embedding\.", "conv1."),
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^pre_layrnorm\.", "ln_pre."),
    (r"^post_layernorm\.", "ln_post."),
    *_BLOCKS,
)


def _open_clip(key: str, rules: Rules) -> Piece:
    attention = re.search(r"self_attn\.([qkv])_proj\.", key)
    take = third("qkv".index(attention[1])) if attention else same
    return Piece(renamed(key, rules), transposed if key == "visual_projection.weight" else take)


def _open_clip_vision(key: str) -> Piece:
    return _open_clip(key, _VISION)


def _open_clip_text(key: str) -> Piece:
    return _open_clip(key, _TEXT)


_NO_VISION = (
    "logit_scale",
    "vision_model.embeddings.position_ids",
    "text_model.",
    "text_projection.",
)
CLIP_VISION = (Layout("transformers' CLIP ViT-L/14", spare=_NO_VISION),)
"""The vision tower with its projection, alone or beside the text tower."""

OPEN_CLIP_VISION = (
    Layout("OpenCLIP ViT-H-14", _open_clip_vision, prefix="visual."),
    Layout("transformers' CLIP ViT-H-14", spare=_NO_VISION),
)
"""The vision tower with its projection."""

OPEN_CLIP_PENULTIMATE_TEXT = (
    Layout(
        "OpenCLIP ViT-H-14",
        _open_clip_text,
        spare=(
            "visual.",
            "transformer.resblocks.23.",
            "text_projection",
            "logit_scale",
            "attn_mask",
        ),
    ),
    Layout(
        "transformers' CLIP ViT-H-14",
        prefix="text_model.",
        spare=("encoder.layers.23.", "embeddings.position_ids"),
    ),
)
"""The text tower without its last block, which UniAnimate does not use."""
