"""Steps along the probability-flow ODE, and back up through the forward process.

In ``y = noisy / sigma`` the ODE reads ``dy / dkappa = clean(noisy, kappa)``: DDIM is Euler's step
in kappa, `heun_step` is Heun's. Written so, nothing divides by alpha, and the first step may leave
pure noise (kappa = 0). Coefficients are float64; states are float32, whatever networks answer in.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from quickstep.diffusion.schedule import CLEAN, Schedule, spread, state_dtype

Denoise = Callable[[Tensor, Tensor], Tensor]
"""``denoise(noisy, t) -> clean``: anything that estimates the clean data, times shaped ``(b,)``."""


def ddim_weights(
    t_from: Int[Tensor, " b"], t_to: Int[Tensor, " b"], *, schedule: Schedule
) -> tuple[Float64[Tensor, " b"], Float64[Tensor, " b"]]:
    """The two coefficients of a DDIM step: ``noisy_to = first * noisy_from + second * clean``.

    ``first = sigma_to / sigma_from`` and ``second = sigma_to (kappa_to - kappa_from)``, written as
    ``alpha_to - alpha_from * first`` so that it is finite at `CLEAN`. `t_from` may be `CLEAN` only
    where `t_to` is: clean data alone does not say which noise to add (see `renoise`).

    Raises:
        ValueError: a step leaves `CLEAN` (checked for times on the CPU; elsewhere it gives NaN).
    """
    still = t_from == t_to
    if t_from.device.type == "cpu" and bool(((t_from == CLEAN) & ~still).any()):
        raise ValueError("t_from must be noisy: got CLEAN, from which only renoise() leads up")
    ratio = torch.where(still, 1.0, schedule.sigma(t_to) / schedule.sigma(t_from))
    return ratio, schedule.alpha(t_to) - schedule.alpha(t_from) * ratio


def ddim_step(
    clean: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    *,
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """Moves `noisy` to another time, as if `clean` held all the way (DDIM, Song et al., Eq. 12).

    Args:
        clean: the clean estimate at `t_from`.
        noisy: the state at `t_from`.
        t_from: where it is.
        t_to: where it goes, up or down. `CLEAN` gives `clean`; `t_from` gives `noisy`, bit for bit.
        schedule: the schedule.

    Returns:
        The state at `t_to`, float32 (float64 for float64 input).
    """
    dtype = state_dtype(clean, noisy)
    ratio, weight = ddim_weights(t_from, t_to, schedule=schedule)
    return spread(ratio, noisy, dtype=dtype) * noisy + spread(weight, clean, dtype=dtype) * clean


def ddim_step_through_noise(
    clean: Float[Tensor, "b ..."],
    noisy: Float[Tensor, "b ..."],
    *,
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """`ddim_step` by way of the noise, rounded where UniAnimate's sampler rounds: bit for bit.

    The noise is worked out from `clean` and `noisy`, with float64 tables cast to the state's type
    before the arithmetic. Arguments and result are `ddim_step`'s.

    Raises:
        ValueError: a time is `CLEAN`, or `t_from` pure noise, where this way divides by zero.
    """
    dtype = state_dtype(clean, noisy)
    table = schedule.alpha_bar.to(t_from.device)
    alpha_bar = table[t_from]
    if bool((t_from < 0).any() | (t_to < 0).any() | (alpha_bar == 0).any()):
        raise ValueError(
            f"a step through the noise needs times from 0 on, and not pure noise: got "
            f"{t_from.tolist()} to {t_to.tolist()}"
        )
    inverse = spread((1 / alpha_bar).sqrt(), noisy, dtype=dtype)
    ratio = spread((1 / alpha_bar - 1).sqrt(), noisy, dtype=dtype)
    noise = (inverse * noisy - clean) / ratio
    landing = spread(table[t_to], noisy, dtype=dtype)
    return landing.sqrt() * clean + (1 - landing).sqrt() * noise


def inverse_ddim(
    noisy_to: Float[Tensor, "b ..."],
    noisy_from: Float[Tensor, "b ..."],
    *,
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """The clean estimate with which one DDIM step leads from `noisy_from` to `noisy_to`.

    Multistep Consistency Models (Heek et al. 2024, Eq. 9). For two points of one exact trajectory
    it is the average of the denoiser over kappa between them.

    Raises:
        ValueError: `t_to` equals `t_from` somewhere, where every clean estimate does.
    """
    if bool((t_from == t_to).any()):
        raise ValueError("t_to must differ from t_from: got equal times in the batch")
    dtype = state_dtype(noisy_to, noisy_from)
    ratio, weight = ddim_weights(t_from, t_to, schedule=schedule)
    difference = noisy_to - spread(ratio, noisy_from, dtype=dtype) * noisy_from
    return difference / spread(weight, noisy_to, dtype=dtype)


def heun_step(
    denoise: Denoise,
    noisy: Float[Tensor, "b ..."],
    *,
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """Heun's second-order step in kappa: two evaluations, error of third order.

    Karras et al. 2022, Algorithm 1, with kappa for their time. Where `t_to` is `CLEAN` the second
    evaluation would meet clean data and return it, so the step is DDIM's there.

    Args:
        denoise: the clean estimate of a state at a time.
        noisy: the state at `t_from`.
        t_from: where it is.
        t_to: where it goes.
        schedule: the schedule.

    Returns:
        The state at `t_to`, float32 (float64 for float64 input).
    """
    first = denoise(noisy, t_from)
    landed = ddim_step(first, noisy, t_from=t_from, t_to=t_to, schedule=schedule)
    second = denoise(landed, t_to.clamp(min=0))
    ends_clean = (t_to == CLEAN).reshape(-1, *[1] * (noisy.ndim - 1))
    dtype = state_dtype(first, second, noisy)
    mean = torch.where(ends_clean, first.to(dtype), (first.to(dtype) + second.to(dtype)) / 2)
    return ddim_step(mean, noisy, t_from=t_from, t_to=t_to, schedule=schedule)


def solve(
    denoise: Denoise,
    noisy: Float[Tensor, "b ..."],
    *,
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    num_steps: int,
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """Several DDIM steps, equally long in the time index, every sample from and to its own time.

    Args:
        denoise: the clean estimate of a state at a time.
        noisy: the state at `t_from`.
        t_from: where it is.
        t_to: where it goes; never asked of `denoise`.
        num_steps: evaluations of `denoise`.
        schedule: the schedule.

    Returns:
        The state at `t_to`, float32 (float64 for float64 input).

    Raises:
        ValueError: `num_steps` is below 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1: got {num_steps}")
    way = (t_to - t_from).double()
    t = t_from
    for step in range(1, num_steps + 1):
        t_next = t_from + (way * (step / num_steps)).round().to(t_from)
        noisy = ddim_step(denoise(noisy, t), noisy, t_from=t, t_to=t_next, schedule=schedule)
        t = t_next
    return noisy


