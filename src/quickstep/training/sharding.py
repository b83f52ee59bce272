"""Weights spread over the ranks (FSDP2), so that networks larger than one device can train.

Checkpoints hold whole tensors: they are the same as those of a run that is not sharded, and a run
may go on with another number of ranks.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

ENTRIES = ("encode", "trunk", "forward_both")
"""Ways into our networks beside `forward`; the weights must be gathered for these, too."""


def shard(networks: Iterable[nn.Module], *, device: torch.device, count: int) -> None:
    """Spreads each network's weights over all ranks, block by block.

    Args:
        networks: with the same whole weights on every rank. A network's own
            ``_no_split_modules`` names its blocks.
        device: the rank's.
        count: number of ranks.

    Raises:
        ValueError: there is one rank only.
    """
    if count < 2:
        raise ValueError("train.sharding='fsdp2' needs several ranks: launch with torchrun")
    mesh = init_device_mesh(device.type, (count,))
    for network in networks:
        kinds = {
            name
            for module in network.modules()
            for name in getattr(module, "_no_split_modules", None) or ()
        }
        for module in list(network.modules()):
            if type(module).__name__ in kinds and module is not network:
                fully_shard(module, mesh=mesh)
        fully_shard(network, mesh=mesh)
        for name in ENTRIES:
            if hasattr(network, name):
                register_fsdp_forward_method(network, name)


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor that may be spread over ranks; all of them must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`whole` by name."""
    return {name: whole(tensor) for name, tensor in tensors.items()}


def whole_state(state: Any) -> Any:
    """An optimiser's state with all its tensors whole."""
    if isinstance(state, Tensor):
        return whole(state)
    if isinstance(state, dict):
        return {key: whole_state(value) for key, value in state.items()}
    return state


def spread_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor laid out as `like` is; the same tensor where that is whole itself."""
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
