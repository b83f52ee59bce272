from typing import Any

import pytest
import torch
from torch import nn

from quickstep.networks.extension import added_parts, extended
from quickstep.networks.unianimate import (
    UniAnimateConditions,
    UniAnimateFeatures,
    UniAnimateUNet,
    apply_head,
)
from quickstep.networks.unianimate.attention import GatedProjection, attention

SMALL = dict(
    in_channels=4,
    out_channels=4,
    width=16,
    multipliers=(1, 2),
    num_res_blocks=1,
    attn_scales=(1.0, 0.5),
    head_dim=8,
    num_first_heads=2,
    context_width=12,
    num_text_tokens=3,
    condition_width=8,
    resolution=(32, 64),
    dropout=0.0,
    norm_num_groups=8,
)


def enlivened(**changes):
    """A small network none of whose layers is zero."""
    torch.manual_seed(0)
    network = UniAnimateUNet(**{**SMALL, **changes}).eval()
    for weight in network.parameters():
        if weight.abs().max() == 0:
            nn.init.normal_(weight, std=0.2)
    network.set_empty_text(torch.randn_like(network.empty_text))
    return network


@pytest.fixture(scope="module")
def network():
    return enlivened()


@pytest.fixture(scope="module")
def told():
    torch.manual_seed(1)
    return dict(
        image=torch.randn(2, 1, 12),
        reference=torch.randn(2, 4, 8, 4),
        pose=torch.rand(2, 3, 3, 64, 32),
        reference_pose=torch.rand(2, 3, 64, 32),
    )


@pytest.fixture(scope="module")
def asked():
    torch.manual_seed(2)
    return torch.randn(2, 3, 4, 8, 4), torch.tensor([17, 803])


@pytest.fixture(scope="module")
def features(network, told) -> UniAnimateFeatures:
    with torch.no_grad():
        return network.encode(UniAnimateConditions(**told))


def same(first: UniAnimateFeatures, second: UniAnimateFeatures) -> bool:
    return all(
        torch.equal(getattr(first, name), getattr(second, name))
        for name in ("tokens", "concat", "reference")
    )


@torch.no_grad()
def test_dropped_features_are_those_of_no_condition(network, features):
    nothing = network.encode(UniAnimateConditions(), num_frames=3, batch=2)
    assert same(features.dropped(), nothing)
    assert not same(features, nothing)
    assert nothing.tokens[:, :3].abs().min() > 0 and nothing.tokens[:, 3:].abs().max() == 0


@torch.no_grad()
def test_drop_acts_on_each_sample_alone(network, features, told):
    mixed = features.drop(torch.tensor([False, True]))
    first = {name: value[:1] for name, value in told.items()}
    alone = network.encode(UniAnimateConditions(**first))
    torch.testing.assert_close(mixed.tokens[:1], alone.tokens)
    torch.testing.assert_close(mixed.concat[:1], alone.concat, atol=1e-6, rtol=1e-5)
    assert mixed.concat[1].abs().max() == 0 and mixed.reference[1].abs().max() == 0


@torch.no_grad()
def test_batches_of_conditional_and_unconditional_equal_two_passes(network, features, asked):
    noisy, t = asked
    both = UniAnimateFeatures.cat([features, features.dropped()])
    conditional, unconditional = network(noisy.repeat(2, 1, 1, 1, 1), t.repeat(2), both).chunk(2)
    torch.testing.assert_close(conditional, network(noisy, t, features), atol=1e-5, rtol=1e-4)
    alone = network(noisy, t, features.dropped())
    torch.testing.assert_close(unconditional, alone, atol=1e-5, rtol=1e-4)
    assert same(features.repeat(2), UniAnimateFeatures.cat([features, features]))


@torch.no_grad()
def test_prediction_depends_on_every_condition(network, told, asked):
    noisy, t = asked
    full = network(noisy, t, network.encode(UniAnimateConditions(**told)))
    for name in told:
        rest = {**told, name: None}
        other = network(noisy, t, network.encode(UniAnimateConditions(**rest), num_frames=3))
        assert (full - other).abs().max() > 1e-4, name
    later = network(noisy, t + 100, network.encode(UniAnimateConditions(**told)))
    assert (full - later).abs().max() > 1e-4


@torch.no_grad()
def test_reference_pose_without_reference_is_ignored(network, told):
    pose_only = UniAnimateConditions(pose=told["pose"], reference_pose=told["reference_pose"])
    features = network.encode(pose_only)
    assert features.reference.abs().max() == 0
    assert same(features, network.encode(UniAnimateConditions(pose=told["pose"])))


