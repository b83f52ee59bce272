"""Invariant 10 and the pairs of times: every grid time has one segment, every pair its place."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from quickstep.diffusion.schedule import CLEAN
from quickstep.diffusion.segments import Grid, Segments, draw_pair, possible_pairs


@st.composite
def any_segments(draw):
    skip = draw(st.sampled_from([1, 4, 5, 20, 25, 40, 250]))
    grid = Grid(skip=skip)
    anchor = draw(st.sampled_from(["clean", "first"]))
    most = grid.num_points - (anchor == "first" and skip == 1)
    return Segments(count=draw(st.integers(1, min(most, 60))), grid=grid, anchor=anchor)


@pytest.mark.parametrize(
    ("count", "edges"),
    [(1, [-1, 999]), (2, [-1, 499, 999]), (4, [-1, 239, 499, 739, 999])],
)
def test_10_edges_lie_on_the_trained_grid(count, edges):
    """Invariant 10: not 249 or 749, which a grid of skip 20 does not have."""
    assert Segments(count=count).edges.tolist() == edges
    assert Segments(count=count, anchor="first").edges.tolist() == [0, *edges[1:]]


@given(any_segments())
@settings(max_examples=25, deadline=None)
def test_10_segments_cover_the_grid_once(segments):
    """Invariant 10: half-open pieces, a time on an edge belongs to the piece below."""
    starts, edges = segments.start_times, segments.edges
    inside = (starts[:, None] > edges[:-1]) & (starts[:, None] <= edges[1:])
    assert (inside.sum(1) == 1).all() and inside.any(0).all()
    assert torch.equal(segments.segment_of(starts), inside.int().argmax(1))
    assert torch.equal(segments.edge_below(edges[1:]), edges[:-1])
    assert torch.equal(segments.edge_above(edges[1:]), edges[1:])
    assert (segments.edge_above(starts) >= starts).all()
    assert segments.edge_below(edges[:1]).item() == edges[0]


def test_grid_below_and_contains():
    grid = Grid(skip=20)
    t = torch.tensor([CLEAN, 0, 18, 19, 20, 39, 40, 999])
    assert grid.below(t).tolist() == [-1, -1, -1, -1, 19, 19, 39, 979]
    assert grid.contains(t).tolist() == [False, False, False, True, False, True, False, True]


@given(any_segments(), st.sampled_from(["skip", "uniform", "anneal", "multistep"]), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_pairs_stay_inside_their_segment(segments, policy, progress):
    generator = torch.Generator().manual_seed(0)
    pair = draw_pair(segments, batch=64, generator=generator, policy=policy, progress=progress)
    assert (pair.edge <= pair.t_to).all() and (pair.t_to < pair.t_from).all()
    assert torch.equal(pair.edge, segments.edge_below(pair.t_from))
    known = torch.cat([segments.grid.points, segments.edges[:1]])
    assert torch.isin(pair.t_from, segments.grid.points).all()
    assert torch.isin(pair.t_to, known).all()


@pytest.mark.parametrize("policy", ["skip", "uniform", "anneal", "multistep"])
@pytest.mark.parametrize("anchor", ["clean", "first"])
def test_draws_follow_the_listed_probabilities(policy, anchor, generator):
    """Starts are uniform over the grid, so segments are met in proportion to their length."""
    segments = Segments(count=3, grid=Grid(skip=100), anchor=anchor)
    pairs, chance = possible_pairs(segments, policy=policy, progress=0.1)
    assert chance.sum().item() == pytest.approx(1, abs=1e-12)
    drawn = draw_pair(segments, batch=40_000, generator=generator, policy=policy, progress=0.1)
    keys, counts = (drawn.t_from * 1000 + drawn.t_to).unique(return_counts=True)
    assert torch.equal(keys, (pairs.t_from * 1000 + pairs.t_to).sort().values)
    expected = chance[(pairs.t_from * 1000 + pairs.t_to).argsort()] * 40_000
    assert ((counts - expected).abs() < 5 * expected.sqrt()).all()


def test_skip_goes_one_grid_step_and_stops_at_the_edge():
    pairs, _ = possible_pairs(Segments(count=2))
    assert torch.equal(pairs.t_from - pairs.t_to, torch.full((50,), 20))
    first = possible_pairs(Segments(count=2, anchor="first"))[0]
    assert (first.t_from[0], first.t_to[0], first.edge[0]) == (19, 0, 0)
    assert (pairs.t_from[0], pairs.t_to[0], pairs.edge[0]) == (19, CLEAN, CLEAN)


def test_uniform_reaches_every_time_down_to_the_edge_alike():
    pairs, chance = possible_pairs(
        Segments(count=1, grid=Grid(skip=1), anchor="first"), policy="uniform"
    )
    assert pairs.t_from.numel() == 999 * 1000 // 2
    of_five = pairs.t_from == 5
    assert pairs.t_to[of_five].sort().values.tolist() == [0, 1, 2, 3, 4]
    assert chance[of_five].unique().numel() == 1


def test_anneal_shrinks_from_the_segment_to_one_skip():
    segments = Segments(count=2)
    sizes = []
    for progress in (0.0, 0.1, 0.2, 0.3, 1.0):
        pairs, _ = possible_pairs(segments, policy="anneal", progress=progress)
        sizes.append((pairs.t_from - pairs.t_to).max().item())
    # 25 grid steps, then 25^(2/3) = 8.5 and 25^(1/3) = 2.9 rounded, then one.
    assert sizes == [500, 180, 60, 20, 20]
    start, _ = possible_pairs(segments, policy="anneal", progress=0.0)
    assert torch.equal(start.t_to, start.edge)


def test_multistep_cuts_every_segment_into_more_and_more_pieces():
    """Multistep CM: from a twentieth of the grid steps to all of them over half the training."""
    segments = Segments(count=4, grid=Grid(skip=1))
    counts = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        pairs, chance = possible_pairs(segments, policy="multistep", progress=progress)
        counts.append(len(chance) // 4)
        top = pairs.t_from > 749
        # The pieces of a segment follow each other from its edge to its top.
        assert torch.equal(pairs.t_from[top][:-1], pairs.t_to[top][1:])
        assert (pairs.t_to[top][0], pairs.t_from[top][-1]) == (749, 999)
        assert chance.unique().numel() == 1
    # 250 / 20 = 12.5 rounds to even; then 250 / sqrt(20) = 55.9.
    assert counts == [12, 56, 250, 250]


def test_multistep_pieces_of_one_grid_step_are_skip_pairs():
    segments = Segments(count=2)
    pieces, _ = possible_pairs(segments, policy="multistep", progress=1.0)
    skips, _ = possible_pairs(segments)
    assert all(torch.equal(a, b) for a, b in zip(pieces, skips, strict=True))


def test_same_seed_same_pairs():
    first, second = (
        draw_pair(
            Segments(count=2),
            batch=8,
            generator=torch.Generator().manual_seed(3),
            policy="uniform",
        )
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(t.dtype == torch.int64 for t in first)


def test_settings_that_do_not_fit_are_named(generator):
    with pytest.raises(ValueError, match="1000.*skip=30"):
        Grid(skip=30)
    with pytest.raises(ValueError, match="50 points: got count=80"):
        Segments(count=80)
    with pytest.raises(ValueError, match="count=0"):
        Segments(count=0)
    with pytest.raises(ValueError, match="'first' leaves the lowest segment empty"):
        Segments(count=1000, grid=Grid(skip=1), anchor="first")
    with pytest.raises(ValueError, match="progress.*1.5"):
        draw_pair(Segments(), batch=1, generator=generator, policy="anneal", progress=1.5)
