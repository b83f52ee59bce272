"""What the training loop asks of a method, and of the data it learns from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

Batch = dict[str, Tensor]
"""Named tensors of one micro-batch; which names there are is between a data set and a method."""


@dataclass(frozen=True)
class Loss:
    """The loss of one micro-batch, and what it is made of."""

    value: Tensor
    """The scalar to be made small, with its graph."""

    parts: dict[str, Tensor] = field(default_factory=dict)
    """Detached scalars for the log, by name."""


@runtime_checkable
class Method(Protocol):
    """A way to train `trainable`: the loss of a batch, and what happens after each step."""

    trainable: nn.Module
    """What the optimiser updates and the evaluation average follows. Float32 weights."""

    def loss(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Loss:
        """The loss of one micro-batch, its gradient reaching `trainable` only.

        Args:
            batch: tensors on the device of `trainable`.
            generator: the only source of randomness, on the CPU: draw there, then move.
            progress: share of the run that is done, 0 at the first step and below 1.
        """
        ...

    def after_step(self) -> None:
        """Called once after each optimiser step; moves a target network, for instance."""
        ...

    def other_networks(self) -> Sequence[nn.Module]:
        """The networks that are asked but not trained: a teacher, a target."""
        ...

    def extra_state(self) -> dict[str, Tensor]:
        """What a resumed run needs beside the weights of `trainable`; a target network's, say."""
        ...

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what `extra_state` gave.

        Raises:
            ValueError: `state` belongs to another method.
        """
        ...


class PlainMethod:
    """Base of methods that keep nothing between steps: only `loss` is left to write."""

    def after_step(self) -> None:
        """Nothing moves."""

    def other_networks(self) -> Sequence[nn.Module]:
        """There are none."""
        return ()

    def extra_state(self) -> dict[str, Tensor]:
        """Nothing to keep."""
        return {}

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Takes an empty state only."""
        if state:
            raise ValueError(
                f"{type(self).__name__} keeps no extra state: got {', '.join(sorted(state))}"
            )


@runtime_checkable
class Batches(Protocol):
    """Data as a pure function of a number, so that a resumed run sees the same batches."""

    def batch(self, index: int) -> Batch:
        """Micro-batch number `index` (0, 1, 2, ... without end); the same index, the same bits."""
        ...
