"""Counts operations and live memory of code run on tensors without data."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count, shape_wrapper


@dataclass(frozen=True)
class Count:
    """What a piece of code costs.

    Attributes:
        flops: floating-point operations of its products, a multiplication and an addition as two.
        peak: largest number of bytes alive at once of what it makes itself.
        kept: bytes of it that are alive at its end.
    """

    flops: int
    peak: int
    kept: int


@contextmanager
def without_data() -> Iterator[None]:
    """Tensors made within have shapes, types and devices, and no data; nor do products of them."""
    with FakeTensorMode():
        yield


def counted(code: Callable[[], Any]) -> Count:
    """Runs code on tensors without data (`without_data`) and counts; its result is kept till then.

    The code takes the very path that it takes with data: what depends on the device does so here.
    """
    counter = _Counter()
    with counter:
        result = code()
    count = Count(flops=counter.flops, peak=counter.peak, kept=counter.now)
    del result
    return count


def num_bytes(module: nn.Module, *, trainable: bool = False) -> int:
    """Size of a network's weights and buffers, or of those that learn alone."""
    tensors: list[Tensor] = [
        each for each in module.parameters() if each.requires_grad or not trainable
    ]
    tensors += [] if trainable else list(module.buffers())
    return sum(each.numel() * each.element_size() for each in tensors)


class _Counter(TorchDispatchMode):
    """Counts products, and follows the storages that operations make until their end.

    The formulas are those of torch's `FlopCounterMode`. That counter itself is of no use here: it
    ties itself to the tensors of all modules, so that checkpointing no longer frees them, and takes
    operations apart that a device does in one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = self.flops = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        # A view of what was there before, as of a weight, is nothing new.
        known = {each.untyped_storage()._cdata for each in given}
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        formula = _FORMULAS.get(func._overloadpacket)
        self.flops += 0 if formula is None else formula(*args, **kwargs, out_val=made)
        if func in _CONVOLUTIONS and given[0].device.type == "cpu":
            # A convolution on the CPU copies its input into another layout.
            self.peak = max(self.peak, self.now + given[0].nbytes + made_bytes(made, known))
        for each in tree_leaves(made):
            if isinstance(each, Tensor) and each.untyped_storage()._cdata not in known:
                self._note(each.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        # The Python object of a storage lives as long as the storage does.
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


def made_bytes(made: Any, known: set[int]) -> int:
    """Bytes of new tensors among an operation's results."""
    tensors = [each for each in tree_leaves(made) if isinstance(each, Tensor)]
    return sum(each.nbytes for each in tensors if each.untyped_storage()._cdata not in known)


_CONVOLUTIONS = (
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
)


def _attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward_flops(
    _: Any, query: Any, key: Any, value: Any, *__: Any, **___: Any
) -> int:
    # Scores once more, and the gradients of both products' factors.
    return sdpa_flop_count(query, key, value) * 5 // 2


_FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: shape_wrapper(_attention_flops),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: shape_wrapper(
        _attention_backward_flops
    ),
}
"""Torch's own, which know the fused attentions of accelerators alone, and the CPU's."""
