"""The slow average of a network's weights that is evaluated and shipped."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from quickstep.networks.averaging import average_tensors
from quickstep.training.sharding import spread_like


class Ema:
    """An exponential moving average of the trained weights and the buffers of a module.

    It is no target network: nothing learns from it. Frozen parameters are not kept, as they never
    differ from the module's own.

    Args:
        module: the network to follow; the average starts at its weights.
        decay: share of the average that an update keeps, in [0, 1); 0 follows the module exactly.
        warmup: use `min(decay, (1 + n) / (10 + n))` at update n, so that the random start is
            forgotten soon.

    Attributes:
        average: the averaged tensors by their names in the module's state.
        num_updates: updates so far.
    """

    def __init__(self, module: nn.Module, *, decay: float, warmup: bool = True) -> None:
        """Starts at the weights of `module`."""
        if not 0.0 <= decay < 1.0:
            raise ValueError(f"Ema.decay must be at least 0 and below 1: got {decay}")
        self.decay = decay
        self.warmup = warmup
        self.num_updates = 0
        self.average = {name: tensor.detach().clone() for name, tensor in _followed(module)}

    @property
    def next_decay(self) -> float:
        """The decay of the update that comes next."""
        if not self.warmup:
            return self.decay
        return min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))

    def update(self, module: nn.Module) -> None:
        """Moves the average towards the weights of `module`."""
        average_tensors(self.average, dict(_followed(module)), decay=self.next_decay)
        self.num_updates += 1

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Puts the average into `module` for the length of the `with`, then its own weights back.

        Example:
            >>> network = nn.Linear(2, 2)
            >>> ema = Ema(network, decay=0.9)
            >>> with ema.applied(network):
            ...     _ = network(torch.zeros(1, 2))
        """
        own = {name: tensor.detach().clone() for name, tensor in _followed(module)}
        try:
            _fill(module, self.average)
            yield
        finally:
            _fill(module, own)

    def load(self, average: Mapping[str, Tensor], *, num_updates: int) -> None:
        """Continues from a saved `average`.

        Raises:
            ValueError: names differ from those of the module that is followed.
        """
        if average.keys() != self.average.keys():
            odd = sorted(average.keys() ^ self.average.keys())
            raise ValueError(f"the saved average is of another network: only one has {odd[0]}")
        for name, tensor in average.items():
            self.average[name].copy_(spread_like(tensor, self.average[name]))
        self.num_updates = num_updates


def _followed(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not isinstance(tensor, nn.Parameter) or tensor.requires_grad:
            yield name, tensor


@torch.no_grad()
def _fill(module: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, tensor in _followed(module):
        tensor.copy_(values[name])
