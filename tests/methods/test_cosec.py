"""What several references of one source add to consistency (CoSeC, Eq. 4 to 8)."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from quickstep.data.batches import OF_REFERENCE
from quickstep.losses.contrastive import sample_distance, target_aggregation
from quickstep.losses.temporal import temporal_aggregation
from quickstep.methods.consistency import Consistency, ConsistencyConfig
from quickstep.methods.cosec import CoSeCConfig, Sources, regularisation, sources_of
from quickstep.networks.unianimate import UniAnimateConditions
from quickstep.teachers.protocol import Denoiser
from quickstep.teachers.unianimate import unianimate_conditions

GROUPS, MEMBERS = 4, 2
PAPER = CoSeCConfig(eta_weight=0.1, cons_weight=0.02)


class Told(torch.Tensor):
    """References as numbers, as conditions that can be swapped."""

    def swapped(self, clips, references):
        return self[references]


@pytest.fixture
def build(gain_pair, schedule):
    def build(student=None, *, cosec=CoSeCConfig(), **settings) -> Consistency:  # noqa: B008
        return Consistency(
            student or copy.deepcopy(gain_pair[1]),
            Denoiser(copy.deepcopy(gain_pair[0]), schedule, "clean"),
            ConsistencyConfig(cosec=cosec, num_segments=1, **settings),
            conditions=lambda batch: batch["reference"].as_subclass(Told),
        )

    return build


@pytest.fixture
def grouped_batch(generator):
    """Four clips told with two references each: a reference is a number that shifts the answer."""
    latents = torch.randn(GROUPS, 3, 1, 2, 2, generator=generator)
    return {
        "latents": latents.repeat_interleave(MEMBERS, dim=0),
        "reference": 0.1 * torch.randn(GROUPS * MEMBERS, generator=generator),
        "group": torch.arange(GROUPS).repeat_interleave(MEMBERS),
    }


def loss_of(method, batch):
    return method.loss(batch, generator=torch.Generator().manual_seed(5), progress=1.0)


def draw(method, batch):
    return method.draw(batch, generator=torch.Generator().manual_seed(5), progress=1.0)


def test_members_share_noise_and_time_and_pairs_of_sources_the_time(build, grouped_batch):
    step = draw(build(cosec=PAPER), grouped_batch)
    assert torch.equal(step.noisy[0::2], step.noisy[1::2])
    assert not torch.equal(step.noisy[0], step.noisy[2])
    assert step.pair.t_from.view(2, 4).unique(dim=1).shape == (2, 1)
    apart = replace(PAPER, cons_same_time=False)
    times = draw(build(cosec=apart), grouped_batch).pair.t_from.view(GROUPS, MEMBERS)
    assert (times == times[:, :1]).all()
    assert len(times[:, 0].unique()) > 2


def test_what_is_off_changes_nothing(build, gain_batch):
    """Plain batches see what they saw before there were groups, bit for bit."""
    batch = {**gain_batch, "reference": gain_batch["shift"]}
    alone = {**batch, "group": torch.arange(64)}
    assert torch.equal(loss_of(build(), batch).value, loss_of(build(), alone).value)
    assert "same_source" not in loss_of(build(), alone).parts


def test_eq_5_by_its_parts(build, grouped_batch):
    """L_1 = L_CD + phi_1 ETA - phi_2 CoNS, on the student's clean estimates."""
    plain, found = (
        loss_of(build(cosec=each), grouped_batch)
        for each in (replace(PAPER, eta_weight=0.0, cons_weight=1e-12), PAPER)
    )
    method = build(cosec=PAPER)
    estimates = method.student_estimates(draw(method, grouped_batch)).clean
    together = target_aggregation(estimates.unflatten(0, (GROUPS, MEMBERS))).mean()
    apart = sample_distance(estimates[[0, 4]], estimates[[2, 6]]).mean()
    torch.testing.assert_close(found.value, plain.value + 0.1 * together - 0.02 * apart)
    torch.testing.assert_close(found.parts["same_source"], together.detach())
    torch.testing.assert_close(found.parts["cross_source"], apart.detach())
    ratio = found.parts["source_ratio"]
    torch.testing.assert_close(ratio, (together / apart).detach())
    assert found.parts["distance"] == plain.parts["distance"]


