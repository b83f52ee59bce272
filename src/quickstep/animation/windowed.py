"""A denoiser of fixed length, run over a clip of any length window by window."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstep.animation.windows import Blend, Window, blend_weights
from quickstep.teachers.protocol import Denoiser

MAX_CACHED = 64
"""Windows whose features are kept between steps; those of longer clips are encoded anew, which
costs little beside the network and keeps memory flat."""


Report = Callable[[str, int, int], None]
"""Called with a stage's name, how many of its parts are done, and how many there are."""


class WindowedDenoiser:
    """The clean estimate of a whole clip: that of each window, blended where windows overlap.

    The clip's latents stay on the CPU, one window at a time is on the device, so that memory
    there does not grow with the clip. Blending clean estimates at each step is blending the
    network's predictions, because one is linear in the other; it makes neighbours agree long
    before the last step, so that no seam is left to see.

    Attributes:
        num_evaluations: evaluations of the network so far; a guided one counts twice.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        windows: list[Window],
        features: Callable[[Window], Any],
        guidance: float,
        device: torch.device,
        blend: Blend = "smooth",
        report: Callable[[], None] | None = None,
    ) -> None:
        self.denoiser = denoiser
        self.windows = windows
        self.guidance = guidance
        self.device = device
        self.num_evaluations = 0
        self._weights = blend_weights(windows, blend=blend)
        self._encode = features
        self._cached: dict[Window, Any] = {}
        self._report = report

    def __call__(
        self,
        noisy: Float[Tensor, "1 f c h w"],
        t: Int[Tensor, " 1"],
        edge: Int[Tensor, " 1"] | None = None,
    ) -> Float[Tensor, "1 f c h w"]:
        """The clean estimate at ``noisy``, in float32 on the CPU.

        ``edge`` is where the jump shall land, for a network that is told it.
        """
        edge = None if edge is None else edge.to(self.device)
        clean = torch.zeros_like(noisy, dtype=torch.float32)
        for window, weight in zip(self.windows, self._weights, strict=True):
            part = self.denoiser.guided(
                noisy[:, window.frames].to(self.device),
                t.to(self.device),
                self.denoiser.told(self.features(window), edge),
                guidance=self.guidance,
            )
            clean[:, window.frames] += part.cpu() * weight[:, None, None, None]
            self.num_evaluations += 1 if self.guidance == 1.0 else 2
            if self._report:
                self._report()
        return clean

    def features(self, window: Window) -> Any:
        """What the network is told in a window, encoded once while there is room to keep it."""
        if window not in self._cached:
            encoded = self._encode(window)
            if len(self._cached) >= MAX_CACHED:
                return encoded
            self._cached[window] = encoded
        return self._cached[window]


class WindowCounter:
    """Counts windows of all steps for a progress report."""

    def __init__(self, report: Report | None, *, total: int) -> None:
        self.report, self.total, self.done = report, total, 0

    def __call__(self) -> None:
        """Counts one more."""
        self.done += 1
        if self.report:
            self.report("denoise", self.done, self.total)
