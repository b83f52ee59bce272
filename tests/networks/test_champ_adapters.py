"""Adapters on a Champ's denoiser: the teacher's bits (invariant 18), gradients, files, fused."""

import copy

import pytest
import torch

from quickstep.networks.accelerator import network_digest, read_accelerator, write_accelerator
from quickstep.networks.adapters import AdapterConfig, with_adapter
from quickstep.networks.champ import ChampConditions, ChampNetwork
from quickstep.networks.extension import added_parts, extended

CONFIG = AdapterConfig(rank=2, alpha=4.0)
PARTS = {"told_edge": True, "face_feature": "vae", "face_cells": 4, "face_patch": 2}


@pytest.fixture
def teacher(small_champ) -> ChampNetwork:
    # Frozen as loaded models are: torch takes other kernels for weights that take a gradient.
    return small_champ().requires_grad_(False)


@pytest.fixture
def ask():
    """The answers of a denoiser, or of a whole network, to a fixed question."""
    generator = torch.Generator().manual_seed(7)
    conditions = ChampConditions(
        image=torch.randn(2, 1, 16, generator=generator),
        reference=torch.randn(2, 4, 4, 4, generator=generator),
        pose_maps=torch.rand(2, 3, 4, 3, 32, 32, generator=generator),
        face=torch.randn(2, 4, 4, 4, generator=generator),
    )
    noisy = torch.randn(2, 3, 4, 4, 4, generator=generator)

    def ask(network, teacher, *, told=False):
        features = network.encode(teacher.encode(conditions))
        if told:
            features = network.tell_edge(features, torch.tensor([499, -1]))
        return network(noisy, torch.tensor([999, 20]), features)

    return ask


def stirred(student):
    """An adapter that has learned something, and so have the new parts."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return student


def with_parts(teacher):
    base = extended(teacher.denoiser, **PARTS)
    return with_adapter(base, CONFIG, new=added_parts(teacher.denoiser, base))


@torch.no_grad()
def test_18_off_the_denoiser_is_the_teachers_to_the_bit(teacher, ask):
    plain = ask(teacher.denoiser, teacher)
    student = with_parts(teacher)
    torch.testing.assert_close(ask(student, teacher, told=True), plain, atol=1e-5, rtol=1e-4)
    stirred(student)
    moved = ask(student, teacher, told=True)
    assert not torch.allclose(moved, plain, atol=1e-3)
    assert torch.equal(ask(teacher.denoiser, teacher), plain)
    target = copy.deepcopy(student)
    assert torch.equal(ask(target, teacher, told=True), moved)
    # Keys and values of the references are the adapter's while it is in force, not kept ones.
    shared = teacher.encode(
        ChampConditions(image=torch.ones(1, 1, 16), reference=torch.ones(1, 4, 4, 4))
    )
    noisy, t = torch.ones(1, 2, 4, 4, 4), torch.tensor([500])
    before = teacher.denoiser(noisy, t, shared)
    adapted = student(noisy, t, shared)
    assert torch.equal(teacher.denoiser(noisy, t, shared), before)
    fresh = teacher.encode(
        ChampConditions(image=torch.ones(1, 1, 16), reference=torch.ones(1, 4, 4, 4))
    )
    torch.testing.assert_close(student(noisy, t, fresh), adapted)


def test_all_blocks_are_the_usual_place_and_new_layers_learn_whole(teacher):
    student = with_parts(teacher)
    layers = set(student.low_ranks())
    assert {name.split(".")[0] for name in layers} == {"down_blocks", "mid_block", "up_blocks"}
    assert any("motion_modules" in name for name in layers)
    assert any(".attn1.to_k" in name for name in layers)
    assert not any("face" in name for name in layers)
    assert {name.split(".")[0] for name, _ in student.extras.named_parameters()} >= {
        "edge_embed",
        "face_encoder",
        "down_blocks",
    }


def test_the_gradient_reaches_the_adapter_alone_checkpointed_or_not(teacher, ask):
    gradients = []
    student = stirred(with_parts(teacher))
    for checkpointing in (False, True):
        if checkpointing:
            student.enable_gradient_checkpointing()
        student.zero_grad()
        ask(student, teacher, told=True).square().mean().backward()
        grads = {name: each.grad for name, each in student.named_parameters()}
        idle = {name for name, grad in grads.items() if grad is None or not grad.any()}
        # One image token draws all attention whatever is asked of it.
        assert all(".attn2.to_q" in name or ".attn2.to_k" in name for name in idle), idle
        gradients.append({n: g.clone() for n, g in grads.items() if g is not None})
        assert all(weight.grad is None for weight in teacher.parameters())
    for name, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], plain)


@torch.no_grad()
def test_files_bring_it_back_and_fused_it_answers_the_same(teacher, ask, tmp_path):
    student = stirred(with_parts(teacher))
    apart, name = ask(student, teacher, told=True), network_digest(teacher)
    write_accelerator(tmp_path, student)
    again = read_accelerator(tmp_path, teacher.denoiser)
    torch.testing.assert_close(ask(again, teacher, told=True), apart)
    assert network_digest(teacher) == name
    fused = again.fuse()
    torch.testing.assert_close(ask(fused, teacher, told=True), apart, atol=1e-5, rtol=1e-5)
