"""Trains a teacher: denoising score matching with a v target and zero terminal SNR."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.prediction import Parametrisation, prediction_from
from quickstep.diffusion.schedule import Schedule
from quickstep.methods.protocol import Loss, PlainMethod
from quickstep.methods.weighting import person_weight


@dataclass(frozen=True, kw_only=True)
class DenoisingConfig:
    """Settings of teacher training.

    Attributes:
        drop_probability: how often everything the network is told is dropped together, which
            is what trains the unconditional branch of guidance. Upstream's code never drops the
            reference latent and pose, so its unconditional branch could not be trained from
            scratch; here they go with the rest.
        noise_offset: strength of the noise that a frame's channels share (UniAnimate: 0.1).
        person_weight: extra weight of the cells that hold the person, 0 for the plain loss.
            The person's place is known from the pose, so the loss has the same minimum; a short
            training spends itself where people look.
        min_snr: gamma of min-SNR weighting in its v form, ``min(snr + 1, gamma) / (snr + 1)``
            (Hang et al. 2023; Champ: 5). At 1 this is the error of the clean estimate, which
            leaves out the fine noise that hardly shows; None weighs all times alike.
    """

    drop_probability: float = 0.1
    noise_offset: float = 0.1
    person_weight: float = 0.0
    min_snr: float | None = None

    def __post_init__(self):
        if not 0 <= self.drop_probability < 1:
            raise ValueError(
                f"drop_probability must be in [0, 1): got drop_probability={self.drop_probability}"
            )
        if self.min_snr is not None and self.min_snr < 1:
            raise ValueError(f"min_snr must be at least 1: got min_snr={self.min_snr}")
        if self.person_weight < 0:
            raise ValueError(
                f"person_weight must not be negative: got person_weight={self.person_weight}"
            )


class Denoising(PlainMethod):
    """Mean squared error between the network's prediction and its target.

    The target is ``v = alpha noise - sigma clean``, finite at every time of a schedule with zero
    terminal SNR. Times are drawn in equal strata of the batch, so that each batch sees low and
    high noise.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        config: DenoisingConfig,
        *,
        conditions: Callable[[Mapping[str, Tensor]], Any],
        parametrisation: Parametrisation = "v",
    ):
        if config.min_snr is not None and parametrisation != "v":
            raise ValueError(
                f"min_snr weighs a v loss, not one of parametrisation={parametrisation!r}: "
                "set method.min_snr=none"
            )
        self.trainable = network
        self.schedule = schedule
        self.config = config
        self.conditions = conditions
        self.parametrisation: Parametrisation = parametrisation

    def loss(
        self, batch: Mapping[str, Tensor], *, generator: torch.Generator, progress: float
    ) -> Loss:
        """The loss of one batch of clips (``latents`` b f c h w, and what ``conditions`` reads)."""
        clean = batch["latents"].float()
        count, device = len(clean), clean.device
        t = stratified_times(
            count, num_timesteps=self.schedule.num_timesteps, generator=generator
        ).to(device)
        noise = draw_noise(
            clean.shape, generator=generator, offset=self.config.noise_offset, device=device
        )
        dropped = torch.rand(count, generator=generator) < self.config.drop_probability
        features = self.trainable.encode(self.conditions(batch)).drop(dropped.to(device))  # type: ignore[operator]
        noisy = self.schedule.add_noise(clean, noise, t)
        prediction = self.trainable(noisy, t, features).float()
        target = prediction_from(
            clean, noise, t, schedule=self.schedule, parametrisation=self.parametrisation
        )
        error = (prediction - target).square()
        weight = person_weight(batch, self.config.person_weight) * self._time_weight(t)
        value = (error * weight).mean()
        return Loss(value=value, parts={"error": error.detach().mean()})

    def _time_weight(self, t: Int[Tensor, " b"]) -> Float[Tensor, "..."]:
        if self.config.min_snr is None:
            return torch.ones((), device=t.device)
        weight = min_snr_weight(t, gamma=self.config.min_snr, schedule=self.schedule)
        return weight[:, None, None, None, None]


def min_snr_weight(
    t: Int[Tensor, " b"], *, gamma: float, schedule: Schedule
) -> Float[Tensor, " b"]:
    """Min-SNR weight of a v loss: ``min(snr + 1, gamma) / (snr + 1)``, finite at zero SNR.

    Since ``snr + 1 = 1 / sigma^2``, it is ``min(1, gamma sigma^2)``.
    """
    return (gamma * schedule.sigma(t).square()).clamp(max=1).float()


def stratified_times(
    count: int, *, num_timesteps: int, generator: torch.Generator
) -> Int[Tensor, " b"]:
    """Uniform times, one in each of ``count`` equal strata, in random order.

    Each time alone is uniform over all times; together they cover the range, which takes the
    variance of the draw out of small batches.
    """
    strata = torch.randperm(count, generator=generator)
    place = (strata + torch.rand(count, generator=generator)) / count
    return (place * num_timesteps).long().clamp(max=num_timesteps - 1)
