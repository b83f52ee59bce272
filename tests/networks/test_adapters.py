"""Adapters: three roles on one set of weights (invariant 18), against peft, and on disk."""

import copy
import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from quickstep.networks.accelerator import (
    EXTRAS_FILE,
    LORA_FILE,
    load_accelerator,
    network_digest,
    read_accelerator,
    write_accelerator,
)
from quickstep.networks.adapters import Adapted, AdapterConfig, LowRank, with_adapter
from quickstep.networks.averaging import ema_update
from quickstep.networks.extension import added_parts, extended
from quickstep.networks.heads import WithAuxiliaryHead
from quickstep.networks.unianimate import UniAnimateConditions, UniAnimateUNet
from quickstep.networks.unianimate.attention import PointwiseConv1d
from quickstep.networks.unianimate.blocks import FrameConv, Stem

CONFIG = AdapterConfig(rank=3, alpha=6.0)


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = UniAnimateUNet(
        width=16,
        multipliers=(1, 2),
        num_res_blocks=1,
        attn_scales=(1.0,),
        head_dim=8,
        num_first_heads=2,
        context_width=12,
        num_text_tokens=3,
        condition_width=8,
        resolution=(64, 64),
        dropout=0.5,
        norm_num_groups=8,
    )
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    network.set_empty_text(torch.randn_like(network.empty_text))
    # Frozen as loaded models are: torch takes other kernels for weights that take a gradient.
    return network.eval().requires_grad_(False)


@pytest.fixture
def conditions(generator):
    return UniAnimateConditions(
        image=torch.randn(2, 1, 12, generator=generator),
        reference=torch.randn(2, 4, 8, 8, generator=generator),
        pose=torch.rand(2, 3, 3, 64, 64, generator=generator),
    )


@pytest.fixture
def ask(conditions):
    noisy = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(7))

    def ask(network, *, edge=None, head=False):
        features = network.encode(conditions)
        if edge is not None:
            features = network.tell_edge(features, torch.tensor([edge, edge]))
        run = network.forward_both if head else network
        return run(noisy, torch.tensor([999, 20]), features)

    return ask


def stirred(student: Adapted) -> Adapted:
    """An adapter that has learned something, and so have the new parts."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return student


@torch.no_grad()
def test_18_off_the_base_is_the_teacher_to_the_bit(network, ask):
    """Invariant 18: before, between and after the student's calls."""
    teacher = ask(network)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    student = with_adapter(network, CONFIG)
    torch.testing.assert_close(ask(student), teacher, atol=1e-5, rtol=1e-4)
    stirred(student)
    assert torch.equal(ask(student.base), teacher)
    assert not torch.allclose(ask(student), teacher, atol=1e-3)
    assert torch.equal(ask(student.base), teacher)
    assert student.base is network
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())


@torch.no_grad()
def test_18_without_decay_the_target_is_the_student(network, ask):
    """Invariant 18: the slow copy at decay 0, bit for bit; it has weights of its own."""
    student = with_adapter(network, CONFIG)
    target = copy.deepcopy(student).eval().requires_grad_(False)
    first = ask(target)
    stirred(student)
    moved = ask(student)
    assert torch.equal(ask(target), first)
    ema_update(target, student, decay=0.0)
    assert torch.equal(ask(target), moved)
    with student.in_force():
        assert torch.equal(ask(target), moved) and torch.equal(ask(student.base), moved)


def test_there_is_one_set_of_base_weights(network):
    student = with_adapter(network, CONFIG)
    target = copy.deepcopy(student)
    assert student.base is target.base is network
    own = {parameter.data_ptr() for parameter in student.parameters()}
    others = {parameter.data_ptr() for parameter in target.parameters()}
    base = {parameter.data_ptr() for parameter in network.parameters()}
    assert not own & others and not own & base and not others & base
    assert {name.split(".")[0] for name in student.state_dict()} == {"adapter"}


def test_an_error_inside_leaves_the_base_as_it_was(network, ask):
    teacher, student = ask(network), stirred(with_adapter(network, CONFIG))
    with pytest.raises(RuntimeError, match="stop"), student.in_force():
        raise RuntimeError("stop")
    assert torch.equal(ask(network), teacher)


