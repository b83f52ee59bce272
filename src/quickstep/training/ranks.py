"""Several processes that train as one: who this one is, and sums over all of them."""

import os
from collections.abc import Callable, Mapping, Sequence

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, reduce
from torch import Tensor, nn

BUCKET_ELEMENTS = 16 * 1024 * 1024
"""Gradients are sent in pieces of at least one tensor and about this many numbers."""


def rank_device(kind: str = "auto") -> torch.device:
    """The device this process should train on.

    Args:
        kind: `auto` for the accelerator when there is one, or a device's name. Under a launcher
            with several processes per machine, an accelerator without a number is this rank's own.
    """
    if kind == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        kind = accelerator.type if accelerator is not None else "cpu"
    device = torch.device(kind)
    if device.type != "cpu" and device.index is None and "LOCAL_RANK" in os.environ:
        device = torch.device(device.type, int(os.environ["LOCAL_RANK"]))
    return device


class Ranks:
    """The processes of one run, under `torchrun` or alone.

    Args:
        device: where the networks live; CPU ranks talk through gloo.

    Raises:
        ValueError: the launcher started several processes and accelerate joined none of them,
            which would train the same thing several times.
    """

    def __init__(self, device: torch.device) -> None:
        """Joins the other processes."""
        state = PartialState(cpu=device.type == "cpu")
        self.device = device
        self.index: int = state.process_index
        self.count: int = state.num_processes
        self._state = state
        launched = int(os.environ.get("WORLD_SIZE", "1"))
        if launched != self.count:
            raise ValueError(
                f"launched with {launched} ranks but accelerate joined {self.count}: "
                "on CPU set ACCELERATE_USE_CPU=true"
            )

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.index == 0

    def wait(self) -> None:
        """Returns when every rank has come here."""
        self._state.wait_for_everyone()

    def mean(self, values: Tensor) -> Tensor:
        """The mean of `values` over the ranks."""
        return values if self.count == 1 else self._reduced(values.clone(), "mean")

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """For each flag, whether any rank raised it."""
        if self.count == 1:
            return list(flags)
        raised = torch.tensor(flags, dtype=torch.int32, device=self.device)
        return [bool(flag) for flag in self._reduced(raised, "sum")]

    def on_first(self, action: Callable[[], object]) -> None:
        """Runs `action` on the first rank; the others wait, and stop too if it fails.

        Raises:
            ValueError: as `action` does, `OSError` likewise; on the other ranks when it failed.
        """
        error: ValueError | OSError | None = None
        if self.is_first:
            try:
                action()
            except (ValueError, OSError) as raised:
                error = raised
        failed = self.any([error is not None])[0]
        if error is not None:
            raise error
        if failed:
            raise ValueError("the first rank failed; its own message says why")

    @torch.no_grad()
    def share(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Overwrites `tensors` with those of the first rank, and gives them back."""
        for tensor in tensors.values() if self.count > 1 else ():
            sent = tensor.detach().to(self.device).contiguous()
            tensor.copy_(_tensor(broadcast(sent, from_process=0)))
        return tensors

    @torch.no_grad()
    def average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replaces every gradient by its mean over the ranks.

        A parameter that one rank did not use counts as 0 there; one that no rank used stays
        without a gradient, as it would in a single process.
        """
        if self.count == 1:
            return
        used = self.any([parameter.grad is not None for parameter in parameters])
        bucket: list[Tensor] = []
        for parameter, is_used in zip(parameters, used, strict=True):
            if not is_used:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter.grad)
            if sum(grad.numel() for grad in bucket) >= BUCKET_ELEMENTS:
                self._average(bucket)
                bucket = []
        self._average(bucket)

    def _average(self, bucket: list[Tensor]) -> None:
        if not bucket:
            return
        flat = self._reduced(torch.cat([grad.reshape(-1) for grad in bucket]), "mean")
        pieces = flat.split([grad.numel() for grad in bucket])
        for grad, piece in zip(bucket, pieces, strict=True):
            grad.copy_(piece.view(grad.shape))

    def _reduced(self, tensor: Tensor, reduction: str) -> Tensor:
        return _tensor(reduce(tensor, reduction=reduction))


def _tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor)
    return value
