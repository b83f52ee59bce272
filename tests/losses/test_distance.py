"""Elementwise distances against hand values."""

import pytest
import torch

from quickstep.losses.distance import euclidean, pseudo_huber, squared


def test_hand_values():
    """3-4-5 and 5-12-13 triangles: sqrt(4^2 + 3^2) - 3 = 2 and sqrt(12^2 + 5^2) - 5 = 8."""
    zero = torch.zeros(2)
    four = torch.tensor([4.0, -4.0])
    assert pseudo_huber(four, zero, scale=3.0).tolist() == [2.0, 2.0]
    twelve = torch.tensor([12.0, 0.0])
    assert pseudo_huber(zero, twelve, scale=5.0).tolist() == pytest.approx([8.0, 0.0])
    assert squared(four, zero).tolist() == [16.0, 16.0]


def test_the_norm_of_a_sample_by_hand():
    """sqrt((3^2 + 4^2) / 2) for two elements; weights stand under the root."""
    prediction = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    zero = torch.zeros(2, 2)
    assert euclidean(prediction, zero).tolist() == pytest.approx([12.5**0.5, 2**0.5])
    weight = torch.tensor([4.0, 0.0])
    assert euclidean(prediction, zero, weight=weight).tolist() == pytest.approx([18**0.5, 0.0])
    assert euclidean(prediction[..., None], zero[..., None]).shape == (2,)


def test_the_norm_has_no_gradient_where_it_is_zero():
    prediction = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    euclidean(prediction, torch.zeros(2, 2), weight=torch.ones(2)).sum().backward()
    assert prediction.grad is not None
    assert prediction.grad[0].tolist() == [0.0, 0.0]
    assert prediction.grad[1].tolist() == pytest.approx([0.6 / 2**0.5, 0.8 / 2**0.5])


def test_symmetric_zero_and_elementwise(generator):
    prediction, target = torch.randn(2, 2, 3, 4, generator=generator)
    for loss in (pseudo_huber, squared):
        assert torch.equal(loss(prediction, target), loss(target, prediction))
        assert (loss(target, target) == 0).all()
        assert loss(prediction, target).shape == target.shape


def test_quadratic_below_the_scale_and_absolute_above():
    difference = torch.tensor([1e-6, 1.0])
    small, large = pseudo_huber(difference, torch.zeros(2)).tolist()
    assert small == pytest.approx(1e-12 / 2e-3, rel=1e-3)  # d^2 / 2c, lost by the naive form
    assert large == pytest.approx(1.0 - 0.001, rel=1e-3)


def test_slope_stays_under_one_and_reaches_the_student_only(generator):
    prediction, target = (10 * torch.randn(2, 50, generator=generator)).requires_grad_().unbind(0)
    (slope,) = torch.autograd.grad(pseudo_huber(prediction, target.detach()).sum(), prediction)
    assert (slope.abs() <= 1 + 1e-6).all() and slope.isfinite().all()
    same = torch.zeros(3, requires_grad=True)
    (flat,) = torch.autograd.grad(pseudo_huber(same, torch.zeros(3)).sum(), same)
    assert (flat == 0).all()


def test_bfloat16_is_compared_in_float32():
    a, b = torch.tensor([1.0]).bfloat16(), torch.tensor([1.003])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert squared(a, b).dtype == torch.float32
        assert pseudo_huber(a, b).dtype == torch.float32
        assert euclidean(a[None], b[None]).dtype == torch.float32
    assert squared(a, b).item() == pytest.approx(0.003**2, rel=1e-3)
    assert pseudo_huber(a.double(), b).dtype == torch.float64


def test_scale_must_be_positive():
    with pytest.raises(ValueError, match="scale must be positive: got 0"):
        pseudo_huber(torch.zeros(1), torch.zeros(1), scale=0.0)