@torch.no_grad()
def test_frames_cuts_the_driven_frames_only(features):
    cut = features.frames(1, 3)
    assert torch.equal(cut.concat, features.concat[:, 1:3])
    assert torch.equal(cut.reference, features.reference)


@torch.no_grad()
@torch.no_grad()
def test_one_first_frame_stands_for_all(network, told):
    picture = torch.rand(2, 1, 3, 64, 32, generator=torch.Generator().manual_seed(3))
    encoded = [
        network.encode(UniAnimateConditions(**told, first_frame=frames)).concat
        for frames in (picture, picture.expand(-1, 3, -1, -1, -1))
    ]
    torch.testing.assert_close(encoded[0], encoded[1])


def test_pictures_of_half_the_size_skip_the_pooling(network, told):
    coarse = UniAnimateConditions(
        pose=told["pose"][..., ::2, ::2].contiguous(), reference=told["reference"]
    )
    assert network.encode(coarse).concat.shape == (2, 3, 8, 8, 4)
    wrong = UniAnimateConditions(pose=torch.rand(2, 3, 3, 48, 32), reference=told["reference"])
    with pytest.raises(ValueError, match="got 32x48 pixels for 4x8 cells"):
        network.encode(wrong)


@torch.no_grad()
def test_another_size_than_the_models_own(network):
    pose = torch.rand(1, 2, 3, 32, 64)
    features = network.encode(UniAnimateConditions(pose=pose), size=(64, 32))
    assert network(torch.randn(1, 2, 4, 4, 8), torch.tensor([5]), features).shape == (1, 2, 4, 4, 8)


def test_gradients_reach_every_weight(network, told, asked):
    noisy, t = asked
    told = {**told, "first_frame": told["pose"].flip(1)}
    network(noisy, t, network.encode(UniAnimateConditions(**told))).square().mean().backward()
    silent = [
        name
        for name, weight in network.named_parameters()
        if weight.grad is None or weight.grad.abs().max() == 0
    ]
    network.zero_grad()
    assert not silent


def test_checkpointing_changes_no_gradient(network, features, asked):
    noisy, t = asked
    gradients = []
    for checkpointing in (False, True):
        (network.enable_gradient_checkpointing if checkpointing else network.train)()
        network(noisy, t, features).square().mean().backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
        network.zero_grad()
    network.disable_gradient_checkpointing()
    network.eval()
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


@torch.no_grad()
def test_a_head_beside_the_networks_own_sees_the_trunk(network, features, asked):
    noisy, t = asked
    hidden = network.trunk(noisy, t, features)
    assert hidden.shape == (2, 3, 16, 8, 4)
    assert torch.equal(apply_head(network.out, hidden), network(noisy, t, features))


@torch.no_grad()
def test_bf16_autocast_is_close(network, told, asked):
    noisy, t = asked
    exact = network(noisy, t, network.encode(UniAnimateConditions(**told)))
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(noisy, t, network.encode(UniAnimateConditions(**told)))
    assert (rough.float() - exact).norm() < 0.05 * exact.norm()


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(network, features, asked, tmp_path):
    network.save_pretrained(tmp_path)
    loaded = UniAnimateUNet.from_pretrained(tmp_path)
    assert isinstance(loaded, UniAnimateUNet)
    assert {name: loaded.config[name] for name in SMALL} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in SMALL.items()
    }
    noisy, t = asked
    torch.testing.assert_close(loaded(noisy, t, features), network(noisy, t, features))
    assert torch.equal(loaded.empty_text, torch.zeros(1, 3, 12))


def test_a_model_without_text_has_image_tokens_only():
    network = enlivened(num_text_tokens=0, image_width=20)
    features = network.encode(UniAnimateConditions(image=torch.randn(1, 1, 20)), num_frames=1)
    assert features.tokens.shape == (1, 4, 12)
    assert features.dropped().tokens.abs().max() == 0


