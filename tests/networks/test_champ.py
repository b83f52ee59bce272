"""Champ's networks: one explicit bank, keys and values kept, stages, memory, refusals."""

import copy
import gc
import weakref
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock

from quickstep.networks.champ import (
    ChampConditions,
    ChampFeatures,
    ChampNetwork,
    ChampShape,
)
from quickstep.networks.champ.checkpoint import (
    MOTION,
    REFERENCE,
    checkpoint_states,
    key_reports,
    load_states,
    module_motion_key,
    upstream_motion_keys,
)
from quickstep.teachers.protocol import Denoiser


def told(generator, *, batch=2, frames=3, side=4, **changes):
    conditions = ChampConditions(
        image=torch.randn(batch, 1, 16, generator=generator),
        reference=torch.randn(batch, 4, side, side, generator=generator),
        pose_maps=torch.rand(batch, frames, 4, 3, 8 * side, 8 * side, generator=generator),
    )
    return replace(conditions, **changes)


def noisy(generator, *, batch=2, frames=3, side=4):
    return torch.randn(batch, frames, 4, side, side, generator=generator)


TIMES = torch.tensor([999, 300])


@pytest.fixture(scope="module")
def network(small_champ):
    return small_champ()


@torch.no_grad()
def test_two_animations_interleaved_are_what_each_is_alone(network, generator):
    first, second = told(generator), told(generator)
    x, y = noisy(generator), noisy(generator)
    alone = [
        network(x, TIMES, network.encode(first)),
        network(y, TIMES, network.encode(second)),
    ]
    one, other = network.encode(first), network.encode(second)
    for _ in range(2):
        torch.testing.assert_close(network(x, TIMES, one), alone[0], rtol=0, atol=0)
        torch.testing.assert_close(network(y, TIMES, other), alone[1], rtol=0, atol=0)


@torch.no_grad()
def test_a_bank_leaves_nothing_behind(network, generator):
    before = {name: len(vars(module)) for name, module in network.named_modules()}
    features = network.encode(told(generator))
    network(noisy(generator), TIMES, features)
    assert {name: len(vars(module)) for name, module in network.named_modules()} == before
    bank = weakref.ref(features.bank)
    del features
    gc.collect()
    assert bank() is None


@torch.no_grad()
def test_the_reference_network_runs_once_for_all_steps_and_branches(network, generator):
    count = 0

    def on_run(*_):
        nonlocal count
        count += 1

    hook = network.reference_unet.register_forward_hook(on_run)
    schedule_free = Denoiser(network, _schedule())
    features = schedule_free.encode(told(generator))
    x = noisy(generator)
    for t in (999, 749, 499, 249):
        x = schedule_free.guided(x, torch.full((2,), t), features, guidance=2.0)
    hook.remove()
    assert count == 1


def _schedule():
    from quickstep.diffusion.schedule import Schedule

    return Schedule.scaled_linear().with_zero_terminal_snr()


@torch.no_grad()
def test_keys_and_values_are_made_once_for_each_network(network, generator):
    student = ChampNetwork(
        copy.deepcopy(network.denoiser), network.reference_unet, network.pose_encoders
    )
    features = network.encode(told(generator))
    name, tokens = next(iter(features.bank.tokens.items()))
    block = f"{name}.transformer_blocks.0.attn1"
    mine: Any
    theirs: Any
    mine, theirs = (one.denoiser.get_submodule(block) for one in (network, student))
    runs = []
    hooks = [
        layer.register_forward_pre_hook(lambda *_, which=which: runs.append(which))
        for which, layer in (("teacher", mine.to_k), ("student", theirs.to_k))
    ]
    x = noisy(generator)
    for _ in range(3):
        both = ChampFeatures.cat([features, features.dropped()])
        network(torch.cat([x, x]), TIMES.repeat(2), both)
        student(x, TIMES, features)
    for hook in hooks:
        hook.remove()
    # Once for a frame's own tokens at each call, once for the reference in all.
    assert (runs.count("teacher"), runs.count("student")) == (4, 4)
    stale = features.bank.keys_and_values(name, theirs)[0]
    theirs.to_k.weight.mul_(2)
    fresh = features.bank.keys_and_values(name, theirs)[0]
    torch.testing.assert_close(fresh, 2 * stale)
    torch.testing.assert_close(fresh, theirs.to_k(tokens))


def test_gradients_reach_the_bank_and_its_keys_in_training(small_champ, generator):
    network = small_champ().train_stage("frames")
    with torch.no_grad():  # an evaluation before must not leave keys without a gradient
        features = network.encode(told(generator, is_still=True))
        network(noisy(generator), TIMES, features)
    features = network.encode(told(generator, is_still=True))
    network(noisy(generator), TIMES, features).square().mean().backward()
    idle = {
        name
        for name, weight in network.named_parameters()
        if weight.requires_grad and (weight.grad is None or not weight.grad.abs().sum() > 0)
    }
    # One token draws all attention whatever is asked of it.
    assert all(".attn2.to_q" in n or ".attn2.to_k" in n or ".norm2." in n for n in idle), idle
    frozen = {name for name, weight in network.named_parameters() if not weight.requires_grad}
    assert all("motion_modules" in n or "up_blocks.1.attentions.1" in n for n in frozen)