def test_eq_8_by_its_parts(build, grouped_batch):
    """L_2 = L_CD + lambda R_tmp, without CoNS."""
    config = CoSeCConfig(temporal_weight=0.05)
    plain, found = loss_of(build(), grouped_batch), loss_of(build(cosec=config), grouped_batch)
    method = build(cosec=config)
    estimates = method.student_estimates(draw(method, grouped_batch)).clean
    temporal = temporal_aggregation(estimates.unflatten(0, (GROUPS, MEMBERS))).mean()
    assert temporal > 0
    torch.testing.assert_close(found.value, plain.value + 0.05 * temporal)
    torch.testing.assert_close(found.parts["temporal"], temporal.detach())


@pytest.mark.parametrize(
    "cosec",
    [
        CoSeCConfig(eta_weight=1e3),
        CoSeCConfig(cons_weight=1e3),
        CoSeCConfig(cons_weight=1e3, cons="swap"),
        CoSeCConfig(temporal_weight=1e3),
    ],
    ids=["eta", "cons", "swap", "temporal"],
)
def test_the_gradient_reaches_the_student_alone(build, grouped_batch, cosec):
    method, plain = build(cosec=cosec), build()
    for each in (method, plain):
        loss_of(each, grouped_batch).value.backward()
        for frozen in (each.teacher.network, each.target):
            assert all(parameter.grad is None for parameter in frozen.parameters())
    assert not torch.allclose(method.trainable.gain.grad, plain.trainable.gain.grad)


def test_25_other_noise_keeps_an_exact_student_apart(gain_network, schedule, generator):
    """Invariant 25: why members share noise. The answers to two noises differ, to one do not."""
    student = Denoiser(gain_network, schedule, "clean")
    clean, told = torch.randn(1, 3, 1, 2, 2, generator=generator), gain_network.encode
    noise = torch.randn(2, 3, 1, 2, 2, generator=generator)
    t = torch.full((2,), 500)

    def spread(noise):
        noisy = schedule.add_noise(clean.expand(2, -1, -1, -1, -1), noise, t)
        estimates = student.clean(noisy, t, told(torch.zeros(2)))
        return target_aggregation(estimates[None]).item()

    assert spread(noise) > 0.05
    assert spread(noise[:1].expand_as(noise)) == 0


def test_equal_references_leave_plain_consistency(build, grouped_batch):
    """Invariant 23 through the method: told the same, a student agrees with itself."""
    told = grouped_batch["reference"][::MEMBERS].repeat_interleave(MEMBERS)
    batch = {**grouped_batch, "reference": told}
    weights = CoSeCConfig(eta_weight=0.1, temporal_weight=0.05)
    assert loss_of(build(cosec=weights), batch).parts["same_source"] == 0
    plain = loss_of(build(), batch).value
    torch.testing.assert_close(loss_of(build(cosec=weights), batch).value, plain)


def test_swapped_references_are_told_with_the_own_state(build, grouped_batch):
    """The gain network adds its reference to its answer: D is the distance of the shifts."""
    config = CoSeCConfig(cons_weight=0.02, cons="swap")
    method = build(cosec=config)
    found = loss_of(method, grouped_batch)
    first = grouped_batch["reference"][::MEMBERS]
    gaps = (first - first[[1, 0, 3, 2]]).abs()
    torch.testing.assert_close(found.parts["cross_source"], gaps.mean(), rtol=1e-2, atol=1e-3)


