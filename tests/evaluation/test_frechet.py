import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from quickstep.evaluation.frechet import frechet_distance, has_few_samples, samples_needed


@pytest.fixture
def draw(generator):
    """Normal samples with correlated features, float64."""

    def of(num, width, *, mean=0.0, scale=1.0):
        mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
        noise = torch.randn(num, width, generator=generator, dtype=torch.float64)
        return scale * noise @ mixing / width**0.5 + mean

    return of


def by_matrix_root(a, b):
    """The distance as pytorch-FID has it: scipy's root of the product of covariances."""
    a, b = a.numpy(), b.numpy()
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(sqrtm(first @ second))
    shift = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return shift + np.trace(first) + np.trace(second) - 2 * np.trace(root)


@pytest.mark.parametrize(("num_a", "num_b"), [(40, 40), (200, 35), (33, 500)])
def test_agrees_with_a_matrix_root(draw, num_a, num_b):
    a, b = draw(num_a, 24), draw(num_b, 24, mean=0.3, scale=1.4)
    assert frechet_distance(a, b) == pytest.approx(by_matrix_root(a, b), rel=1e-8)


def test_normals_of_one_dimension():
    a = torch.tensor([[0.0], [2.0], [4.0]])  # mean 2, variance 4
    b = torch.tensor([[9.0], [10.0], [11.0]])  # mean 10, variance 1
    assert frechet_distance(a, b) == pytest.approx((10 - 2) ** 2 + (2 - 1) ** 2, rel=1e-12)


def test_independent_dimensions_add_up(generator):
    a = torch.randn(60, 1, generator=generator).double()
    b = 3 * torch.randn(80, 1, generator=generator).double() + 1
    crossed_a = torch.cat([torch.cat([a, -a]), torch.cat([a, a])], dim=1)
    crossed_b = torch.cat([torch.cat([b, b]), torch.cat([b, -b])], dim=1)
    parts = [frechet_distance(crossed_a[:, [axis]], crossed_b[:, [axis]]) for axis in range(2)]
    products = [
        (each - each.mean(dim=0)).T @ (each - each.mean(dim=0)) for each in (crossed_a, crossed_b)
    ]
    assert all(abs(product[0, 1]) < 1e-9 * product[0, 0] for product in products)
    assert frechet_distance(crossed_a, crossed_b) == pytest.approx(sum(parts), rel=1e-10)


@pytest.mark.parametrize(("num", "width"), [(10, 64), (64, 10), (2, 300)])
def test_equal_sets_are_at_zero_and_a_shift_is_its_square(draw, num, width):
    a = draw(num, width)
    spread = float((a - a.mean(dim=0)).square().sum()) / (num - 1)
    assert 0 <= frechet_distance(a, a) < 1e-12 * spread
    shuffled = a[torch.randperm(num, generator=torch.Generator().manual_seed(1))]
    assert frechet_distance(a, shuffled) < 1e-12 * spread
    shift = torch.linspace(-1, 1, width, dtype=torch.float64)
    expected = float(shift.square().sum())
    assert frechet_distance(a, a + shift) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("num", "width"), [(12, 40), (90, 16)])
def test_rotations_shifts_and_the_order_of_sets_change_nothing(draw, num, width):
    a, b = draw(num, width), draw(num + 7, width, mean=0.1, scale=0.7)
    distance = frechet_distance(a, b)
    rotation = torch.linalg.qr(draw(width, width)).Q
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a + 5, b + 5) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(3 * a, 3 * b) == pytest.approx(9 * distance, rel=1e-9)


@pytest.mark.parametrize("num", [20, 400])
def test_dimensions_without_variance_change_nothing(draw, num):
    a, b = draw(num, 6), draw(num, 6, scale=2.0)
    frame = torch.linalg.qr(draw(100, 100)).Q[:6]
    assert frechet_distance(a @ frame, b @ frame) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_float32_features_are_taken_in_float64(draw):
    a, b = draw(50, 20).float(), draw(50, 20).float()
    assert frechet_distance(a, b) == frechet_distance(a.double(), b.double())


def test_grows_with_noise(draw, generator):
    a = draw(100, 16)
    noise = torch.randn(a.shape, generator=generator, dtype=torch.float64)
    distances = [frechet_distance(a + level * noise, a) for level in (0, 0.1, 0.3, 1, 3)]
    assert distances == sorted(distances)


@pytest.mark.parametrize(("num", "expected"), [(400, 200), (2000, 40)])
def test_the_stated_bias(generator, num, expected):
    a, b = (torch.randn(num, 400, generator=generator, dtype=torch.float64) for _ in range(2))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=0.05)


def test_fewer_samples_than_dimensions_are_marked():
    assert samples_needed(2048) == 2048
    assert has_few_samples(torch.zeros(7, 8), torch.zeros(100, 8))
    assert has_few_samples(torch.zeros(100, 8), torch.zeros(7, 8))
    assert not has_few_samples(torch.zeros(8, 8), torch.zeros(8, 8))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(1, 4), torch.zeros(9, 4), "2 samples of each set: got 1"),
        (torch.zeros(9, 4), torch.zeros(0, 4), "2 samples of each set: got 0"),
        (torch.full((3, 4), torch.nan), torch.zeros(3, 4), "finite features"),
        (torch.zeros(3, 4), torch.full((3, 4), torch.inf), "finite features"),
    ],
)
def test_sets_that_have_no_distance(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)
