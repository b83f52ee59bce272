"""Distances between a prediction and its target, elementwise or per sample; the method reduces."""

import torch
from jaxtyping import Float
from torch import Tensor


def pseudo_huber(
    prediction: Float[Tensor, "..."], target: Float[Tensor, "..."], *, scale: float = 0.001
) -> Float[Tensor, "..."]:
    """``sqrt(d^2 + c^2) - c``: quadratic below `scale`, the absolute value above.

    Improved Consistency Training (Song & Dhariwal 2023, Eq. 7), elementwise as in the code of LCM,
    VideoLCM and PCM. Its slope stays under 1, so single far-off values do not rule a step.

    Args:
        prediction: the student's value.
        target: what it should be.
        scale: c, in units of the data; .001 on latents of unit variance is practically L1.

    Returns:
        The distance per element, float32 (float64 for float64 input).

    Raises:
        ValueError: `scale` is not positive.

    Example:
        >>> pseudo_huber(torch.tensor([0.0, 4.0]), torch.tensor([0.0, 0.0]), scale=3.0).tolist()
        [0.0, 2.0]
    """
    if scale <= 0:
        raise ValueError(f"scale must be positive: got {scale}")
    square = squared(prediction, target)
    # The same number without the cancellation of sqrt(d^2 + c^2) - c at small d.
    return square / ((square + scale**2).sqrt() + scale)


def squared(prediction: Float[Tensor, "..."], target: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """``(prediction - target)^2`` per element, float32 (float64 for float64 input)."""
    dtype = torch.promote_types(torch.float32, torch.promote_types(prediction.dtype, target.dtype))
    return (prediction.to(dtype) - target.to(dtype)).square()


def euclidean(
    prediction: Float[Tensor, "b ..."],
    target: Float[Tensor, "b ..."],
    *,
    weight: Float[Tensor, "..."] | None = None,
) -> Float[Tensor, " b"]:
    """``sqrt(mean(weight d^2))`` per sample: the Euclidean norm, not squared (Multistep CM).

    The norm is divided by the root of the number of elements, so that long and short clips, small
    and large latents have one scale.

    Args:
        prediction: the student's value.
        target: what it should be.
        weight: of each element, not negative; broadcasts against `prediction`.

    Returns:
        The distance per sample, float32 (float64 for float64 input). Where it is 0 so is its
        gradient.

    Example:
        >>> euclidean(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2)).square().tolist()
        [12.5]
    """
    dtype = torch.promote_types(torch.float32, torch.promote_types(prediction.dtype, target.dtype))
    difference = prediction.to(dtype) - target.to(dtype)
    if weight is not None:
        difference = difference * weight.to(dtype).sqrt()
    flat = difference.flatten(1)
    return torch.linalg.vector_norm(flat, dim=1) / flat.shape[1] ** 0.5
