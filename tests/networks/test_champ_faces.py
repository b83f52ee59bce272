"""What a Champ student has beside its teacher: face tokens (invariant 22) and the told edge."""

from typing import Any

import pytest
import torch
from torch import nn

from quickstep.networks.champ import ChampConditions, ChampFeatures, ChampNetwork, DenoisingUNet
from quickstep.networks.extension import added_parts, extended

FACES: dict[str, dict[str, Any]] = {
    "decoupled": dict(face_feature="vae", face_cells=4, face_patch=2),
    "joined": dict(face_feature="vae", face_cells=4, face_patch=2, face_inject="joined"),
    "clip": dict(face_feature="clip"),
}


@pytest.fixture(scope="module")
def teacher(small_champ) -> ChampNetwork:
    return small_champ()


@pytest.fixture
def student(teacher):
    """The teacher with a denoiser of more parts, fresh or as training could have left them."""

    def student(*, learned: bool = False, **parts: Any) -> ChampNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            denoiser = extended(teacher.denoiser, **parts)
            if learned:
                for name in added_parts(teacher.denoiser, denoiser):
                    nn.init.normal_(denoiser.get_parameter(name), std=0.5)
        return ChampNetwork(denoiser, teacher.reference_unet, teacher.pose_encoders).eval()

    return student


@pytest.fixture(scope="module")
def asked():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, 3, 4, 4, 4, generator=generator), torch.tensor([17, 803])


def face_of(kind: str) -> torch.Tensor:
    shape = (2, 1, 16) if kind == "clip" else (2, 4, 4, 4)
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def told(**face: Any) -> ChampConditions:
    generator = torch.Generator().manual_seed(4)
    return ChampConditions(
        image=torch.randn(2, 1, 16, generator=generator),
        reference=torch.randn(2, 4, 4, 4, generator=generator),
        pose_maps=torch.rand(2, 3, 4, 3, 32, 32, generator=generator),
        **face,
    )


@torch.no_grad()
@pytest.mark.parametrize("kind", ["decoupled", "clip"])
def test_22_fresh_decoupled_faces_change_not_a_bit(teacher, student, asked, kind):
    network = student(**FACES[kind])
    with_face = network(*asked, network.encode(told(face=face_of(kind))))
    assert torch.equal(with_face, network(*asked, network.encode(told())))
    assert torch.equal(with_face, teacher(*asked, teacher.encode(told(face=face_of(kind)))))


@torch.no_grad()
def test_fresh_joined_faces_change_next_to_nothing(teacher, student, asked):
    network = student(**FACES["joined"])
    with_face = network(*asked, network.encode(told(face=face_of("joined"))))
    without = teacher(*asked, teacher.encode(told()))
    # One image token beside four of the face: they draw 4 e^-8 = 0.13 % of the attention.
    assert 0 < (with_face - without).abs().max() < 5e-3 * without.abs().max()