def test_keys_kept_by_a_pass_without_gradient_are_not_learned_from(small_champ, generator):
    """A student that is its own target has read the same bank before: keys are made anew."""
    network, x, conditions = small_champ(), noisy(generator), told(generator)
    network.denoiser.requires_grad_(True)
    layers: list[Any] = [
        layer
        for module in network.denoiser.modules()
        if isinstance(module, BasicTransformerBlock)
        for layer in (module.attn1.to_k, module.attn1.to_v)
    ]

    def gradients(passes):
        network.zero_grad()
        with torch.no_grad():
            features = network.encode(conditions)
            for _ in range(passes):
                network(x, TIMES, features)
        network(x, TIMES, features).square().mean().backward()
        return [layer.weight.grad.clone() for layer in layers]

    torch.testing.assert_close(gradients(passes=1), gradients(passes=0))


def test_the_second_stage_trains_motion_alone(small_champ, generator):
    network = small_champ().train_stage("clips")
    features = network.encode(told(generator))
    assert features.bank is not None
    assert all(not tokens.requires_grad for tokens in features.bank.tokens.values())
    network(noisy(generator), TIMES, features).square().mean().backward()
    for name, weight in network.named_parameters():
        assert (weight.grad is not None) == ("motion_modules" in name), name


def test_still_clips_are_single_frames(network, generator):
    conditions = told(generator, is_still=True)
    x = noisy(generator)
    features = network.encode(conditions)
    together = network(x, TIMES, features)
    assert features.pose is not None
    first = replace(features, pose=features.pose[:, :1])
    torch.testing.assert_close(together[:, :1], network(x[:, :1], TIMES, first))
    moving = network(x, TIMES, replace(features, is_still=False))
    assert not torch.allclose(together, moving)


def test_a_fresh_network_moves_as_it_stands_and_answers_zero(generator):
    shape = ChampShape(widths=(16,), attend=(True,), norm_num_groups=4, map_widths=(8, 8, 8, 8))
    network = replace(shape, map_groups=4).build(image_width=16).eval()
    torch.nn.init.normal_(network.denoiser.conv_out.weight)
    x, conditions = noisy(generator), told(generator)
    features = network.encode(conditions)
    still = network(x, TIMES, replace(features, is_still=True))
    torch.testing.assert_close(network(x, TIMES, features), still)
    assert features.pose is not None and not features.pose.any()


def test_dropping_takes_reference_and_image_and_leaves_maps(network, generator):
    conditions, x = told(generator), noisy(generator)
    features = network.encode(conditions)
    bare = network.encode(
        replace(conditions, reference=None, image=torch.zeros_like(conditions.image))
    )
    torch.testing.assert_close(
        network(x, TIMES, features.dropped()), network(x, TIMES, bare), rtol=0, atol=1e-6
    )
    mixed = network(x, TIMES, features.drop(torch.tensor([False, True])))
    torch.testing.assert_close(mixed[:1], network(x, TIMES, features)[:1])
    torch.testing.assert_close(mixed[1:], network(x, TIMES, bare)[1:])


def test_features_of_several_banks_are_joined(network, generator):
    one, other = told(generator), told(generator, batch=1)
    x = noisy(generator, batch=3)
    t = torch.tensor([900, 500, 100])
    joined = ChampFeatures.cat([network.encode(one), network.encode(other)])
    alone = [
        network(x[:2], t[:2], network.encode(one)),
        network(x[2:], t[2:], network.encode(other)),
    ]
    torch.testing.assert_close(network(x, t, joined), torch.cat(alone))
    bare = replace(network.encode(told(generator)), pose=None)
    with pytest.raises(ValueError, match="all or none .* pose maps"):
        ChampFeatures.cat([network.encode(one), bare])


def test_checkpointing_covers_whole_layers(small_champ, generator):
    network = small_champ().requires_grad_(True)
    x, conditions = noisy(generator), told(generator)

    def gradients():
        network.zero_grad()
        saved = []
        pack = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: saved.append(tensor.numel()) or tensor, lambda tensor: tensor
        )
        features = network.encode(conditions)
        with pack:
            loss = network(x, TIMES, features).square().mean()
        loss.backward()
        weights = network.denoiser.parameters()
        return [weight.grad.clone() for weight in weights if weight.grad is not None], sum(saved)

    plain, kept = gradients()
    network.enable_gradient_checkpointing()
    again, kept_again = gradients()
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other)
    assert kept_again < 0.35 * kept


