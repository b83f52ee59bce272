"""The public files' remaps against recorded outputs of upstream's own code."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from accelerate import cpu_offload, init_empty_weights
from safetensors.torch import load_file
from transformers import CLIPVisionModelWithProjection

from borrowed import borrowed
from quickstep.checkpoints.encoders import (
    AUTOENCODER,
    OPEN_CLIP_PENULTIMATE_TEXT,
    OPEN_CLIP_VISION,
)
from quickstep.checkpoints.files import Stored
from quickstep.checkpoints.layouts import Layout, compare, shapes_of
from quickstep.checkpoints.unianimate import (
    autoencoder,
    empty_text,
    image_encoder,
    network,
    text_encoder,
)
from recorded import autoencoder_answers, recorded_autoencoder

_SEEDED = borrowed("networks/features/conftest.py")


def known(shared, name, prefix=""):
    keys = json.loads((shared / "fixtures" / f"unianimate_{name}.json").read_text())["keys"]
    return {prefix + key: Stored(tuple(shape), torch.float32) for key, shape in keys.items()}


@pytest.mark.parametrize(
    ("name", "prefix", "layout", "make", "count", "spare"),
    [
        ("vae_keys", "first_stage_model.", AUTOENCODER[0], autoencoder, 248, 0),
        ("openclip_keys", "", OPEN_CLIP_VISION[0], image_encoder, 520, 294),
        ("openclip_keys", "", OPEN_CLIP_PENULTIMATE_TEXT[0], text_encoder, 372, 406),
        ("keys", "", None, network, 1544, 0),
    ],
)
def test_the_public_files_keys_fit_without_a_fault(
    shared, name, prefix, layout, make, count, spare
):
    wanted = shapes_of(make())
    report = compare(known(shared, name, prefix), layout or Layout("UniAnimate"), wanted)
    assert report.num_faults == 0
    assert report.spare == spare
    assert len(wanted) == count


def test_the_autoencoder_gives_the_recorded_latents_and_pictures(shared):
    recorded = recorded_autoencoder(shared)
    latents, pictures = autoencoder_answers(recorded.network, recorded.inputs)
    outputs = recorded.outputs
    torch.testing.assert_close(latents, 0.18215 * outputs["mean"], atol=1e-5, rtol=0)
    torch.testing.assert_close(pictures, outputs["decoded"].clamp(-1, 1), atol=1e-5, rtol=0)


class SeededWeights(Mapping[str, Any]):
    """OpenCLIP's weights by the fixture's rule, each made when it is asked for."""

    def __init__(self, shared, layout, module):
        self.shapes = known(shared, "openclip_keys")
        self.pieces = layout.pieces(shapes_of(module))

    def __getitem__(self, key):
        piece = self.pieces[key]
        weight = _SEEDED.seeded_weight(piece.key, self.shapes[piece.key].shape, 1.0)
        return piece.take(weight)

    def __iter__(self):
        return iter(self.pieces)

    def __len__(self):
        return len(self.pieces)


def expect_near(found, expected):
    """Tight enough for the tanh form of GELU, which is off by 1.8e-4, to fail."""
    assert (found - expected).abs().max() / expected.abs().max() < 2e-5


@pytest.mark.slow
@torch.no_grad()
def test_the_full_text_tower_gives_the_recorded_states(shared):
    recorded = load_file(shared / "fixtures/openclip_h14_seeded.safetensors")
    encoder = text_encoder()
    weights = SeededWeights(shared, OPEN_CLIP_PENULTIMATE_TEXT[0], encoder)
    expect_near(empty_text(encoder, weights), recorded["text_penultimate_empty"])


@pytest.mark.slow
@torch.no_grad()
def test_the_full_vision_tower_gives_the_recorded_embedding(shared):
    facts = json.loads((shared / "fixtures/openclip_h14_seeded.json").read_text())
    recorded = load_file(shared / "fixtures/openclip_h14_seeded.safetensors")
    with init_empty_weights(include_buffers=False):
        encoder = CLIPVisionModelWithProjection(image_encoder().config).eval()
    weights: Any = SeededWeights(shared, OPEN_CLIP_VISION[0], encoder)
    cpu_offload(encoder, torch.device("cpu"), state_dict=weights)
    frames = torch.from_numpy(_SEEDED.seeded_frames("clip", 2, 224, 224)).float() / 255
    mean, std = (torch.tensor(facts["preprocess"][name]) for name in ("mean", "std"))
    pixels = ((frames - mean) / std).permute(0, 3, 1, 2)
    expect_near(encoder(pixel_values=pixels).image_embeds, recorded["image_embed"])
