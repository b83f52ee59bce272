"""Face tokens: nothing at the start (invariant 22) nor without a face, something once learned."""

from typing import Any

import pytest
import torch
from torch import nn

from quickstep.networks.attention import answer_of, attention, query_of
from quickstep.networks.face_tokens import JoinedFaces, patches
from quickstep.networks.unianimate import (
    UniAnimateConditions,
    UniAnimateFeatures,
    UniAnimateUNet,
)
from quickstep.networks.unianimate.attention import Attention

SHAPE: dict[str, Any] = dict(
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
    resolution=(32, 32),
    dropout=0.0,
    norm_num_groups=8,
)
FACES: dict[str, dict[str, Any]] = {
    "decoupled": dict(face_feature="vae", face_cells=4, face_patch=2),
    "joined": dict(face_feature="vae", face_cells=4, face_patch=2, face_inject="joined"),
    "clip": dict(face_feature="clip"),
}


def teacher() -> UniAnimateUNet:
    """A small network none of whose layers is zero."""
    torch.manual_seed(0)
    network = UniAnimateUNet(**SHAPE).eval()
    for weight in network.parameters():
        if weight.abs().max() == 0:
            nn.init.normal_(weight, std=0.2)
    return network


def student(kind: str, *, learned: bool = False) -> UniAnimateUNet:
    """The same with fresh face layers, or with such as training could have left."""
    torch.manual_seed(1)
    network = UniAnimateUNet(**SHAPE, **FACES[kind]).eval()
    missing, unknown = network.load_state_dict(teacher().state_dict(), strict=False)
    assert missing and not unknown
    if learned:
        for name in missing:
            nn.init.normal_(network.get_parameter(name), std=0.5)
    return network


def faces(kind: str) -> torch.Tensor:
    shape = (2, 1, 12) if kind == "clip" else (2, 4, 4, 4)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def asked():
    torch.manual_seed(2)
    return torch.randn(2, 2, 4, 4, 4), torch.tensor([17, 803])


def told(**face: Any) -> UniAnimateConditions:
    generator = torch.Generator().manual_seed(4)
    return UniAnimateConditions(
        image=torch.randn(2, 1, 12, generator=generator),
        reference=torch.randn(2, 4, 4, 4, generator=generator),
        pose=torch.rand(2, 2, 3, 32, 32, generator=generator),
        **face,
    )


def test_a_network_without_faces_has_the_keys_it_had():
    keys = set(teacher().state_dict())
    assert not any("face" in key for key in keys)
    for kind in FACES:
        added = set(student(kind).state_dict()) - keys
        assert all("face" in key for key in added)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["decoupled", "clip"])
def test_fresh_decoupled_faces_change_not_a_bit(asked, kind):
    network = student(kind)
    with_face = network(*asked, network.encode(told(face=faces(kind))))
    assert torch.equal(with_face, network(*asked, network.encode(told())))
    plain = teacher()
    assert torch.equal(with_face, plain(*asked, plain.encode(told(face=faces(kind)))))


@torch.no_grad()
def test_fresh_joined_faces_change_next_to_nothing(asked):
    network, plain = student("joined"), teacher()
    with_face = network(*asked, network.encode(told(face=faces("joined"))))
    without = plain(*asked, plain.encode(told()))
    assert 0 < (with_face - without).abs().max() < 1e-3 * without.abs().max()


@torch.no_grad()
def test_the_start_bias_leaves_the_other_tokens_their_attention():
    """256 face tokens beside 81 others, all logits alike: 256 e^-8 / 81 of the attention."""
    layer = JoinedFaces()
    bias = torch.cat([torch.zeros(81), layer.bias.expand(256)])
    zeros = torch.zeros(1, 1, 337, 8)
    value = torch.cat([torch.zeros(81), torch.ones(256)])[:, None].expand(1, 1, 337, 8)
    share = attention(zeros[:, :, :1], zeros, value, bias=bias[None])[..., 0].item()
    odds = 256 / 81 * torch.tensor(-8.0).exp().item()
    assert share == pytest.approx(odds / (1 + odds), rel=1e-4)
    assert share < 1.1e-3