def test_the_gradient_reaches_adapter_and_head_alone(network, ask):
    student = WithAuxiliaryHead(stirred(with_adapter(network, CONFIG)))
    torch.stack([answer.square().mean() for answer in ask(student, head=True)]).sum().backward()
    for name, parameter in student.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_checkpointing_changes_no_gradient(network, ask):
    """The pass that is made again sees the adapter, too."""
    gradients = []
    student = stirred(with_adapter(network, CONFIG))
    for checkpointing in (False, True):
        if checkpointing:
            student.enable_gradient_checkpointing()
        assert student.gradient_checkpointing is checkpointing
        student.zero_grad()
        ask(student).square().mean().backward()
        found = [parameter.grad for parameter in student.parameters()]
        gradients.append([grad.clone() for grad in found if grad is not None])
        assert len(gradients[-1]) == len(found)
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, plain)


@torch.no_grad()
def test_fused_it_answers_the_same(network, ask):
    student = stirred(with_adapter(network, CONFIG))
    apart = ask(student)
    fused = student.fuse()
    assert fused is network
    torch.testing.assert_close(ask(fused), apart, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 7), (2, 4, 5)),
        (nn.Conv2d(5, 7, 3, stride=2, padding=1), (2, 5, 8, 8)),
        (nn.Conv2d(5, 7, 1), (2, 5, 8, 8)),
        (PointwiseConv1d(5, 7), (2, 4, 5)),
        (FrameConv(5, 7), (2, 5, 4, 3, 3)),
    ],
)
@torch.no_grad()
def test_what_is_added_is_a_change_of_the_weight(layer, shape, generator):
    """Of every kind of layer: adding to its answer and to its weight is one."""
    low_rank = LowRank(layer, rank=3, scale=0.5)
    x = torch.randn(shape, generator=generator)
    assert not low_rank(x).any()
    nn.init.normal_(low_rank.lora_B.weight)
    added = layer(x) + low_rank(x)
    layer.weight.add_(low_rank.delta().view_as(layer.weight))
    torch.testing.assert_close(layer(x), added, atol=1e-5, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Linear(5, 7), (2, 4, 5)), (nn.Conv2d(5, 7, 3), (2, 5, 8, 8))]
)
def test_the_same_weights_mean_the_same_to_peft(layer, shape, generator):
    low_rank = LowRank(layer, rank=2, scale=4.0)
    nn.init.normal_(low_rank.lora_B.weight)
    x = torch.randn(shape, generator=generator)
    ours = layer(x) + low_rank(x)
    model = nn.ModuleDict({"layer": layer})
    config = peft.LoraConfig(r=2, lora_alpha=8, target_modules=["layer"])
    peft.inject_adapter_in_model(config, model)
    state = {f"layer.{name}": value for name, value in low_rank.state_dict().items()}
    peft.set_peft_model_state_dict(model, state)
    torch.testing.assert_close(model["layer"](x), ours)


def test_targets_choose_layers(network):
    def layers(*targets):
        return set(with_adapter(network, AdapterConfig(rank=2, targets=targets)).low_ranks())

    everything = set(with_adapter(network, CONFIG).low_ranks())
    stems = {name for name, layer in network.named_modules() if isinstance(layer, Stem)}
    wanted = {
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d)
        and name.split(".")[0].endswith(("blocks", "block"))
    }
    assert everything == wanted - stems
    assert layers("attn1") < everything and all(".attn1." in name for name in layers("attn1"))
    assert layers("time_embed", "out") == {"time_embed.0", "time_embed.2", "out.2"} | {
        name for name in everything | layers("to_out") if ".out." in name
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "adapter.rank must be positive: got 0"),
        ({"alpha": -1.0}, "adapter.alpha must be positive"),
        ({"targets": ("atn1",)}, "got 'atn1'; input_blocks, middle_block"),
    ],
)
def test_adapters_of_nothing_are_refused(network, settings, message):
    with pytest.raises(ValueError, match=message):
        with_adapter(network, AdapterConfig(**settings))
    with pytest.raises(ValueError, match="GroupNorm cannot have an adapter"):
        Adapted(network, {"out.0": 2})
    with pytest.raises(ValueError, match="no layer out.7"):
        Adapted(network, {"out.7": 2})


