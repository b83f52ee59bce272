"""Landings other than the segment's own edge: what is drawn, and what may be mixed."""

import pytest
import torch

from quickstep.diffusion.consistency import consistency_target
from quickstep.diffusion.edges import draw_edge, possible_edges
from quickstep.diffusion.segments import Grid, Segments, draw_pair, possible_pairs
from quickstep.diffusion.solver import ddim_step

POLICIES = ["segment", "lower", "any"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("anchor", ["clean", "first"])
def test_draws_follow_the_listed_probabilities(policy, anchor, generator):
    segments = Segments(count=3, grid=Grid(skip=100), anchor=anchor)
    listed, chance = possible_edges(*possible_pairs(segments), segments, policy=policy)
    assert chance.sum().item() == pytest.approx(1, abs=1e-12)
    pair = draw_pair(segments, batch=40_000, generator=generator)
    drawn = draw_edge(pair, segments, generator=generator, policy=policy)
    assert torch.equal(drawn.t_from, pair.t_from) and torch.equal(drawn.t_to, pair.t_to)
    keys, counts = (drawn.t_from * 2000 + drawn.edge).unique(return_counts=True)
    known = listed.t_from * 2000 + listed.edge
    assert torch.equal(keys, known.sort().values)
    expected = chance[known.argsort()] * 40_000
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()


def test_any_reaches_from_the_teachers_landing_to_the_end():
    segments = Segments(count=1, grid=Grid(skip=100))
    listed, _ = possible_edges(*possible_pairs(segments), segments, policy="any")
    assert listed.edge[listed.t_from == 399].tolist() == [299, 199, 99, -1]


def test_lower_leaves_a_fifth_to_the_segments_below():
    segments = Segments(count=4)
    listed, chance = possible_edges(*possible_pairs(segments), segments, policy="lower")
    of_top = listed.t_from == 999
    assert listed.edge[of_top].tolist() == [-1, 239, 499, 739]
    assert (chance[of_top] * 50).tolist() == pytest.approx([0.2 / 3] * 3 + [0.8])
    assert listed.edge[listed.t_from == 19].tolist() == [-1] * 1


@pytest.mark.parametrize("policy", ["lower", "any"])
def test_4_mixing_holds_for_any_landing(schedule, generator, policy):
    """Invariant 4 again: a jump with the mixture lands where both steps land."""
    segments = Segments(count=4, grid=Grid(skip=50))
    (t_from, t_to, edge), _ = possible_edges(
        *possible_pairs(segments, policy="uniform"), segments, policy=policy
    )
    noisy, teacher, target = torch.randn(
        3, len(t_from), 1, generator=generator, dtype=torch.float64
    )
    halfway = ddim_step(teacher, noisy, t_from=t_from, t_to=t_to, schedule=schedule)
    expected = ddim_step(target, halfway, t_from=t_to, t_to=edge, schedule=schedule)
    mixed = consistency_target(
        teacher, target, t_from=t_from, t_to=t_to, edge=edge, schedule=schedule
    )
    landed = ddim_step(mixed, noisy, t_from=t_from, t_to=edge, schedule=schedule)
    torch.testing.assert_close(landed, expected, rtol=0, atol=1e-12)


def test_what_cannot_be_meant_is_refused(generator):
    segments = Segments(count=2)
    pair = draw_pair(segments, batch=2, generator=generator)
    with pytest.raises(ValueError, match="lower_share.*1.5"):
        draw_edge(pair, segments, generator=generator, policy="lower", lower_share=1.5)