def test_the_hinge_stops_at_the_real_distance(build, grouped_batch):
    """Invariant 24 through the method: never further apart than the truth of both sources."""
    near = {**grouped_batch, "latents": grouped_batch["latents"][:1].expand(8, -1, -1, -1, -1)}
    weights = replace(PAPER, cons_hinge=True, eta_weight=0.0)
    plain = replace(weights, cons_weight=1e-12)
    # Equal truths: the margin is 0, so that the term is, too.
    assert loss_of(build(cosec=weights), near).value == loss_of(build(cosec=plain), near).value
    far = loss_of(build(cosec=weights), grouped_batch).value
    assert far > loss_of(build(cosec=plain), grouped_batch).value, "a hinge only adds"


def test_the_hinge_of_swapped_references_is_the_real_distance_too(build, grouped_batch):
    """By hand: m - D of each state told with both references, the truths' distance for m."""
    config = CoSeCConfig(cons_weight=1.0, cons="swap", cons_hinge=True)
    found = loss_of(build(cosec=config), grouped_batch)
    off = loss_of(build(cosec=replace(config, cons_weight=1e-12)), grouped_batch)
    real = grouped_batch["latents"][::MEMBERS]
    first = grouped_batch["reference"][::MEMBERS]
    margin = sample_distance(real, real[[1, 0, 3, 2]])
    gaps = (first - first[[1, 0, 3, 2]]).abs()
    expected = (margin - gaps).clamp(min=0).mean()
    assert expected > 0.1
    torch.testing.assert_close(found.value - off.value, expected, rtol=1e-2, atol=2e-3)


def test_the_untold_branch_answers_once_for_all_references(build, grouped_batch, count_rows):
    """Invariant 26: 2 x student and target, teacher with and half without; swap one more."""
    for cosec, student_rows in ((PAPER, [8]), (replace(PAPER, cons="swap"), [8, 4])):
        method = build(cosec=cosec, skip_target=False)
        seen = {
            name: count_rows(network)
            for name, network in {
                "student": method.trainable,
                "teacher": method.teacher.network,
                "target": method.target,
            }.items()
        }
        loss = loss_of(method, grouped_batch)
        assert seen == {"student": student_rows, "teacher": [12], "target": [8]}
        expected = method.config.cost(references=MEMBERS)
        assert method.ledger.mean == expected
        assert loss.parts["evaluations"] == expected.total
    assert ConsistencyConfig(cosec=PAPER, skip_target=False).cost(references=2).total == 5.5


def test_sharing_the_untold_branch_changes_no_target(network, clip_batch, schedule, generator):
    """On the real network: the same numbers as with both branches for every clip."""
    other = {name: value[[0, 0, 1, 1]] for name, value in clip_batch.items()}
    for name in ("reference", "image"):
        other[name] = torch.randn(other[name].shape, generator=generator)
    denoiser = Denoiser(network.eval(), schedule)
    noisy = torch.randn(2, 3, 4, 4, 4, generator=generator).repeat_interleave(2, dim=0)
    t = torch.tensor([300, 300, 700, 700])
    with torch.no_grad():
        features = denoiser.encode(unianimate_conditions(other))
        whole, shared = (
            denoiser.guided(noisy, t, features, guidance=2.5, members=members) for members in (1, 2)
        )
    torch.testing.assert_close(shared, whole, rtol=1e-4, atol=1e-5)


def test_swapped_clips_of_unianimate_keep_their_pose_alone(clip_batch):
    batch = clip_batch | {"face": torch.rand(2, 1, 12), "face_found": torch.tensor([True, False])}
    batch["picture"] = clip_batch["reference_pose"].flip(0)
    clips, references = torch.tensor([0, 1]), torch.tensor([1, 0])
    told = batch | {name: batch[name][references] for name in OF_REFERENCE}
    whole, by_hand = (
        unianimate_conditions(each, reference_everywhere=True) for each in (batch, told)
    )
    swapped = whole.swapped(clips, references)
    for name, value in vars(by_hand).items():
        assert torch.equal(getattr(swapped, name), value), name
    plain = UniAnimateConditions(image=batch["image"]).swapped(clips, references)
    assert plain.pose is None and plain.image is not None


