"""ETA and CoNS against hand values, and what must hold of them (invariants 23 and 24)."""

import pytest
import torch

from quickstep.losses.contrastive import negative_sampling, sample_distance, target_aggregation
from quickstep.losses.distance import pseudo_huber


def test_eta_by_hand():
    """3-4-5 and 5-12-13 triangles: pairs 0-4, 0-12 and 4-12 at c = 3 and c = 5."""
    values = torch.tensor([[[0.0], [4.0]]])
    assert target_aggregation(values, scale=3.0).tolist() == [2.0]
    three = torch.tensor([[[0.0, 0.0], [12.0, 0.0], [0.0, 0.0]]])
    # Pairs (0, 1), (0, 2), (1, 2): 8/2, 0, 8/2, the mean over two elements each.
    assert target_aggregation(three, scale=5.0).tolist() == pytest.approx([8 / 3])


def test_23_equal_members_cost_nothing_and_order_does_not_matter(generator):
    estimates = torch.randn(3, 4, 2, 5, generator=generator)
    equal = estimates[:, :1].expand(-1, 4, -1, -1)
    assert (target_aggregation(equal) == 0).all()
    found = target_aggregation(estimates)
    assert (found > 0).all()
    for order in ([3, 2, 1, 0], [1, 0, 3, 2]):
        torch.testing.assert_close(target_aggregation(estimates[:, order]), found)


def test_eta_is_the_mean_over_pairs(generator):
    estimates = torch.randn(2, 3, 4, 5, generator=generator)
    pairs = [
        pseudo_huber(estimates[:, i], estimates[:, j]).mean(dim=(1, 2))
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    torch.testing.assert_close(target_aggregation(estimates), torch.stack(pairs).mean(dim=0))


def test_both_sides_of_a_pair_get_a_gradient():
    estimates = torch.tensor([[[0.0], [4.0]]], requires_grad=True)
    target_aggregation(estimates, scale=3.0).sum().backward()
    assert estimates.grad is not None
    # d sqrt(d^2 + 9) = d / 5 at d = 4.
    assert estimates.grad[0, :, 0].tolist() == pytest.approx([-0.8, 0.8])


def test_a_group_of_one_is_refused():
    with pytest.raises(ValueError, match="2 members or more to be drawn together: got 1"):
        target_aggregation(torch.zeros(2, 1, 3))


def test_cons_by_hand_and_its_slope_pushes_apart():
    one, other = torch.tensor([[4.0]], requires_grad=True), torch.zeros(1, 1)
    loss = negative_sampling(one, other, scale=3.0)
    assert loss.tolist() == [-2.0]
    loss.sum().backward()
    assert one.grad is not None and one.grad.item() == pytest.approx(-0.8)


def test_24_the_hinge_is_bounded_and_ends_at_its_margin():
    """max(0, m - D): m where the two are alike, 0 and without slope past the margin."""
    margin = torch.tensor([2.0, 2.0, 2.0], requires_grad=True)
    one = torch.tensor([[0.0], [0.5], [100.0]], requires_grad=True)
    other = torch.zeros(3, 1)
    loss = negative_sampling(one, other, margin=margin, scale=1e-3)
    assert loss.tolist() == pytest.approx([2.0, 1.501, 0.0], abs=1e-5)
    loss.sum().backward()
    assert one.grad is not None
    assert one.grad[:, 0].tolist() == pytest.approx([0.0, -1.0, 0.0], abs=1e-5)
    assert margin.grad is None, "what is real is not pushed"
    far = torch.linspace(0, 1e6, 50)[:, None]
    hinged = negative_sampling(far, torch.zeros(50, 1), margin=torch.full((50,), 3.0))
    assert hinged.min() == 0 and hinged.max() == 3
    assert negative_sampling(far, torch.zeros(50, 1)).min() < -9e5, "the paper's term has no end"


def test_a_distance_is_symmetric_and_pair_by_pair(generator):
    first, second = torch.randn(2, 5, 2, 3, generator=generator)
    found = sample_distance(first, second)
    assert found.shape == (5,)
    assert torch.equal(found, sample_distance(second, first))
    assert torch.equal(found[2:3], sample_distance(first[2:3], second[2:3]))
