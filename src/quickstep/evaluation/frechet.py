"""The Frechet distance of two sets of features, exact also with fewer samples than dimensions."""

import torch
from jaxtyping import Float
from torch import Tensor


def frechet_distance(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> float:
    """Squared Wasserstein-2 distance of the Gaussians that fit two sets of features.

    With means mu and unbiased covariances S (Heusel et al. 2017),
    ``|mu_a - mu_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)``.

    The last trace is taken without a matrix root. With the centred samples as rows of A and B,
    already divided by ``sqrt(n - 1)`` and ``sqrt(m - 1)``, the eigenvalues of ``S_a S_b`` are the
    squared singular values of ``A B^T``, so the trace of the root is their sum. That holds at any
    rank, without the small diagonal that code round a matrix root has to add. A set of more
    samples than dimensions is first replaced by the triangle R of its QR factors, which has the
    same covariance; the cost is that of the singular values of a square of ``min(n, d)`` by
    ``min(m, d)``.

    **Bias.** The distance of finite sets is too large, the more so the fewer the samples: two sets
    of one distribution are not at 0. For standard normal features of 400 dimensions it is about
    200 at 400 samples each and 40 at 2000. Compare only numbers made from the same number of
    samples, and see `has_few_samples`. Windows that overlap count as less than their number.

    Args:
        a: features of one set, a sample each row; any float type, computed in float64.
        b: features of the other.

    Returns:
        The distance, at least 0; equal sets are at 0, up to rounding.

    Raises:
        ValueError: fewer than two samples, different widths, or a feature that is not finite.

    Example:
        Two samples of variance 2 round 0, and two of variance 8 round 5:

        >>> a, b = torch.tensor([[-1.0], [1.0]]), torch.tensor([[3.0], [7.0]])
        >>> round(frechet_distance(a, b), 9)  # 5^2 + (sqrt(8) - sqrt(2))^2
        27.0
    """
    _check(a, b)
    mean_a, mean_b = a.double().mean(dim=0), b.double().mean(dim=0)
    root_a, root_b = _root(a.double() - mean_a), _root(b.double() - mean_b)
    shared = torch.linalg.svdvals(root_a @ root_b.T).sum()
    spread = root_a.square().sum() + root_b.square().sum() - 2 * shared
    return max(float((mean_a - mean_b).square().sum() + spread), 0.0)


def samples_needed(dimensions: int) -> int:
    """The least number of samples of a set for a distance that needs no mark: the dimensions.

    With fewer the covariance has directions without any variance, and the bias is of the size of
    the features' whole variance.
    """
    return dimensions


def has_few_samples(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> bool:
    """Whether the distance of these sets is to be marked: one has fewer samples than dimensions."""
    return min(len(a), len(b)) < samples_needed(a.shape[1])


def _root(centred: Tensor) -> Tensor:
    """A matrix R of at most as many rows as columns with ``R^T R`` the samples' covariance."""
    scaled = centred / (len(centred) - 1) ** 0.5
    if len(scaled) <= scaled.shape[1]:
        return scaled
    return torch.linalg.qr(scaled, mode="r").R


def _check(a: Tensor, b: Tensor) -> None:
    for samples in (a, b):
        if len(samples) < 2:
            raise ValueError(f"a Frechet distance needs 2 samples of each set: got {len(samples)}")
        if not bool(samples.isfinite().all()):
            raise ValueError("a Frechet distance needs finite features: got NaN or infinity")
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"a Frechet distance needs features of one width: got {a.shape[1]} and {b.shape[1]}"
        )
