"""The settings of the training loop; what is learned is the method's own business."""

from dataclasses import dataclass
from typing import Literal, get_args

from quickstep.networks.precision import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """How long, how fast and how carefully to train."""

    num_steps: int
    """Optimiser steps of the whole run. May change on resume; only the decay's place moves."""

    learning_rate: float
    """Rate of the constant part."""

    accumulation: int = 1
    """Micro-batches per step and rank; their gradients are averaged."""

    warmup_steps: int = 0
    """Steps over which the rate rises linearly to `learning_rate`."""

    decay_fraction: float = 0.2
    """Last share of the run over which the rate falls linearly to 0; 0 keeps it constant."""

    optimizer: Literal["adamw", "adam"] = "adamw"
    """`adam` knows no weight decay."""

    weight_decay: float = 0.0
    """AdamW's decay of matrices and kernels; biases and norms (one axis or none) are left alone."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Adam's memory of the gradient and of its square."""

    clip_norm: float = 1.0
    """Largest norm of the whole gradient; 0 for no limit."""

    ema_decay: float = 0.999
    """Of the average that is evaluated: min(decay, (1 + n) / (10 + n)) at update n; 0 for none."""

    precision: Precision = "fp32"
    """Of the networks' products; weights, gradients and the average stay float32."""

    channels_last: bool = False
    """Keep 4-D weights channels last, which suits convolutions on most machines."""

    sharding: Literal["none", "fsdp2"] = "none"
    """`fsdp2` spreads the weights of all networks over the ranks. Previews, which one rank draws,
    must be off then, and `method.skip_target` false: all ranks run the networks together."""

    num_threads: int = 0
    """CPU threads of torch; 0 leaves them as they are. Sums round differently with the number."""

    prefetch: int = 0
    """Micro-batches made ahead in a thread of their own; 0 makes each when it is needed."""

    seed: int = 0
    """Of the noise and times of every micro-batch, and of dropout."""

    checkpoint_minutes: float = 5.0
    """Save after so much time; 0 saves by `checkpoint_every` and at the end only."""

    checkpoint_every: int = 0
    """Save after so many steps, too; 0 for never."""

    keep_checkpoints: int = 2
    """Latest checkpoints that stay on disk."""

    log_every: int = 20
    """Steps between two lines of `log.jsonl`, each the mean since the one before."""

    preview_every: int = 0
    """Steps between two previews; 0 for none."""

    max_minutes: float = 0.0
    """Save and stop after so much time in this process; 0 for no limit."""

    def __post_init__(self) -> None:
        """Refuses values that cannot be meant."""
        self._expect(self.num_steps >= 1, "num_steps", "at least 1")
        self._expect(self.accumulation >= 1, "accumulation", "at least 1")
        self._expect(self.keep_checkpoints >= 1, "keep_checkpoints", "at least 1")
        self._expect(self.log_every >= 1, "log_every", "at least 1")
        self._expect(self.learning_rate > 0, "learning_rate", "above 0")
        for name in (
            *("warmup_steps", "weight_decay", "clip_norm", "num_threads", "prefetch", "seed"),
            *("checkpoint_minutes", "checkpoint_every", "preview_every", "max_minutes"),
        ):
            self._expect(getattr(self, name) >= 0, name, "0 or more")
        self._expect(0 <= self.decay_fraction <= 1, "decay_fraction", "between 0 and 1")
        self._expect(0 <= self.ema_decay < 1, "ema_decay", "at least 0 and below 1")
        self._expect(self.precision in get_args(Precision), "precision", "auto, fp32 or bf16")
        self._expect(self.optimizer in ("adamw", "adam"), "optimizer", "adamw or adam")
        together = self.sharding == "none" or self.preview_every == 0
        self._expect(together, "preview_every", "0 with sharding fsdp2")
        betas_fit = len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas)
        self._expect(betas_fit, "betas", "two numbers, at least 0 and below 1")
        without_effect = self.optimizer == "adam" and self.weight_decay > 0
        self._expect(not without_effect, "weight_decay", "0 with optimizer adam, which ignores it")

    def _expect(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise ValueError(f"TrainConfig.{name} must be {allowed}: got {getattr(self, name)!r}")


FREE_ON_RESUME = frozenset(
    {
        *("num_steps", "decay_fraction", "num_threads", "channels_last", "prefetch", "sharding"),
        *("checkpoint_minutes", "checkpoint_every", "keep_checkpoints"),
        *("log_every", "preview_every", "max_minutes"),
    }
)
"""Fields of `TrainConfig` that a resumed run may change: none alters what was learned so far."""
