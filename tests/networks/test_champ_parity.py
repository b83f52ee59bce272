"""Champ's networks against the public checkpoint's keys and upstream's recorded outputs."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from quickstep.diffusion.schedule import Schedule
from quickstep.networks.champ import POSE_MAPS, ChampConditions, ChampShape
from quickstep.networks.champ.attention import Told
from quickstep.networks.champ.checkpoint import (
    DENOISER,
    MOTION,
    REFERENCE,
    checkpoint_states,
    file_names,
    key_reports,
    load_states,
)
from quickstep.networks.champ.walk import attend, time_embedding, walk
from recorded import CHAMP_SHAPE, champ_answer, champ_maps, champ_states, recorded_champ

CLOSE = 5e-5
"""The recordings are of another processor, whose sums round otherwise: 1.5e-5 was seen."""


@pytest.fixture(scope="module")
def tiny(shared):
    recorded = recorded_champ(shared)
    return recorded.network, recorded.inputs, recorded.outputs, recorded.facts


def expect_close(found, wanted):
    torch.testing.assert_close(found, wanted.transpose(1, 2), rtol=0, atol=CLOSE)


@torch.no_grad()
def test_bank_of_the_reference(tiny):
    network, inputs, outputs, facts = tiny
    bank = network.reference_unet(inputs["ref_image_latents"], inputs["clip_image_embeds"])
    wanted = {
        writer.removesuffix(".transformer_blocks.0")
        for writer, _ in facts["reference_reader_pairs"]
    }
    assert set(bank.tokens) == wanted
    for name, tokens in bank.tokens.items():
        torch.testing.assert_close(
            tokens, outputs[f"bank.{name}.transformer_blocks.0"], rtol=0, atol=CLOSE
        )


@torch.no_grad()
def test_layers_of_the_reference_network_that_never_run_are_right_too(tiny):
    """Upstream runs them and throws the answer away; here they are kept for export alone."""
    network, inputs, outputs, _ = tiny
    unet, reference = network.reference_unet, inputs["ref_image_latents"]
    embedding = time_embedding(unet, torch.zeros(len(reference), dtype=torch.long))

    def layer(each, hidden):
        if each.resnet is not None:
            hidden = each.resnet(hidden, embedding)
        if each.attention is not None:
            hidden = attend(each.attention, hidden, inputs["clip_image_embeds"], Told())
        return hidden

    final = walk(unet, unet.conv_in(reference), layer)
    torch.testing.assert_close(final, outputs["reference_unet_final_hidden"], rtol=0, atol=CLOSE)


@torch.no_grad()
def test_every_map_encoder_and_their_sum(tiny):
    network, inputs, outputs, _ = tiny
    maps = champ_maps(inputs)
    for index, name in enumerate(POSE_MAPS):
        encoded = network.pose_encoders.encoders[name](maps[:, :, index].flatten(0, 1))
        expect_close(encoded.unflatten(0, (2, 4)), outputs[f"guidance_fea_{name}"])
    total = sum(outputs[f"guidance_fea_{name}"] for name in POSE_MAPS)
    expect_close(network.pose_encoders(maps), total)


def test_predictions_with_and_without_reference_and_maps(tiny):
    network, inputs, outputs, _ = tiny
    expect_close(champ_answer(network, inputs), outputs["denoise_ref"])
    expect_close(champ_answer(network, inputs, reference=None), outputs["denoise_noref"])
    expect_close(champ_answer(network, inputs, pose_maps=None), outputs["denoise_ref_noguidance"])
    expect_close(champ_answer(network, inputs, reference=None), outputs["champ_model_uncond_fwd"])


@torch.no_grad()
def test_latents_that_do_not_halve_evenly(tiny):
    network, inputs, outputs, _ = tiny
    told = ChampConditions(
        image=inputs["clip_image_embeds"][:1], reference=inputs["odd_ref_latents"]
    )
    noisy = inputs["odd_latents"].transpose(1, 2)
    answer = network(noisy, torch.tensor([321]), network.encode(told))
    expect_close(answer, outputs["denoise_odd_ref_noguidance"])


@torch.no_grad()
def test_the_guided_prediction_of_a_window(tiny):
    network, inputs, outputs, facts = tiny
    bank = network.reference_unet(inputs["s_ref_latents"], inputs["s_clip"])
    frames = facts["windows"][0]
    told = network.encode(ChampConditions(image=inputs["s_clip"], bank=bank))
    told = replace(told, pose=inputs["s_guidance_fea"].transpose(1, 2)[:, frames])
    both = type(told).cat([told.dropped(), told])
    start = inputs["s_latents"].transpose(1, 2)[:, frames]
    times = torch.tensor([int(outputs["s_timesteps"][0])] * 2)
    answer = network(torch.cat([start, start]), times, both)
    expect_close(answer, outputs["s_cfg_pred_step0_window0"])


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("alphas_cumprod_train_scaled_linear", Schedule.scaled_linear),
        ("s_alphas_cumprod_inference_linear", Schedule.linear),
    ],
)
def test_the_schedules_that_upstream_trains_and_samples_on(tiny, name, make):
    _, _, outputs, _ = tiny
    schedule = make(beta_start=0.00085, beta_end=0.012).with_zero_terminal_snr()
    found = schedule.alpha(torch.arange(1000)).square().float()
    torch.testing.assert_close(found, outputs[name].float(), rtol=0.0, atol=1e-6)


def test_every_key_and_shape_of_the_public_checkpoint(shared):
    facts = json.loads((shared / "fixtures/champ_keys.json").read_text())
    with torch.device("meta"):
        network = ChampShape().build()
    files = {
        "denoising_unet(stage1, no motion)": [DENOISER],
        "motion_module": [MOTION],
        "reference_unet": [REFERENCE],
        "guidance_encoder": [f"guidance_encoder_{name}" for name in POSE_MAPS],
    }
    states = checkpoint_states(network)
    assert sorted(states) == sorted(file_names(network)) == sorted(sum(files.values(), []))
    for kind, names in files.items():
        for name in names:
            found = {key: list(value.shape) for key, value in states[name].items()}
            assert found == facts[kind], name
    upstream = {
        name: {key: torch.empty(shape, device="meta") for key, shape in facts[kind].items()}
        for kind, names in files.items()
        for name in names
    }
    assert key_reports(network, upstream) == []


def test_files_go_in_and_come_out_the_same(shared):
    tensors = load_file(shared / "fixtures/champ_tiny.safetensors")
    states = champ_states(tensors)
    network = CHAMP_SHAPE.build(image_width=48)
    load_states(network, states)
    back = checkpoint_states(network)
    assert {name: set(keys) for name, keys in back.items()} == {
        name: set(keys) for name, keys in states.items()
    }
    for name, keys in states.items():
        assert all(torch.equal(back[name][key], value) for key, value in keys.items()), name
