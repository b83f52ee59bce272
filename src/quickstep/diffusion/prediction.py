"""What a network's output means: translation between predictions, clean and noise.

========= ============================== ======================= =======================
output    definition                     clean                   noise
========= ============================== ======================= =======================
epsilon   noise                          (x - sigma o) / alpha   o
v         alpha noise - sigma clean      alpha x - sigma o       sigma x + alpha o
clean     clean                          o                       (x - alpha o) / sigma
flow      noise - clean                  (x - sigma o)/(a + s)   (x + alpha o)/(a + s)
========= ============================== ======================= =======================

``x`` is the noisy state, ``o`` the output. A flow network reads ``x / (alpha + sigma)`` and the
flow time ``sigma / (alpha + sigma)``; the state kept here is always the variance-preserving ``x``.
"""

from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from quickstep.diffusion.schedule import Schedule, spread, state_dtype

Parametrisation = Literal["epsilon", "v", "clean", "flow"]
"""What a network was trained to put out."""


def clean_from(
    prediction: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    t: Int[Tensor, " b"],
    *,
    schedule: Schedule,
    parametrisation: Parametrisation,
) -> Float[Tensor, "b ..."]:
    """The clean data that a network's output stands for (Salimans & Ho 2022, section 4).

    Args:
        prediction: the network's output, any float type.
        noisy: the state it was given.
        t: the time it was given.
        schedule: the schedule it was trained with.
        parametrisation: what its output means.

    Returns:
        Clean data in float32 (float64 for float64 input).

    Raises:
        ValueError: `parametrisation` is unknown, or "epsilon" with zero terminal SNR, where the
            last time is pure noise and the clean data would be 0 / 0.
    """
    _check(parametrisation, schedule)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    if parametrisation == "epsilon":
        weights = 1 / alpha, -sigma / alpha
    elif parametrisation == "v":
        weights = alpha, -sigma
    elif parametrisation == "clean":
        weights = torch.zeros_like(alpha), torch.ones_like(alpha)
    else:
        weights = 1 / (alpha + sigma), -sigma / (alpha + sigma)
    return _combine(weights, noisy, prediction)


def noise_from(
    prediction: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    t: Int[Tensor, " b"],
    *,
    schedule: Schedule,
    parametrisation: Parametrisation,
) -> Float[Tensor, "b ..."]:
    """The noise that a network's output stands for. Arguments and errors as in `clean_from`.

    At `CLEAN` there is no noise to be seen: a "clean" prediction gives 0 there.
    """
    _check(parametrisation, schedule)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    if parametrisation == "epsilon":
        weights = torch.zeros_like(alpha), torch.ones_like(alpha)
    elif parametrisation == "v":
        weights = sigma, alpha
    elif parametrisation == "clean":
        inverse = torch.where(sigma == 0, 0.0, 1 / sigma)
        weights = inverse, -alpha * inverse
    else:
        weights = 1 / (alpha + sigma), alpha / (alpha + sigma)
    return _combine(weights, noisy, prediction)


def prediction_from(
    clean: Float[Tensor, "b ..."],
    noise: Float[Tensor, "b ..."],
    t: Int[Tensor, " b"],
    *,
    schedule: Schedule,
    parametrisation: Parametrisation,
) -> Float[Tensor, "b ..."]:
    """What a network should put out for known clean data and noise: the training target.

    Args:
        clean: data or latents.
        noise: the noise that was added to it.
        t: the time it was added for.
        schedule: the schedule.
        parametrisation: what the output means.

    Returns:
        The perfect output in float32 (float64 for float64 input).

    Raises:
        ValueError: as `clean_from`.
    """
    _check(parametrisation, schedule)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    one = torch.ones_like(alpha)
    weights = {
        "epsilon": (0 * one, one),
        "v": (-sigma, alpha),
        "clean": (one, 0 * one),
        "flow": (-one, one),
    }[parametrisation]
    return _combine(weights, clean, noise)


def _check(parametrisation: str, schedule: Schedule) -> None:
    if parametrisation not in get_args(Parametrisation):
        raise ValueError(
            f"parametrisation must be one of {get_args(Parametrisation)}: got {parametrisation!r}"
        )
    if parametrisation == "epsilon" and schedule.zero_terminal_snr:
        raise ValueError(
            "parametrisation must not be 'epsilon' on a schedule with zero terminal SNR "
            "(clean data would be 0/0 at the last time): use 'v', 'clean' or 'flow'"
        )


def _combine(
    weights: tuple[Float64[Tensor, " b"], Float64[Tensor, " b"]],
    first: Float[Tensor, "b ..."],
    second: Float[Tensor, "b ..."],
) -> Float[Tensor, "b ..."]:
    dtype = state_dtype(first, second)
    return (
        spread(weights[0], first, dtype=dtype) * first
        + spread(weights[1], second, dtype=dtype) * second
    )
