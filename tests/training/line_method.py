"""A method and data as small as they get: a linear map learned from noisy examples."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from quickstep.methods.protocol import Batch, Loss
from quickstep.networks.averaging import ema_update


class LineMethod:
    """Learns a line; keeps a target network, as consistency methods do, and uses dropout."""

    def __init__(self, network: nn.Module | None = None, *, seed: int = 0):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.trainable = network or nn.Sequential(
                nn.Linear(3, 8), nn.Dropout(0.25), nn.BatchNorm1d(8), nn.Linear(8, 1)
            )
        self.target = copy.deepcopy(self.trainable).eval()
        self.seen: list[float] = []

    def loss(self, batch: Batch, *, generator: torch.Generator, progress: float) -> Loss:
        self.seen.append(progress)
        noise = torch.randn(batch["x"].shape, generator=generator).to(batch["x"])
        with torch.no_grad():
            slow = self.target(batch["x"]).float()
        error = (self.trainable(batch["x"] + 0.1 * noise).float() - batch["y"]).square().mean()
        drift = (self.trainable(batch["x"]).float() - slow).square().mean()
        return Loss(error + 0.1 * drift, {"error": error.detach(), "drift": drift.detach()})

    def after_step(self) -> None:
        ema_update(self.target, self.trainable, decay=0.9)

    def other_networks(self) -> list[nn.Module]:
        return [self.target]

    def extra_state(self) -> dict[str, Tensor]:
        return {f"target.{name}": value for name, value in self.target.state_dict().items()}

    def load_extra_state(self, state: Mapping[str, Tensor]) -> None:
        self.target.load_state_dict({k.removeprefix("target."): v for k, v in state.items()})


class LineBatches:
    """y = x w + 1, drawn by the batch's number."""

    def batch(self, index: int) -> Batch:
        generator = torch.Generator().manual_seed(1000 + index)
        x = torch.randn(6, 3, generator=generator)
        return {"x": x, "y": x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 1.0}