def test_what_does_not_fit_is_refused(network, features):
    with pytest.raises(ValueError, match="norm_num_groups=32: got 48"):
        UniAnimateUNet(width=48)
    with pytest.raises(ValueError, match="head_dim=64: got 96"):
        UniAnimateUNet(width=96)
    with pytest.raises(ValueError, match="at least one level"):
        UniAnimateUNet(multipliers=())
    with pytest.raises(ValueError, match="multiples of 8: got"):
        UniAnimateUNet(width=64, resolution=(60, 64))
    with pytest.raises(ValueError, match="num_frames is needed"):
        network.encode(UniAnimateConditions())
    with pytest.raises(ValueError, match=r"got \(2, 5, 8, 4\) and \(2, 3, 8, 4\)"):
        network(torch.zeros(2, 5, 4, 8, 4), torch.tensor([1, 2]), features)
    with pytest.raises(ValueError, match="multiples of 2 for 2 levels: got 3x5"):
        odd = network.encode(UniAnimateConditions(reference=torch.zeros(1, 4, 5, 3)), num_frames=1)
        network(torch.zeros(1, 1, 4, 5, 3), torch.tensor([1]), odd)
    uneven = UniAnimateConditions(image=torch.zeros(3, 1, 12))
    object.__setattr__(uneven, "reference", torch.zeros(2, 4, 8, 4))
    with pytest.raises(ValueError, match=r"one batch size: got \[2, 3\]"):
        network.encode(uneven, num_frames=1)
    with pytest.raises(ValueError, match=r"shape \(1, 3, 12\): got \(1, 4, 12\)"):
        network.set_empty_text(torch.zeros(1, 4, 12))


def test_plain_attention_equals_fused(generator):
    query, key, value = torch.randn(3, 2, 2, 5, 8, generator=generator)
    plain = attention(query, key[..., :3, :], value[..., :3, :])
    with torch.no_grad():
        fused = attention(query, key[..., :3, :], value[..., :3, :])
        half = attention(*(part.bfloat16() for part in (query, key, value)))
        torch.testing.assert_close(plain, fused)
        whole = attention(query, key, value)
    torch.testing.assert_close(half.float(), whole, atol=0.05, rtol=0.05)


@torch.no_grad()
def test_a_network_that_can_be_told_its_edge_begins_as_the_one_that_cannot(
    network, features, asked
):
    told = extended(network, told_edge=True)
    plain = network(*asked, features)
    assert torch.equal(told(*asked, told.tell_edge(features, torch.tensor([-1, 499]))), plain)
    for name in added_parts(network, told):
        assert name.startswith("edge_embed.") and name not in network.state_dict()
        nn.init.normal_(told.get_parameter(name), std=0.5)
    low = told(*asked, told.tell_edge(features, torch.tensor([-1, -1])))
    high = told(*asked, told.tell_edge(features, torch.tensor([-1, 499])))
    torch.testing.assert_close(low[0], high[0])
    assert not torch.allclose(low[1], high[1], atol=1e-4)
    assert torch.equal(told(*asked, features), plain)


@torch.no_grad()
def test_an_edge_stays_with_the_features(network, features):
    told = extended(network, told_edge=True).tell_edge(features, torch.tensor([-1, 499]))
    both = UniAnimateFeatures.cat([told, told.dropped()])
    assert both.edge is not None and both.edge.tolist() == [-1, 499, -1, 499]
    assert told.frames(0, 2).edge is told.detach().edge is told.edge
    assert features.edge is None and UniAnimateFeatures.cat([features, features]).edge is None


def test_what_cannot_be_told_or_shared_is_refused(network, features):
    with pytest.raises(ValueError, match="made without told_edge"):
        network.tell_edge(features, torch.tensor([-1, 499]))
    assert extended(network, told_edge=False) is network
    with pytest.raises(ValueError, match="take parts away .* edge_embed"):
        extended(extended(network, told_edge=True), told_edge=False)
    with pytest.raises(ValueError, match="change the shape"):
        extended(network, width=32)


def test_gated_projection_calls_what_replaces_its_layer(generator):
    gated, x = GatedProjection(4, hidden=6), torch.randn(2, 4, generator=generator)
    plain = gated(x)

    def doubled(layer: nn.Module, inputs: Any, output: Any) -> Any:
        return 2 * output

    hook = gated.proj.register_forward_hook(doubled)
    projected = x @ gated.proj.weight.T + gated.proj.bias
    value, gate = (2 * projected).chunk(2, dim=-1)
    torch.testing.assert_close(gated(x), value * nn.functional.gelu(gate))
    hook.remove()
    assert torch.equal(gated(x), plain)
    gated.proj = nn.Sequential(gated.proj)  # pyright: ignore[reportAttributeAccessIssue]
    torch.testing.assert_close(gated(x), plain)