@torch.no_grad()
@pytest.mark.parametrize("kind", FACES)
def test_a_learned_face_is_seen_and_a_lacking_one_is_not(asked, kind):
    network, face = student(kind, learned=True), faces(kind)
    none = network(*asked, network.encode(told()))
    both = network(*asked, network.encode(told(face=face)))
    assert (both - none).abs().amax((1, 2, 3, 4)).min() > 1e-4
    found = torch.tensor([True, False])
    mixed = network(*asked, network.encode(told(face=face, face_found=found)))
    torch.testing.assert_close(mixed[0], both[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mixed[1], none[1], atol=1e-5, rtol=1e-4)
    # What stands where no face was found has no share at all, not even a small one.
    other = torch.where(found.view(2, *[1] * (face.ndim - 1)), face, 100 * face)
    assert torch.equal(mixed, network(*asked, network.encode(told(face=other, face_found=found))))


@torch.no_grad()
@pytest.mark.parametrize("kind", FACES)
def test_the_unconditional_branch_has_no_face(asked, kind):
    network = student(kind, learned=True)
    features = network.encode(told(face=faces(kind)))
    nothing = network.encode(UniAnimateConditions(), num_frames=2, size=(32, 32), batch=2)
    expected = network(*asked, nothing)
    assert torch.equal(network(*asked, features.dropped()), expected)
    dropped = features.drop(torch.tensor([True, True]))
    torch.testing.assert_close(network(*asked, dropped), expected, atol=1e-5, rtol=1e-4)
    half = network(*asked, features.drop(torch.tensor([False, True])))
    torch.testing.assert_close(half[0], network(*asked, features)[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(half[1], expected[1], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", FACES)
def test_batches_mix_features_with_and_without_faces(asked, kind):
    network = student(kind, learned=True)
    features = network.encode(told(face=faces(kind)))
    noisy, t = asked
    both = UniAnimateFeatures.cat([features, features.dropped()])
    first, second = network(noisy.repeat(2, 1, 1, 1, 1), t.repeat(2), both).chunk(2)
    torch.testing.assert_close(first, network(*asked, features), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(second, network(*asked, features.dropped()), atol=1e-5, rtol=1e-4)
    assert UniAnimateFeatures.cat([features.dropped()] * 2).face is None
    assert features.frames(0, 1).face is features.face
    detached = features.detach()
    assert detached.face is not None and not detached.face.requires_grad
    assert detached.face_found is features.face_found


@pytest.mark.parametrize("kind", FACES)
def test_new_layers_learn(asked, kind):
    """The output layer learns at once, what feeds it once that is no longer zero."""
    network = student(kind)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    new = {name: each for name, each in network.named_parameters() if "face" in name}
    before = {name: each.detach().clone() for name, each in new.items()}
    for _ in range(2):
        output = network(*asked, network.encode(told(face=faces(kind))))
        optimizer.zero_grad()
        output.square().mean().backward()
        grads = [each.grad for name, each in new.items() if "to_out" in name or kind == "joined"]
        assert all(grad is not None and grad.abs().max() > 0 for grad in grads)
        optimizer.step()
    assert all((new[name] != before[name]).any() for name in new)
    moved = network(*asked, network.encode(told(face=faces(kind))))
    assert (moved - network(*asked, network.encode(told()))).abs().max() > 1e-5


def test_checkpointed_gradients_are_the_same(asked):
    grads = []
    for checkpointing in (False, True):
        network = student("joined", learned=True)
        if checkpointing:
            network.enable_gradient_checkpointing()
        network(*asked, network.encode(told(face=faces("joined")))).square().mean().backward()
        grads.append([each.grad for each in network.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_patches_are_squares_row_by_row():
    latents = torch.arange(32.0).view(1, 2, 4, 4)
    tokens = patches(latents, 2)
    assert tokens.shape == (1, 4, 8)
    assert tokens[0, 1].tolist() == [2, 3, 6, 7, 18, 19, 22, 23]
    assert tokens[0, 2].tolist() == [8, 9, 12, 13, 24, 25, 28, 29]


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_bias_acts_alike_in_both_kinds_of_attention(dtype):
    query, key, value = (torch.randn(2, 3, 5, 8) for _ in range(3))
    bias = torch.randn(2, 1, 1, 5).masked_fill(torch.rand(2, 1, 1, 5) < 0.3, -torch.inf)
    bias[..., 0] = 0.0
    logits = query @ key.transpose(-1, -2) / 8**0.5 + bias
    expected = logits.softmax(-1) @ value
    typed = [part.to(dtype) for part in (query, key, value)]
    tolerance = 1e-5 if dtype == torch.float32 else 5e-2
    found = attention(*typed, bias=bias).float()
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)
    with torch.enable_grad():
        again = attention(*typed, bias=bias).float()
    torch.testing.assert_close(again, expected, atol=tolerance, rtol=tolerance)
    attend = Attention(8, heads=2, head_dim=4)
    x = torch.randn(1, 3, 8)
    assert torch.equal(attend(x), answer_of(attend, query_of(attend, x), x))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiple of face_patch=3: got 4"):
        UniAnimateUNet(**{**SHAPE, **FACES["decoupled"], "face_patch": 3})
    with pytest.raises(ValueError, match="face_feature must be one of vae, clip: got 'dino'"):
        UniAnimateUNet(**SHAPE, face_feature="dino")
    with pytest.raises(ValueError, match="face_inject must be one of decoupled, joined"):
        UniAnimateUNet(**{**SHAPE, **FACES["decoupled"], "face_inject": "added"})
    with pytest.raises(ValueError, match=r"face must have the shape \(4, 4, 4\).*got \(4, 8, 8\)"):
        student("decoupled").encode(told(face=torch.zeros(2, 4, 8, 8)))