def test_a_frozen_part_gets_no_gradient_and_is_not_copied(build, grouped_batch, schedule):
    """Only what learns has a slow copy; the rest is one set of weights for all."""

    class Framed(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network
            self.frame = nn.Linear(1, 1).requires_grad_(False)

        def encode(self, conditions):
            return self.network.encode(conditions + 0 * self.frame.weight.sum())

        def forward(self, noisy, t, features):
            return self.network(noisy, t, features)

    student = Framed(build().trainable)
    method = build(student, cosec=PAPER)
    assert method.target.frame.weight is student.frame.weight
    assert method.target.network.gain is not student.network.gain
    before = student.frame.weight.clone()
    loss_of(method, grouped_batch).value.backward()
    method.after_step()
    assert student.frame.weight.grad is None and torch.equal(student.frame.weight, before)
    assert student.network.gain.grad is not None


def test_28_a_loss_is_a_pure_function_of_weights_batch_and_seed(build, grouped_batch):
    method = build(cosec=replace(PAPER, temporal_weight=0.05))
    assert torch.equal(loss_of(method, grouped_batch).value, loss_of(method, grouped_batch).value)


def test_one_frame_clips_are_spatial(build, grouped_batch):
    frames = {**grouped_batch, "latents": grouped_batch["latents"][:, :1]}
    found = loss_of(build(cosec=PAPER), frames)
    assert found.value.isfinite() and found.parts["same_source"] > 0


@pytest.mark.parametrize(
    ("changes", "config", "message"),
    [
        ({"group": None}, CoSeCConfig(eta_weight=0.1), "eta_weight=0.1 needs clips with several"),
        ({"group": None}, CoSeCConfig(temporal_weight=0.1), "temporal_weight=0.1 needs clips"),
        ({"group": [0] * 8}, CoSeCConfig(cons_weight=0.1), "needs two sources in a batch"),
        ({"group": [0, 0, 0, 1, 1, 2, 2, 2]}, CoSeCConfig(), "groups of one size"),
        ({"group": [0, 1, 0, 1, 2, 3, 2, 3]}, CoSeCConfig(), "groups of one size"),
    ],
)
def test_batches_without_what_is_weighed_are_one_clear_line(
    build, grouped_batch, changes, config, message
):
    group = changes["group"]
    batch = {name: value for name, value in grouped_batch.items() if name != "group"}
    if group is not None:
        batch["group"] = torch.tensor(group)
    with pytest.raises(ValueError, match=message) as info:
        loss_of(build(cosec=config), batch)
    assert "\n" not in str(info.value)


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="cosec.cons_weight must not be negative: got -0.1"):
        CoSeCConfig(cons_weight=-0.1)


@pytest.mark.parametrize(
    "settings",
    [
        {"cons": "swap", "eta_weight": 0.1},
        {"cons_hinge": True, "temporal_weight": 0.05},
        {"cons_same_time": False},
        {"cons_same_time": False, "cons": "swap", "cons_weight": 0.02},
        {"center": "time", "cons_weight": 0.02},
    ],
)
def test_what_a_term_without_weight_has_is_refused(settings):
    name = next(iter(settings))
    with pytest.raises(ValueError, match=rf"cosec\.{name} has no effect without cosec\.\w+_weight"):
        CoSeCConfig(**settings)


def test_an_odd_group_is_held_apart_from_none():
    sources = Sources(groups=3, members=2)
    assert sources.partners.tolist() == [1, 0]
    assert PAPER.times(sources).tolist() == [0, 0, 1]
    latents = torch.arange(6.0).view(6, 1, 1, 1, 1)
    _, parts = regularisation(latents, latents, sources, config=PAPER)
    assert parts["cross_source"].item() == pytest.approx(2.0, abs=2e-3)
    assert sources_of({"latents": latents}) == Sources(6, 1)
