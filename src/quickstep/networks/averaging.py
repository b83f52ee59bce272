"""Exponential moving averages of weights: of target networks and of the evaluation average."""

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def slow_copy(network: Module) -> Module:
    """A frozen copy of a network in evaluation mode, to be moved by `ema_update`.

    Weights that are frozen in `network` already are shared: they never move.
    """
    frozen = {id(each): each for each in network.parameters() if not each.requires_grad}
    return copy.deepcopy(network, frozen).eval().requires_grad_(False)


def ema_update(target: nn.Module, source: nn.Module, *, decay: float) -> None:
    """Moves `target` towards `source` in place: `decay * target + (1 - decay) * source`.

    Parameters and floating-point buffers are averaged; other buffers (counters) are copied.
    After n steps from theta_0 the target is
    `decay^n theta_0 + (1 - decay) sum_i decay^(n-1-i) source_i`. At decay 0 it is the source, bit
    for bit.

    Args:
        target: the slow copy; same names, shapes and dtypes as `source`.
        source: the network that is followed.
        decay: share of the old value that stays, in [0, 1].

    Raises:
        ValueError: `decay` is outside [0, 1], or the two modules do not match.

    Example:
        >>> slow, fast = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(slow.weight), nn.init.zeros_(fast.weight)
        >>> ema_update(slow, fast, decay=0.75)
        >>> slow.weight.item()
        0.75
    """
    average_tensors(
        target.state_dict(keep_vars=True), source.state_dict(keep_vars=True), decay=decay
    )


@torch.no_grad()
def average_tensors(
    target: Mapping[str, Tensor], source: Mapping[str, Tensor], *, decay: float
) -> None:
    """`ema_update` for named tensors: `target` is changed in place, name by name.

    Args:
        target: tensors to move.
        source: tensors to move towards; must hold the same names.
        decay: share of the old value that stays, in [0, 1].

    Raises:
        ValueError: `decay` is outside [0, 1], or names, shapes or dtypes differ.
    """
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"decay must be between 0 and 1: got {decay}")
    _check_alike(target, source)
    slow, fast = [], []
    moved: set[int] = set()
    for name, tensor in target.items():
        if id(tensor) in moved:  # tied weights appear under two names; move them once
            continue
        moved.add(id(tensor))
        if tensor.is_floating_point() and decay > 0.0:
            slow.append(tensor.detach())
            fast.append(source[name].detach())
        else:
            tensor.copy_(source[name])
    if slow:
        torch._foreach_lerp_(slow, fast, 1.0 - decay)


def _check_alike(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    if target.keys() != source.keys():
        odd = sorted(target.keys() ^ source.keys())
        raise ValueError(f"target and source must have the same tensors: only one has {odd[0]}")
    for name, tensor in target.items():
        other = source[name]
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            raise ValueError(
                f"{name} must be alike in target and source: got {tuple(tensor.shape)} "
                f"{tensor.dtype} and {tuple(other.shape)} {other.dtype}"
            )
