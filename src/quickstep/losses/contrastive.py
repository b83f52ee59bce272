"""Estimates of equal targets drawn together, of different ones held apart (CoSeC, Eq. 4)."""

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.losses.distance import pseudo_huber


def sample_distance(
    first: Float[Tensor, "n ..."], second: Float[Tensor, "n ..."], *, scale: float = 0.001
) -> Float[Tensor, " n"]:
    """D of the paper: the mean pseudo-Huber distance of two samples, pair by pair.

    The paper leaves D open ("such as Huber loss"); this is the distance of consistency itself.

    Args:
        first: samples.
        second: what each is compared with, of the same shape.
        scale: c of the pseudo-Huber distance.

    Example:
        >>> sample_distance(torch.tensor([[0.0, 4.0]]), torch.zeros(1, 2), scale=3.0).tolist()
        [1.0]
    """
    return pseudo_huber(first, second, scale=scale).flatten(1).mean(dim=1)


def target_aggregation(
    estimates: Float[Tensor, "g k ..."], *, scale: float = 0.001
) -> Float[Tensor, " g"]:
    """How far apart equal targets are: the mean of D over all pairs of each group (ETA, Eq. 4).

    One pose told with k references of one video has one right answer, so that the k estimates
    should agree. They must share the noise: else its difference is measured, not the references'.
    Both sides of a pair have a gradient.

    Args:
        estimates: of g groups with k >= 2 members each; or any feature of them.
        scale: c of the pseudo-Huber distance.

    Returns:
        Per group; 0 where all members are equal.

    Raises:
        ValueError: a group of one has no pair.

    Example:
        >>> target_aggregation(torch.tensor([[[0.0], [4.0]], [[1.0], [1.0]]]), scale=3.0).tolist()
        [2.0, 0.0]
    """
    members = estimates.shape[1]
    if members < 2:
        raise ValueError(f"a group needs 2 members or more to be drawn together: got {members}")
    first, second = torch.triu_indices(members, members, offset=1, device=estimates.device)
    pairs = pseudo_huber(estimates[:, first], estimates[:, second], scale=scale)
    return pairs.flatten(1).mean(dim=1)


def negative_sampling(
    first: Float[Tensor, "n ..."],
    second: Float[Tensor, "n ..."],
    *,
    margin: Float[Tensor, " n"] | None = None,
    scale: float = 0.001,
) -> Float[Tensor, " n"]:
    """What estimates of different sources cost for being alike (CoNS, Eq. 4).

    - Without a margin ``-D``, the paper's term. It has no lower bound; it is held by the weight
      .02, since the slope of a pseudo-Huber consistency loss outweighs that of a term so small.
    - With a margin m ``max(0, m - D)``: bounded, and without a gradient once the two are as far
      apart as they should be.

    Args:
        first: estimates of one source.
        second: those of another, pair by pair.
        margin: the distance that is far enough, no gradient flows to it; see `sample_distance`
            of the real latents.
        scale: c of the pseudo-Huber distance.

    Example:
        >>> one, other = torch.tensor([[4.0]]), torch.zeros(1, 1)
        >>> negative_sampling(one, other, scale=3.0).item()
        -2.0
        >>> negative_sampling(one, other, margin=torch.tensor([1.5]), scale=3.0).item()
        0.0
    """
    distance = sample_distance(first, second, scale=scale)
    if margin is None:
        return -distance
    return (margin.detach() - distance).clamp(min=0)
