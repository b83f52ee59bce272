"""Small files laid out as the public ones, by lists of keys that do not come from the importer."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from quickstep.checkpoints import champ
from quickstep.checkpoints.unianimate import SETTINGS, family
from quickstep.networks.champ import ChampNetwork, ChampShape
from quickstep.networks.champ.checkpoint import checkpoint_states
from quickstep.networks.unianimate import UniAnimateUNet

WIDTHS = (32, 32, 64, 64)


def small_network() -> UniAnimateUNet:
    with torch.device("meta"):
        return UniAnimateUNet(
            width=16,
            multipliers=(1, 2),
            num_res_blocks=1,
            attn_scales=(1.0,),
            head_dim=8,
            num_first_heads=3,
            context_width=16,
            condition_width=8,
            resolution=(64, 64),
            norm_num_groups=8,
        )


def small_vae() -> AutoencoderKL:
    levels: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": WIDTHS,
    }
    with torch.device("meta"):
        return AutoencoderKL(
            **levels, layers_per_block=2, latent_channels=4, scaling_factor=0.18215
        )


def small_vision() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        patch_size=7,
        image_size=28,
        projection_dim=16,
        hidden_act="gelu",
    )
    with torch.device("meta"):
        return CLIPVisionModelWithProjection(config)


def small_text() -> CLIPTextModel:
    config = CLIPTextConfig(
        hidden_size=16,
        intermediate_size=64,
        num_hidden_layers=23,
        num_attention_heads=2,
        hidden_act="gelu",
        eos_token_id=49407,
    )
    with init_empty_weights(include_buffers=False):
        return CLIPTextModel(config)


CHAMP = ChampShape(
    widths=(32, 64), attend=(True, False), layers_per_block=1, map_widths=(16, 32, 32, 32)
)
CHAMP_EMBEDDING = 48


def small_champ() -> ChampNetwork:
    with torch.device("meta"):
        return CHAMP.build(image_width=CHAMP_EMBEDDING)


def small_champ_vision() -> CLIPVisionModelWithProjection:
    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        patch_size=7,
        image_size=28,
        projection_dim=CHAMP_EMBEDDING,
        hidden_act="quick_gelu",
    )
    with torch.device("meta"):
        return CLIPVisionModelWithProjection(config)


def random_state(shapes, *, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(shape, generator=generator) * (0.3 if len(shape) > 1 else 0.1)
        + (1.0 if len(shape) == 1 and key.endswith("weight") else 0.0)
        for key, shape in shapes.items()
    }


def _layer(shapes, name, *shape):
    shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]


def _res(shapes, name, before, after):
    _layer(shapes, f"{name}.norm1", before)
    _layer(shapes, f"{name}.conv1", after, before, 3, 3)
    _layer(shapes, f"{name}.norm2", after)
    _layer(shapes, f"{name}.conv2", after, after, 3, 3)
    if before != after:
        _layer(shapes, f"{name}.nin_shortcut", after, before, 1, 1)


def _middle(shapes, name, width):
    _res(shapes, f"{name}.block_1", width, width)
    _res(shapes, f"{name}.block_2", width, width)
    _layer(shapes, f"{name}.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        _layer(shapes, f"{name}.attn_1.{part}", width, width, 1, 1)


def ldm_shapes():
    """The latent-diffusion autoencoder's keys: levels counted from the picture in both halves."""
    shapes = {}
    _layer(shapes, "encoder.conv_in", WIDTHS[0], 3, 3, 3)
    before = WIDTHS[0]
    for level, width in enumerate(WIDTHS):
        for block in range(2):
            _res(shapes, f"encoder.down.{level}.block.{block}", before, width)
            before = width
        if level < 3:
            _layer(shapes, f"encoder.down.{level}.downsample.conv", width, width, 3, 3)
    _middle(shapes, "encoder.mid", before)
    _layer(shapes, "encoder.norm_out", before)
    _layer(shapes, "encoder.conv_out", 8, before, 3, 3)
    _layer(shapes, "quant_conv", 8, 8, 1, 1)
    _layer(shapes, "post_quant_conv", 4, 4, 1, 1)
    _layer(shapes, "decoder.conv_in", before, 4, 3, 3)
    _middle(shapes, "decoder.mid", before)
    for level in reversed(range(4)):
        for block in range(3):
            _res(shapes, f"decoder.up.{level}.block.{block}", before, WIDTHS[level])
            before = WIDTHS[level]
        if level > 0:
            _layer(shapes, f"decoder.up.{level}.upsample.conv", before, before, 3, 3)
    _layer(shapes, "decoder.norm_out", before)
    _layer(shapes, "decoder.conv_out", 3, before, 3, 3)
    return shapes


