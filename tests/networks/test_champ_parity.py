"""Champ's networks against the public checkpoint's keys and upstream's recorded outputs."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from quickstep.diffusion.schedule import Schedule
from quickstep.diffusion.solver import ddim_step
from quickstep.networks.champ import POSE_MAPS, ChampConditions, ChampShape
from quickstep.networks.champ.checkpoint import (
    DENOISER,
    MOTION,
    REFERENCE,
    checkpoint_states,
    file_names,
    key_reports,
    load_states,
)
from quickstep.teachers.protocol import Denoiser

CLOSE = 5e-6
SHAPE = ChampShape(
    widths=(32, 64), attend=(True, False), layers_per_block=1, map_widths=(16, 32, 32, 32)
)


def split_states(tensors):
    """The fixture's tensors as upstream's files, the denoiser's in one."""
    states = {}
    for key in (key for key in tensors if key.startswith("sd/")):
        _, name, inner = key.split("/", 2)
        if name == DENOISER and "motion_modules" in inner:
            name = MOTION
        states.setdefault(name, {})[inner] = tensors[key]
    return states


@pytest.fixture(scope="module")
def tiny(shared):
    tensors = load_file(shared / "fixtures/champ_tiny.safetensors")
    facts = json.loads((shared / "fixtures/champ_tiny.json").read_text())
    network = SHAPE.build(image_width=48).eval()
    load_states(network, split_states(tensors))
    inputs = {key[3:]: value for key, value in tensors.items() if key.startswith("in/")}
    outputs = {key[4:]: value for key, value in tensors.items() if key.startswith("out/")}
    return network, inputs, outputs, facts


def maps_of(inputs):
    maps = torch.stack([inputs[f"guidance_{name}"] for name in POSE_MAPS], dim=1)
    return maps.permute(0, 3, 1, 2, 4, 5)  # b m c f H W


def conditions(inputs, **changes):
    told = ChampConditions(
        image=inputs["clip_image_embeds"],
        reference=inputs["ref_image_latents"],
        pose_maps=maps_of(inputs),
    )
    return replace(told, **changes)


@torch.no_grad()
def predicted(network, inputs, **changes):
    features = network.encode(conditions(inputs, **changes))
    return network(inputs["noisy_latents"].transpose(1, 2), inputs["timesteps"], features)


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
def test_every_map_encoder_and_their_sum(tiny):
    network, inputs, outputs, _ = tiny
    maps = maps_of(inputs)
    for index, name in enumerate(POSE_MAPS):
        encoded = network.pose_encoders.encoders[name](maps[:, :, index].flatten(0, 1))
        expect_close(encoded.unflatten(0, (2, 4)), outputs[f"guidance_fea_{name}"])
    total = sum(outputs[f"guidance_fea_{name}"] for name in POSE_MAPS)
    expect_close(network.pose_encoders(maps), total)


def test_predictions_with_and_without_reference_and_maps(tiny):
    network, inputs, outputs, _ = tiny
    expect_close(predicted(network, inputs), outputs["denoise_ref"])
    expect_close(predicted(network, inputs, reference=None), outputs["denoise_noref"])
    expect_close(predicted(network, inputs, pose_maps=None), outputs["denoise_ref_noguidance"])
    expect_close(predicted(network, inputs, reference=None), outputs["champ_model_uncond_fwd"])


@torch.no_grad()
def test_latents_that_do_not_halve_evenly(tiny):
    network, inputs, outputs, _ = tiny
    told = ChampConditions(
        image=inputs["clip_image_embeds"][:1], reference=inputs["odd_ref_latents"]
    )
    noisy = inputs["odd_latents"].transpose(1, 2)
    answer = network(noisy, torch.tensor([321]), network.encode(told))
    expect_close(answer, outputs["denoise_odd_ref_noguidance"])


def window_features(network, inputs, bank, frames):
    features = network.encode(ChampConditions(image=inputs["s_clip"], bank=bank))
    return replace(features, pose=inputs["s_guidance_fea"].transpose(1, 2)[:, frames])


@torch.no_grad()
def test_guided_prediction_and_four_steps_over_windows(tiny):
    network, inputs, outputs, facts = tiny
    bank = network.reference_unet(inputs["s_ref_latents"], inputs["s_clip"])
    # The recorded sampler ran on upstream's inference betas, which are not those of training.
    schedule = Schedule.linear(beta_start=0.00085, beta_end=0.012).with_zero_terminal_snr()
    torch.testing.assert_close(
        schedule.alpha(torch.arange(1000)).square().float(),
        outputs["s_alphas_cumprod_inference_linear"].float(),
        rtol=0.0,
        atol=1e-6,
    )
    noisy = inputs["s_latents"].transpose(1, 2)
    times = outputs["s_timesteps"].tolist()
    features = [window_features(network, inputs, bank, frames) for frames in facts["windows"]]
    both = type(features[0]).cat([features[0].dropped(), features[0]])
    start = noisy[:, facts["windows"][0]]
    expect_close(
        network(torch.cat([start, start]), torch.tensor(times[:1] * 2), both),
        outputs["s_cfg_pred_step0_window0"],
    )
    denoiser = Denoiser(network, schedule)
    for t, t_to in zip(times, [*times[1:], -1], strict=True):
        total, count = torch.zeros_like(noisy), torch.zeros(noisy.shape[1])
        for frames, told in zip(facts["windows"], features, strict=True):
            clean = denoiser.guided(
                noisy[:, frames], torch.tensor([t]), told, guidance=facts["guidance_scale"]
            )
            total[:, frames] += clean
            count[frames] += 1
        clean = total / count[:, None, None, None]
        noisy = ddim_step(
            clean,
            noisy,
            t_from=torch.tensor([t]),
            t_to=torch.tensor([t_to]),
            schedule=schedule,
        )
    torch.testing.assert_close(noisy, outputs["s_final_latents"].transpose(1, 2), rtol=0, atol=1e-4)


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
    states = split_states(tensors)
    network = SHAPE.build(image_width=48)
    load_states(network, states)
    back = checkpoint_states(network)
    assert {name: set(keys) for name, keys in back.items()} == {
        name: set(keys) for name, keys in states.items()
    }
    for name, keys in states.items():
        assert all(torch.equal(back[name][key], value) for key, value in keys.items()), name
