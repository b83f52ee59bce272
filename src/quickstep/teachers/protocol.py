"""How methods and samplers speak to a network: clean estimates, with and without guidance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from quickstep.diffusion.prediction import Parametrisation, clean_from
from quickstep.diffusion.schedule import Schedule
from quickstep.diffusion.solver import guided


class Features(Protocol):
    """What a network has made of its conditions: encoded once, read at every step."""

    def dropped(self) -> "Features":
        """The features of the unconditional branch, as this family of teachers defines it."""
        ...

    def drop(self, mask: Bool[Tensor, " b"]) -> "Features":
        """The same per sample: dropped where ``mask`` is true."""
        ...

    def rows(self, index: Int[Tensor, " n"]) -> "Features":
        """The features of some samples, in the order of ``index``."""
        ...

    @staticmethod
    def cat(parts: Sequence[Any]) -> Any:
        """Several batches of features as one."""
        ...


class Network(Protocol):
    """A denoising network of any family."""

    def encode(self, conditions: Any) -> Any:
        """Turns conditions into `Features`."""
        ...

    def __call__(
        self, noisy: Float[Tensor, "b f c h w"], t: Int[Tensor, " b"], features: Any
    ) -> Float[Tensor, "b f c h w"]:
        """The network's own prediction (v, noise or clean) for ``noisy`` at time ``t``."""
        ...


@dataclass(frozen=True)
class Denoiser:
    """A network read as the estimate of clean latents; float32 whatever the network's type.

    Attributes:
        network: the network; it stays where it is and in the mode it is in.
        schedule: the noise schedule it was trained on.
        parametrisation: what its output means.
        noise_offset: of the noise it was trained with (`quickstep.diffusion.noise.draw_noise`).

    Example:
        >>> denoiser = Denoiser(network, schedule)                          # doctest: +SKIP
        >>> features = denoiser.encode(conditions)                          # doctest: +SKIP
        >>> clean = denoiser.guided(noisy, t, features, guidance=2.5)       # doctest: +SKIP
    """

    network: nn.Module
    schedule: Schedule
    parametrisation: Parametrisation = "v"
    noise_offset: float = 0.0

    def encode(self, conditions: Any) -> Any:
        """The network's features of ``conditions``, to be made once per clip."""
        return self.network.encode(conditions)  # type: ignore[operator]

    def told(self, features: Any, edge: Int[Tensor, " b"] | None) -> Any:
        """The features when the network is also told where its jump shall land.

        Without an edge they stay as they are, for networks that cannot be told.
        """
        if edge is None:
            return features
        return self.network.tell_edge(features, edge)  # type: ignore[operator]

    def clean(
        self, noisy: Float[Tensor, "b f c h w"], t: Int[Tensor, " b"], features: Any
    ) -> Float[Tensor, "b f c h w"]:
        """The clean estimate at ``noisy``, in float32 (one evaluation of the network)."""
        return self._clean_of(self.network(noisy, t, features), noisy, t)

    def guided(
        self,
        noisy: Float[Tensor, "b f c h w"],
        t: Int[Tensor, " b"],
        features: Any,
        *,
        guidance: float,
        members: int = 1,
    ) -> Float[Tensor, "b f c h w"]:
        """The clean estimate under classifier-free guidance, both branches in one batch.

        The prediction is guided, as upstream's samplers do. Guiding the clean estimate is the same
        but for the last bits: one is linear in the other.

        Args:
            noisy: noisy latents.
            t: their times.
            features: conditional features; the unconditional ones are their ``dropped()``.
            guidance: g in ``u + g (c - u)``; LCM's w is g - 1. At 1 one evaluation is enough.
            members: so many samples in a row differ in what the unconditional branch is not told,
                and in nothing else; it answers once for all of them.
        """
        if guidance == 1.0:
            return self.clean(noisy, t, features)
        if members == 1:
            first, untold = slice(None), features.dropped()
        else:
            first = torch.arange(0, len(noisy), members, device=noisy.device)
            untold = features.rows(first).dropped()
        both = type(features).cat([features, untold])
        states, times = torch.cat([noisy, noisy[first]]), torch.cat([t, t[first]])
        prediction = self.network(states, times, both).float()
        conditional, unconditional = prediction[: len(noisy)], prediction[len(noisy) :]
        if members > 1:
            unconditional = unconditional.repeat_interleave(members, dim=0)
        return self._clean_of(guided(conditional, unconditional, guidance), noisy, t)

    def _clean_of(self, prediction: Tensor, noisy: Tensor, t: Tensor) -> Tensor:
        return clean_from(
            prediction.float(),
            noisy.float(),
            t,
            schedule=self.schedule,
            parametrisation=self.parametrisation,
        )