def _blocks(shapes, name, *, count, width):
    for number in range(count):
        block = f"{name}.{number}"
        _layer(shapes, f"{block}.ln_1", width)
        _layer(shapes, f"{block}.ln_2", width)
        shapes[f"{block}.attn.in_proj_weight"] = (3 * width, width)
        shapes[f"{block}.attn.in_proj_bias"] = (3 * width,)
        _layer(shapes, f"{block}.attn.out_proj", width, width)
        _layer(shapes, f"{block}.mlp.c_fc", 4 * width, width)
        _layer(shapes, f"{block}.mlp.c_proj", width, 4 * width)


def open_clip_shapes():
    shapes = {
        "positional_embedding": (77, 16),
        "text_projection": (16, 16),
        "logit_scale": (),
        "visual.class_embedding": (32,),
        "visual.positional_embedding": (17, 32),
        "visual.proj": (32, 16),
        "visual.conv1.weight": (32, 3, 7, 7),
        "token_embedding.weight": (49408, 16),
    }
    for name, width in (("visual.ln_pre", 32), ("visual.ln_post", 32), ("ln_final", 16)):
        _layer(shapes, name, width)
    _blocks(shapes, "visual.transformer.resblocks", count=3, width=32)
    _blocks(shapes, "transformer.resblocks", count=24, width=16)
    return shapes


@pytest.fixture(scope="session")
def small_family():
    """UniAnimate's files and remaps with small networks."""
    return family(
        make_network=small_network,
        make_autoencoder=small_vae,
        make_image_encoder=small_vision,
        make_text_encoder=small_text,
        settings=replace(SETTINGS, size=(64, 64), frames=4, steps_best=2),
    )


@pytest.fixture(scope="session")
def states():
    """The tensors of the three files."""
    network = {key: tuple(value.shape) for key, value in small_network().state_dict().items()}
    return {
        "unet": random_state(network, seed=0),
        "vae": random_state(ldm_shapes(), seed=1),
        "clip": random_state(open_clip_shapes(), seed=2),
    }


@pytest.fixture(scope="session")
def public_files(states, tmp_path_factory):
    """The three files, wrapped as the public ones are."""
    folder = tmp_path_factory.mktemp("public")
    paths = {"unet": folder / "unet.pth", "vae": folder / "vae.ckpt", "clip": folder / "clip.bin"}
    whole = {f"first_stage_model.{key}": value for key, value in states["vae"].items()}
    whole["model.diffusion_model.out.0.weight"] = torch.ones(3)
    torch.save({"state_dict": states["unet"], "step": 223000}, paths["unet"])
    torch.save({"state_dict": whole, "epoch": 3, "global_step": 9}, paths["vae"])
    torch.save(states["clip"], paths["clip"])
    return paths


@pytest.fixture(scope="session")
def champ_family():
    """Champ's files and remaps with small networks."""
    return champ.family(
        make_network=small_champ,
        make_autoencoder=small_vae,
        make_image_encoder=small_champ_vision,
        settings=replace(champ.SETTINGS, size=(64, 64), frames=4, steps_best=2),
    )


@pytest.fixture(scope="session")
def champ_states():
    """The tensors of Champ's own files."""
    states = {}
    for seed, (file, state) in enumerate(checkpoint_states(small_champ()).items()):
        states[file] = random_state({key: value.shape for key, value in state.items()}, seed=seed)
    motion = states["motion_module"]
    for key in motion:
        if key.endswith("attention_blocks.1.pos_encoder.pe"):
            motion[key] = motion[key.replace("blocks.1.pos", "blocks.0.pos")].clone()
    return states


@pytest.fixture(scope="session")
def pretrained(champ_states, tmp_path_factory):
    """The folders that upstream's instructions lay out."""
    folder = tmp_path_factory.mktemp("pretrained")
    for name in ("champ", "sd-vae-ft-mse", "image_encoder"):
        (folder / name).mkdir()
    for name, state in champ_states.items():
        torch.save(state, folder / "champ" / f"{name}.pth")
    encoders = {
        "sd-vae-ft-mse/diffusion_pytorch_model.safetensors": small_vae(),
        "image_encoder/pytorch_model.bin": small_champ_vision(),
    }
    for seed, (file, network) in enumerate(encoders.items()):
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        save = save_file if file.endswith("safetensors") else torch.save
        save(random_state(shapes, seed=seed), folder / file)
    return folder