def test_clips_of_full_size_train_with_every_layer_computed_again(small_champ, generator):
    """24 frames: no transformer, spatial or along the frames, keeps its activations."""
    network = small_champ(max_frames=24).requires_grad_(True)
    network.enable_gradient_checkpointing()
    runs = Counter()
    blocks = {
        name: module
        for name, module in network.denoiser.named_modules()
        if isinstance(module, BasicTransformerBlock)
    }
    for name, block in blocks.items():
        block.register_forward_hook(lambda *_, name=name: runs.update([name]))
    features = network.encode(told(generator, batch=1, frames=24))
    loss = network(noisy(generator, batch=1, frames=24), TIMES[:1], features).square().mean()
    assert runs == dict.fromkeys(blocks, 1) and any("motion_modules" in name for name in blocks)
    loss.backward()
    assert runs == dict.fromkeys(blocks, 2)
    learns = [*network.denoiser.motion_modules()[0].parameters()]
    assert all(weight.grad is not None for weight in learns)


def test_latents_of_the_reference_in_every_frame(small_champ, generator):
    network = small_champ(reference_everywhere=True)
    features = network.encode(told(generator))
    dropped = features.dropped().reference
    assert features.reference is not None and dropped is not None and not dropped.any()
    network(noisy(generator), TIMES, features)
    with pytest.raises(ValueError, match="told the reference's latents"):
        network(noisy(generator), TIMES, replace(features, reference=None))


def test_parts_are_saved_and_read_as_diffusers_does(network, generator, tmp_path):
    parts = {}
    for name, part in network.parts.items():
        part.save_pretrained(tmp_path / name, safe_serialization=True)
        parts[name] = type(part).from_pretrained(tmp_path / name, use_safetensors=True)
    again = ChampNetwork.of(parts).eval()
    conditions, x = told(generator), noisy(generator)
    torch.testing.assert_close(
        again(x, TIMES, again.encode(conditions)), network(x, TIMES, network.encode(conditions))
    )


def test_motion_keys_there_and_back(network):
    for key in network.denoiser.state_dict():
        if "motion_modules" in key:
            upstream = upstream_motion_keys(key)
            assert {module_motion_key(one) for one in upstream[:1]} == {key}
            assert len(upstream) == (2 if key.endswith("pe") else 1)


def test_files_that_differ_are_named(small_champ, network):
    states = {name: dict(keys) for name, keys in checkpoint_states(network).items()}
    del states[REFERENCE]["conv_in.bias"]
    states[REFERENCE]["conv_out.bias"] = torch.zeros(4)
    states[MOTION][next(iter(states[MOTION]))] = torch.zeros(3)
    reports = {report.file: str(report) for report in key_reports(network, states)}
    assert set(reports) == {REFERENCE, MOTION}
    assert "1 missing (conv_in.bias); 1 unexpected (conv_out.bias)" in reports[REFERENCE]
    assert "1 of another shape" in reports[MOTION] and "(3,)" in reports[MOTION]
    with pytest.raises(ValueError, match="reference_unet: 1 missing"):
        load_states(small_champ(), states)
    states = {name: dict(keys) for name, keys in checkpoint_states(network).items()}
    code = next(key for key in states[MOTION] if key.endswith("blocks.1.pos_encoder.pe"))
    states[MOTION][code] = states[MOTION][code] + 1
    with pytest.raises(ValueError, match="position codes"):
        load_states(small_champ(), states)


def test_what_does_not_fit_is_refused(network, generator):
    x = noisy(generator)
    features = network.encode(told(generator))
    with pytest.raises(ValueError, match="must agree"):
        network(x[:, :2], TIMES, features)
    with pytest.raises(ValueError, match="at most 8 frames: got 9"):
        network(noisy(generator, frames=9), TIMES, network.encode(told(generator, frames=9)))
    with pytest.raises(ValueError, match="dwpose: got 3 maps"):
        network.encode(told(generator, pose_maps=torch.zeros(2, 3, 3, 3, 32, 32)))
    with pytest.raises(ValueError, match="multiples of 8 pixels: got 32x30"):
        network.encode(told(generator, pose_maps=torch.zeros(2, 3, 4, 3, 30, 32)))
    with pytest.raises(ValueError, match="each of 2 clips must have its own reference: got 3"):
        network.encode(told(generator, reference=torch.zeros(3, 4, 4, 4)))
    with pytest.raises(ValueError, match="needs encoded conditions"):
        network.denoiser.encode(told(generator))
    with pytest.raises(ValueError, match="num_heads=3: got 16"):
        ChampShape(widths=(16,), attend=(True,), num_heads=3, norm_num_groups=4)
    with pytest.raises(ValueError, match="entry for each level"):
        ChampShape(widths=(16,), attend=(True, False))