@torch.no_grad()
@pytest.mark.parametrize("kind", FACES)
def test_a_learned_face_is_seen_and_a_lacking_one_is_not(student, asked, kind):
    network, face = student(**FACES[kind], learned=True), face_of(kind)
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
def test_features_with_faces_are_dropped_picked_and_joined(student, asked, kind):
    network = student(**FACES[kind], learned=True)
    noisy, t = asked
    features = network.encode(told(face=face_of(kind)))
    seen = network(*asked, features)
    bare = network(*asked, network.encode(told()).dropped())
    assert torch.equal(network(*asked, features.dropped()), bare)
    half = network(*asked, features.drop(torch.tensor([False, True])))
    torch.testing.assert_close(half[0], seen[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(half[1], bare[1], atol=1e-5, rtol=1e-4)
    both = ChampFeatures.cat([features, features.dropped()])
    first, second = network(noisy.repeat(2, 1, 1, 1, 1), t.repeat(2), both).chunk(2)
    torch.testing.assert_close(first, seen, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(second, bare, atol=1e-5, rtol=1e-4)
    swapped = features.rows(torch.tensor([1, 0]))
    torch.testing.assert_close(network(noisy.flip(0), t.flip(0), swapped).flip(0), seen)


@torch.no_grad()
def test_each_denoiser_makes_its_own_tokens_of_a_shared_face(teacher, student, asked):
    """The teacher's encoding holds the face as it was given, which its denoiser has no use for."""
    shared = teacher.encode(told(face=face_of("decoupled")))
    assert shared.face is not None and shared.face_tokens is None
    network = student(**FACES["decoupled"], learned=True)
    features = network.denoiser.encode(shared)
    assert features.bank is shared.bank and features.pose is shared.pose
    own = network(*asked, network.encode(told(face=face_of("decoupled"))))
    torch.testing.assert_close(network(*asked, features), own)
    # Tokens of another denoiser are made anew.
    again = student(**FACES["decoupled"]).denoiser.encode(features)
    assert not torch.equal(again.face_tokens.values, features.face_tokens.values)
    assert torch.equal(teacher(*asked, features), teacher(*asked, shared))


@pytest.mark.parametrize("kind", FACES)
def test_new_layers_learn_and_checkpointing_changes_no_gradient(student, asked, kind):
    grads = []
    for checkpointing in (False, True):
        network = student(**FACES[kind], told_edge=True, learned=True)
        network.denoiser.requires_grad_(True)
        if checkpointing:
            network.enable_gradient_checkpointing()
        features = network.encode(told(face=face_of(kind)))
        features = network.tell_edge(features, torch.tensor([-1, 499]))
        network(*asked, features).square().mean().backward()
        new = {
            name: weight.grad.clone()
            for name, weight in network.denoiser.named_parameters()
            if ("face" in name or "edge_embed" in name) and weight.grad is not None
        }
        assert len(new) == sum(
            "face" in n or "edge" in n for n, _ in network.denoiser.named_parameters()
        )
        idle = {name for name, grad in new.items() if not grad.any()}
        # One token of a face draws all attention whatever is asked of it.
        assert all(kind == "clip" and ".to_k." in name for name in idle), idle
        grads.append(new)
        network.denoiser.requires_grad_(False).zero_grad()
    for name, plain in grads[0].items():
        torch.testing.assert_close(grads[1][name], plain)


@torch.no_grad()
def test_a_fresh_told_network_answers_as_its_teacher(teacher, student, asked):
    network, plain = student(told_edge=True), teacher(*asked, teacher.encode(told()))
    features = network.encode(told())
    edges = [torch.tensor([-1, -1]), torch.tensor([-1, 499])]
    for edge in edges:
        assert torch.equal(network(*asked, network.tell_edge(features, edge)), plain)
    learned = student(told_edge=True, learned=True)
    low, high = (learned(*asked, learned.tell_edge(features, edge)) for edge in edges)
    torch.testing.assert_close(low[0], high[0])
    assert not torch.allclose(low[1], high[1], atol=1e-4)
    both = ChampFeatures.cat([learned.tell_edge(features, edges[1])] * 2)
    assert both.edge is not None and both.edge.tolist() == [-1, 499, -1, 499]
    told_one = learned.tell_edge(features, edges[1])
    assert told_one.dropped().edge is told_one.edge, "where to land is no condition of the clip"
    with pytest.raises(ValueError, match="cannot be told an edge"):
        teacher.tell_edge(features, edges[0])


@torch.no_grad()
@pytest.mark.parametrize("kind", FACES)
def test_new_parts_are_saved_and_read_as_diffusers_does(student, asked, kind, tmp_path):
    network = student(**FACES[kind], told_edge=True, learned=True)
    network.denoiser.save_pretrained(tmp_path, safe_serialization=True)
    again = DenoisingUNet.from_pretrained(tmp_path, use_safetensors=True)
    read = ChampNetwork(again, network.reference_unet, network.pose_encoders).eval()
    answers = [
        each(*asked, each.tell_edge(each.encode(told(face=face_of(kind))), torch.tensor([499, -1])))
        for each in (network, read)
    ]
    torch.testing.assert_close(*answers)


def test_extending_shares_all_weights_there_are(teacher):
    larger = extended(teacher.denoiser, told_edge=True, **FACES["decoupled"])
    shared = dict(larger.named_parameters())
    assert all(shared[name] is each for name, each in teacher.denoiser.named_parameters())
    assert extended(teacher.denoiser, told_edge=False) is teacher.denoiser
    with pytest.raises(ValueError, match="take parts away"):
        extended(larger, told_edge=False)


def test_what_does_not_fit_is_refused(teacher, student):
    with pytest.raises(ValueError, match="multiple of face_patch=3: got 4"):
        student(**{**FACES["decoupled"], "face_patch": 3})
    with pytest.raises(ValueError, match="face_feature must be one of vae, clip: got 'dino'"):
        student(face_feature="dino")
    with pytest.raises(ValueError, match="face_inject must be one of decoupled, joined"):
        student(**{**FACES["decoupled"], "face_inject": "added"})
    with pytest.raises(ValueError, match=r"face must have the shape \(4, 4, 4\).*got \(4, 8, 8\)"):
        student(**FACES["decoupled"]).encode(told(face=torch.zeros(2, 4, 8, 8)))
    with pytest.raises(ValueError, match="each of 2 clips must have its own face: got 3"):
        teacher.encode(told(face=torch.zeros(3, 4, 4, 4)))
