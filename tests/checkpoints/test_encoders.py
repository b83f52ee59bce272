"""Remaps of the autoencoder and of CLIP against others' code, written apart from them."""

import torch
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import nn
from torch.nn import functional

from quickstep.checkpoints.encoders import (
    AUTOENCODER,
    OPEN_CLIP_PENULTIMATE_TEXT,
    OPEN_CLIP_VISION,
)
from quickstep.checkpoints.layouts import Piece, shapes_of
from quickstep.checkpoints.unianimate import empty_text

EMPTY = torch.tensor([[49406, 49407, *[0] * 75]])


def remapped(layout, network, state):
    pieces = layout.pieces(shapes_of(network))
    return {key: piece.take(state[piece.key]).contiguous() for key, piece in pieces.items()}


def test_the_autoencoder_is_that_of_diffusers_own_conversion(states, small_family):
    vae = small_family.parts[1].network()
    ours = remapped(AUTOENCODER[1], vae, states["vae"])
    theirs = convert_ldm_vae_checkpoint(dict(states["vae"]), vae.config)
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_the_old_names_of_diffusers(states, small_family):
    vae = small_family.parts[1].network()
    modern = remapped(AUTOENCODER[1], vae, states["vae"])
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = dict(modern)
    for key in modern:
        for new, before in names.items():
            if f".{new}." in key:
                old[key.replace(f".{new}.", f".{before}.")] = old.pop(key)
    assert len(set(old) - set(modern)) == 16
    again = remapped(AUTOENCODER[3], vae, old)
    assert all(torch.equal(again[key], value) for key, value in modern.items())
    assert AUTOENCODER[2].piece("quant_conv.weight") == Piece("quant_conv.weight")


class OpenClipBlock(nn.Module):
    """A block of OpenCLIP, of torch's own attention."""

    def __init__(self, state, name, heads):
        super().__init__()
        own = {
            key.removeprefix(f"{name}."): value
            for key, value in state.items()
            if key.startswith(f"{name}.")
        }
        width = len(own["ln_1.weight"])
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)}
        )
        self.load_state_dict(own)

    def forward(self, x, mask=None):
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
        hidden = functional.gelu(self.mlp["c_fc"](self.ln_2(x)))
        return x + self.mlp["c_proj"](hidden)


def layer_norm(state, name, x):
    return functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"])


@torch.no_grad()
def test_the_vision_tower_is_open_clips(states, small_family):
    encoder, state = small_family.parts[2].network(), states["clip"]
    pixels = torch.randn(2, 3, 28, 28)
    patches = functional.conv2d(pixels, state["visual.conv1.weight"], stride=7).flatten(2)
    tokens = patches.transpose(1, 2)
    first = state["visual.class_embedding"].expand(2, 1, -1)
    x = torch.cat([first, tokens], dim=1) + state["visual.positional_embedding"]
    x = layer_norm(state, "visual.ln_pre", x)
    for number in range(3):
        x = OpenClipBlock(state, f"visual.transformer.resblocks.{number}", 4)(x)
    expected = layer_norm(state, "visual.ln_post", x[:, 0]) @ state["visual.proj"]
    encoder.load_state_dict(remapped(OPEN_CLIP_VISION[0], encoder, state), assign=True)
    encoder = _with_position_ids(encoder.eval())
    found = encoder(pixel_values=pixels).image_embeds
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def _with_position_ids(encoder):
    """Buffers that are no part of a state do not come with it; a loaded model has them."""
    count = encoder.vision_model.embeddings.num_positions
    encoder.vision_model.embeddings.position_ids = torch.arange(count)[None]
    return encoder


@torch.no_grad()
def test_the_empty_text_is_open_clips_penultimate(states, small_family):
    state = states["clip"]
    x = state["token_embedding.weight"][EMPTY] + state["positional_embedding"]
    mask = torch.full((77, 77), float("-inf")).triu(1)
    for number in range(23):
        x = OpenClipBlock(state, f"transformer.resblocks.{number}", 2)(x, mask)
    expected = layer_norm(state, "ln_final", x)
    encoder = small_family.parts[3].network()
    weights = remapped(OPEN_CLIP_PENULTIMATE_TEXT[0], encoder, state)
    found = empty_text(encoder, weights)
    assert found.shape == (1, 77, 16)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert all(parameter.is_meta for parameter in encoder.parameters())


def test_transformers_own_names_are_taken_too(states, small_family):
    for number, layouts in ((2, OPEN_CLIP_VISION), (3, OPEN_CLIP_PENULTIMATE_TEXT)):
        network = small_family.parts[number].network()
        ours = remapped(layouts[0], network, states["clip"])
        theirs = {layouts[1].prefix + key: value for key, value in ours.items()}
        again = remapped(layouts[1], network, theirs)
        assert all(torch.equal(again[key], value) for key, value in ours.items())
