"""The optimiser's step, and its rate at every step."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from quickstep.training.config import TrainConfig
from quickstep.training.sharding import spread_like


def step_rate(step: int, *, config: TrainConfig) -> float:
    """The rate of step number `step` (from 0): linear rise, constant, linear fall to 0 at the end.

    Before the fall it does not depend on the run's length, so a run can be made longer or shorter
    on resume.

    Example:
        >>> config = TrainConfig(num_steps=10, learning_rate=1.0, warmup_steps=2)
        >>> [step_rate(step, config=config) for step in (0, 1, 5, 8, 9)]
        [0.5, 1.0, 1.0, 1.0, 0.5]
    """
    rise = (step + 1) / config.warmup_steps if step < config.warmup_steps else 1.0
    fall_steps = config.decay_fraction * config.num_steps
    remaining = max(config.num_steps - step, 0)
    fall = remaining / fall_steps if remaining < fall_steps else 1.0
    return config.learning_rate * min(rise, fall)


def trained_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that take a gradient, each once.

    Raises:
        ValueError: there are none, or one is not float32: half precision belongs to the products
            (`TrainConfig.precision`), not to the weights that are learned.
    """
    trained = []
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.dtype != torch.float32:
            raise ValueError(f"trained weights must be float32: {name} is {parameter.dtype}")
        trained.append(parameter)
    if not trained:
        raise ValueError("trainable must have a parameter that takes a gradient: all are frozen")
    return trained


def build_optimizer(
    parameters: Sequence[nn.Parameter], *, config: TrainConfig
) -> torch.optim.Optimizer:
    """Adam or AdamW on `parameters`; the rate is set before each step (`step_rate`)."""
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[config.optimizer]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    filled = [group for group in groups if group["params"]]
    return kind(filled, lr=config.learning_rate, betas=config.betas, fused=True)


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Puts a saved `state` back, in the memory layout that the parameters have now.

    The fused step walks through parameter, gradient and averages side by side in memory, so an
    average saved from a parameter of another layout (channels last) would meet the wrong numbers.
    Where weights are sharded, each rank keeps its part.
    """
    optimizer.load_state_dict(dict(state))
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if value.shape == parameter.shape and isinstance(parameter, DTensor):
                values[name] = spread_like(value, parameter)
            elif value.shape == parameter.shape and value.stride() != parameter.stride():
                values[name] = torch.empty_like(parameter, requires_grad=False).copy_(value)


def gradient_norm(parameters: Sequence[nn.Parameter]) -> Tensor:
    """The norm of the whole gradient.

    Raises:
        ValueError: no parameter has a gradient, so the loss does not depend on what is trained.
    """
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not grads:
        raise ValueError("the loss must depend on trainable: no parameter got a gradient")
    return nn.utils.get_total_norm(grads)


def optimizer_step(
    optimizer: torch.optim.Optimizer,
    parameters: Sequence[nn.Parameter],
    *,
    norm: Tensor,
    clip: float,
    rate: float,
) -> None:
    """Scales a gradient of this `norm` down to `clip` (0 for no limit), then steps at `rate`."""
    if clip > 0:
        nn.utils.clip_grads_with_norm_(parameters, clip, norm)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
