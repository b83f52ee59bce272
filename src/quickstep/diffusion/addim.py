"""aDDIM: a DDIM step that puts back the variance a mean estimate has lost.

Multistep Consistency Models (Heek et al. 2024, Algorithm 3). The teacher estimates the mean of
the clean data that a noisy state may stand for; stepping as if that mean were the data loses the
spread round it, and a student distilled from many such steps comes out smooth. aDDIM makes the
noise part of the state longer by as much. In distillation the spread is known from the data.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.diffusion.schedule import Schedule, spread, state_dtype
from quickstep.diffusion.solver import ddim_step, ddim_weights


def clean_variance(
    clean: Float[Tensor, "b ..."], estimate: Float[Tensor, "b ..."], *, eta: float = 0.75
) -> Float[Tensor, " b"]:
    """``eta ||clean - estimate||^2 / d``: how far data lies from its estimate, per element.

    Args:
        clean: the data itself, known while distilling.
        estimate: the teacher's clean estimate of a noisy version of it.
        eta: share that is put back; the paper found 0.75.

    Raises:
        ValueError: `eta` is negative.
    """
    if eta < 0:
        raise ValueError(f"eta must not be negative: got {eta}")
    dtype = state_dtype(clean, estimate)
    return eta * (clean.to(dtype) - estimate.to(dtype)).square().flatten(1).mean(1)


def addim_clean(
    clean: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    *,
    variance: Float[Tensor, " b"],
    t_from: Tensor,
    t_to: Tensor,
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """The clean estimate with which a plain DDIM step makes aDDIM's step.

    aDDIM lands on ``alpha_to clean + S e`` with ``e = (noisy - alpha_from clean) / sigma_from``,
    ``S^2 = sigma_to^2 + d / ||e||^2 c^2 variance`` and c the clean coefficient of the DDIM step.
    DDIM lands there from ``clean + (S - sigma_to) / c e``. The fraction is written without its
    denominator, which goes to 0 with the gap:
    ``(d / ||e||^2) c variance / (S + sigma_to)``. So the consistency target can mix with it as
    with any other estimate.

    Args:
        clean: the teacher's clean estimate at `t_from`.
        noisy: the state at `t_from`.
        variance: of the data round the estimate, per element; 0 gives `clean`.
        t_from: where the state is; a noisy time.
        t_to: where the step goes, below `t_from`.
        schedule: the schedule.

    Returns:
        A clean estimate in float32 (float64 for float64 input).
    """
    dtype = state_dtype(clean, noisy)
    weight = ddim_weights(t_from, t_to, schedule=schedule)[1]
    sigma_to = schedule.sigma(t_to)
    clean_part = spread(schedule.alpha(t_from), noisy, dtype=dtype) * clean.to(dtype)
    direction = (noisy.to(dtype) - clean_part) / spread(schedule.sigma(t_from), noisy, dtype=dtype)
    # 1 for a direction as long as standard normal noise.
    stretch = 1 / direction.double().square().flatten(1).mean(1)
    added = stretch * weight * variance.double()
    length = (sigma_to**2 + weight * added).sqrt()
    total = length + sigma_to
    shift = torch.where(total > 0, added / total, torch.zeros_like(total))
    return clean.to(dtype) + spread(shift, noisy, dtype=dtype) * direction


def addim_step(
    clean: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    *,
    variance: Float[Tensor, " b"],
    t_from: Tensor,
    t_to: Tensor,
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """Moves `noisy` to `t_to` by aDDIM; arguments as in `addim_clean`.

    The paper's Algorithm 3 in words; a public re-implementation writes ``alpha_from`` for
    ``alpha_to`` and takes the norm over the whole batch, both of which this does not.
    """
    corrected = addim_clean(
        clean, noisy, variance=variance, t_from=t_from, t_to=t_to, schedule=schedule
    )
    return ddim_step(corrected, noisy, t_from=t_from, t_to=t_to, schedule=schedule)