@torch.no_grad()
def test_a_told_student_learns_parts_that_its_teacher_lacks(network, ask):
    teacher = ask(network)
    base = extended(network, told_edge=True)
    student = with_adapter(base, CONFIG, new=added_parts(network, base))
    assert ask(network).equal(teacher) and ask(base).equal(teacher)
    torch.testing.assert_close(ask(student, edge=499), teacher, atol=1e-5, rtol=1e-4)
    stirred(student)
    assert not torch.allclose(ask(student, edge=499), ask(student, edge=-1), atol=1e-4)
    assert ask(base, edge=499).equal(teacher)
    apart = ask(student, edge=-1)
    target = copy.deepcopy(student)
    assert ask(target, edge=-1).equal(apart)
    assert base.out[-1].weight is network.out[-1].weight
    torch.testing.assert_close(ask(student.fuse(), edge=-1), apart, atol=1e-5, rtol=1e-5)


def test_new_parts_take_their_gradient(network, ask):
    base = extended(network, told_edge=True)
    student = stirred(with_adapter(base, CONFIG, new=added_parts(network, base)))
    ask(student, edge=499).square().mean().backward()
    grads = [parameter.grad for parameter in student.extras.parameters()]
    assert all(grad is not None and grad.any() for grad in grads)
    assert all(parameter.grad is None for parameter in base.parameters())


def test_it_goes_where_it_is_sent_base_and_all(network):
    student = with_adapter(network, CONFIG).to(torch.float64)
    kinds = {p.dtype for p in [*student.parameters(), *network.parameters()]}
    assert kinds == {torch.float64}


@torch.no_grad()
@pytest.mark.parametrize("told", [False, True])
def test_files_bring_it_back(network, ask, tmp_path, told):
    base = extended(network, told_edge=told)
    student = stirred(with_adapter(base, CONFIG, new=added_parts(network, base)))
    write_accelerator(tmp_path, student)
    names = load_file(tmp_path / LORA_FILE)
    assert all(name.startswith("unet.") and ".lora_" in name for name in names)
    assert (tmp_path / EXTRAS_FILE).is_file() is told
    assert json.loads((tmp_path / "unet" / "config.json").read_text())["told_edge"] is told
    again = read_accelerator(tmp_path, network)
    edge = 499 if told else None
    torch.testing.assert_close(ask(again, edge=edge), ask(student, edge=edge))


def test_files_of_another_network_are_refused(network, tmp_path):
    write_accelerator(tmp_path, with_adapter(network, CONFIG))
    config = {name: value for name, value in network.config.items() if not name.startswith("_")}
    wider = UniAnimateUNet(**{**config, "width": 32})
    Path(tmp_path / "unet" / "config.json").write_text(json.dumps(dict(wider.config)))
    with pytest.raises(ValueError, match="another network"):
        read_accelerator(tmp_path, wider)


def test_the_digest_names_the_weights_at_half_precision(network):
    name = network_digest(network)
    assert network_digest(copy.deepcopy(network).half().float()) == name
    with torch.no_grad():
        network.out[-1].bias[0] += 0.01
    assert network_digest(network) != name


def test_a_base_in_half_precision_is_enough(network, ask):
    """Frozen weights in bfloat16, the adapter in float32: all of it learns, and it alone."""
    student = stirred(with_adapter(network, CONFIG))
    exact = ask(student).detach()
    trained = WithAuxiliaryHead(student)
    nn.Module.to(network, torch.bfloat16)
    assert {each.dtype for each in trained.parameters()} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        own, head = ask(trained, head=True)
    assert 0 < (own.float() - exact).std() < 0.05 * exact.std()
    (own.float().square().mean() + head.float().square().mean()).backward()
    for name, parameter in trained.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name
    assert all(parameter.grad is None for parameter in network.parameters())


@torch.no_grad()
def test_it_goes_on_from_files_at_its_own_scale(network, ask, tmp_path):
    student = stirred(with_adapter(network, CONFIG))
    write_accelerator(tmp_path, student)
    again = with_adapter(network, CONFIG)
    load_accelerator(tmp_path, again)
    assert next(iter(again.low_ranks().values())).scale == 2.0
    torch.testing.assert_close(ask(again), ask(student))
