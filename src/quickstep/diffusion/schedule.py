"""The noise schedule: how much clean signal and how much noise every integer time holds.

Throughout, ``noisy = alpha(t) * clean + sigma(t) * noise`` with ``alpha**2 + sigma**2 == 1`` and
``t`` in ``0..num_timesteps - 1``, noise at the high end. Time 0 is one small noise step, not clean
data (Stable Diffusion: sigma(0) = 0.029). The noise-free time is `CLEAN`.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

CLEAN = -1
"""The noise-free time: alpha 1, sigma 0, kappa infinite. One step below time 0."""


def state_dtype(*tensors: Tensor) -> torch.dtype:
    """Precision in which latents are combined: float32, or float64 when an input has it.

    Networks may answer in bfloat16, the arithmetic between their calls must not: one step of 20
    near t=499 has rms size .0049, and bfloat16 arithmetic errs by .0031.
    """
    dtype = torch.float32
    for tensor in tensors:
        dtype = torch.promote_types(dtype, tensor.dtype)
    return dtype


def spread(
    coefficient: Float[Tensor, " b"], like: Float[Tensor, "b ..."], *, dtype: torch.dtype
) -> Float[Tensor, "b ..."]:
    """One number per sample, shaped to multiply a batch: ``(b,)`` becomes ``(b, 1, 1, ...)``."""
    return coefficient.to(dtype).reshape(-1, *[1] * (like.ndim - 1))


@dataclass(frozen=True, eq=False)
class Schedule:
    """A variance-preserving noise schedule, held in float64.

    Attributes:
        alpha_bar: ``alpha(t) ** 2`` for t = 0..T-1, float64, in [0, 1), strictly decreasing.

    Raises:
        ValueError: `alpha_bar` is not float64, leaves [0, 1), or does not decrease.

    Example:
        >>> schedule = Schedule.scaled_linear().with_zero_terminal_snr()
        >>> schedule.alpha(torch.tensor([CLEAN, 0, 999])).tolist()[::2]
        [1.0, 0.0]
    """

    alpha_bar: Float64[Tensor, " T"]
    _tables: dict[torch.device, Float64[Tensor, "2 times"]] = field(
        init=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        """Refuses tables that are no schedule."""
        low, high = float(self.alpha_bar.min()), float(self.alpha_bar.max())
        if low < 0 or high >= 1:
            raise ValueError(
                f"Schedule.alpha_bar must lie in [0, 1): got values from {low} to {high}"
            )
        if bool((self.alpha_bar.diff() >= 0).any()):
            raise ValueError("Schedule.alpha_bar must strictly decrease: got a value that does not")

    @classmethod
    def linear(
        cls, *, beta_start: float = 0.00085, beta_end: float = 0.012, num_timesteps: int = 1000
    ) -> "Schedule":
        """Betas equally spaced (DDPM, Ho et al. 2020, section 4)."""
        return cls._from_betas(
            torch.linspace(beta_start, beta_end, num_timesteps, dtype=torch.float64)
        )

    @classmethod
    def scaled_linear(
        cls, *, beta_start: float = 0.00085, beta_end: float = 0.012, num_timesteps: int = 1000
    ) -> "Schedule":
        """Square roots of the betas equally spaced: Stable Diffusion, UniAnimate, Champ."""
        roots = torch.linspace(beta_start**0.5, beta_end**0.5, num_timesteps, dtype=torch.float64)
        return cls._from_betas(roots**2)

    @classmethod
    def _from_betas(cls, betas: Float64[Tensor, " T"]) -> "Schedule":
        if not 0 < float(betas.min()) <= float(betas.max()) < 1:
            raise ValueError(
                f"betas must lie in (0, 1): got {float(betas.min())} to {float(betas.max())}"
            )
        return cls((1 - betas).cumprod(0))

    def with_zero_terminal_snr(self) -> "Schedule":
        """The same schedule, shifted and scaled to end in pure noise.

        Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed",
        Algorithm 1: sqrt(alpha_bar) keeps its first value and ends at exactly 0.
        """
        root = self.alpha_bar.sqrt()
        root = (root - root[-1]) * (root[0] / (root[0] - root[-1]))
        return Schedule(root**2)

    @property
    def num_timesteps(self) -> int:
        """How many noisy times there are; the last is ``num_timesteps - 1``."""
        return self.alpha_bar.shape[0]

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether the last time is pure noise, so that noise alone tells nothing about clean."""
        return bool(self.alpha_bar[-1] == 0)

    def alpha(self, t: Int[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """How much clean signal there is at each time; 1 at `CLEAN`.

        Raises:
            ValueError: a time is outside `CLEAN`..T-1 (on the CPU; elsewhere the indexing kernel
                stops the program).
        """
        return self._lookup(t)[0]

    def sigma(self, t: Int[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """How much noise there is at each time; 0 at `CLEAN`. Raises as `alpha` does."""
        return self._lookup(t)[1]

    def kappa(self, t: Int[Tensor, " b"]) -> Float64[Tensor, " b"]:
        """``alpha / sigma``, the square root of the signal-to-noise ratio; infinite at `CLEAN`.

        The probability-flow ODE of ``y = noisy / sigma`` is ``dy / dkappa = clean(y)``: kappa is
        the time in which every solver here steps.
        """
        alpha, sigma = self._lookup(t)
        return alpha / sigma

    def add_noise(
        self, clean: Float[Tensor, "b ..."], noise: Float[Tensor, "b ..."], t: Int[Tensor, " b"]
    ) -> Float[Tensor, "b ..."]:
        """``alpha * clean + sigma * noise``: the forward process (DDPM, Eq. 4).

        Args:
            clean: data or latents.
            noise: standard normal, the shape of `clean`.
            t: one time per sample; `CLEAN` gives `clean` back.

        Returns:
            The noisy state in float32 (float64 for float64 input).
        """
        dtype = state_dtype(clean, noise)
        alpha, sigma = self._lookup(t)
        return spread(alpha, clean, dtype=dtype) * clean + spread(sigma, clean, dtype=dtype) * noise

    def _lookup(self, t: Int[Tensor, " b"]) -> Float64[Tensor, "2 b"]:
        """Alpha and sigma of each time, on the device of `t`."""
        if t.device.type == "cpu" and t.numel():
            low, high = int(t.min()), int(t.max())
            if low < CLEAN or high >= self.num_timesteps:
                raise ValueError(
                    f"t must lie in {CLEAN}..{self.num_timesteps - 1}: got {low}..{high}"
                )
        if t.device not in self._tables:
            alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), self.alpha_bar.cpu()])
            self._tables[t.device] = torch.stack([alpha_bar, 1 - alpha_bar]).sqrt().to(t.device)
        return self._tables[t.device].index_select(1, t.long() - CLEAN)