def renoise(
    noisy: Float[Tensor, "b ..."],
    noise: Float[Tensor, "b ..."],
    *,
    t_from: Int[Tensor, " b"],
    t_to: Int[Tensor, " b"],
    schedule: Schedule,
) -> Float[Tensor, "b ..."]:
    """Draws a noisier state by the exact forward kernel between two times.

    ``rho * noisy + sqrt(1 - rho^2) * noise`` with ``rho = alpha_to / alpha_from`` (DDPM, Eq. 2,
    composed). If `noisy` has the law of time `t_from`, the result has the law of `t_to`. From
    `CLEAN` it is `Schedule.add_noise`.

    Args:
        noisy: the state at `t_from`.
        noise: fresh standard normal noise.
        t_from: where it is; never the pure-noise end of a schedule.
        t_to: where it goes, not below `t_from`.
        schedule: the schedule.

    Returns:
        The state at `t_to`, float32 (float64 for float64 input).

    Raises:
        ValueError: `t_to` is below `t_from` (checked for times on the CPU).
    """
    if t_from.device.type == "cpu" and bool((t_to < t_from).any()):
        raise ValueError("t_to must not be below t_from: noise can only be added")
    dtype = state_dtype(noisy, noise)
    rho = torch.where(t_from == t_to, 1.0, schedule.alpha(t_to) / schedule.alpha(t_from))
    spread_rho = spread(rho, noisy, dtype=dtype)
    return spread_rho * noisy + spread((1 - rho**2).sqrt(), noise, dtype=dtype) * noise


def guided(
    conditional: Float[Tensor, "b ..."],
    unconditional: Float[Tensor, "b ..."],
    guidance: float | Float[Tensor, " b"],
) -> Float[Tensor, "b ..."]:
    """Classifier-free guidance: ``u + g (c - u)`` (Ho & Salimans 2022, in Imagen's convention).

    Linear, so guiding v, noise or clean predictions is the same.

    Args:
        conditional: prediction with the condition.
        unconditional: prediction without it.
        guidance: g, one for all or one per sample; 1 is no guidance, 0 ignores the condition.

    Returns:
        The guided prediction, float32 (float64 for float64 input).
    """
    dtype = state_dtype(conditional, unconditional)
    if isinstance(guidance, Tensor):
        guidance = spread(guidance, conditional, dtype=dtype)
    unconditional = unconditional.to(dtype)
    return unconditional + guidance * (conditional.to(dtype) - unconditional)


def guidance_from_lcm_weight(weight: float) -> float:
    """``g = 1 + w``, for the form ``c + w (c - u)`` that LCM's and CoSeC's papers write.

    Example:
        >>> guidance_from_lcm_weight(2.5)       # CoSeC's phase 1 is Champ's default guidance
        3.5
    """
    return 1 + weight
