"""The memory that a piece of work takes at its peak, on an accelerator or of this process."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from quickstep.networks.folder import Model

_PROCESS = Path("/proc/self")
RESET_PEAK = "5"
"""What Linux wants to read in ``clear_refs`` to forget the peak of resident memory."""


@dataclass
class Growth:
    """Bytes that a block of work added at its peak; None until it is done or where unknown."""

    bytes: int | None = None


@contextmanager
def measured_growth(device: torch.device | str) -> Iterator[Growth]:
    """Measures how far memory grows within a block.

    On an accelerator this is exact. On a CPU it is the resident memory of the whole process, to
    the page, and only Linux tells it; elsewhere nothing is measured.

    Args:
        device: where the work is done.
    """
    growth = Growth()
    accelerated = torch.device(device).type != "cpu"
    before = _start_accelerator() if accelerated else _start_process()
    yield growth
    if before is not None:
        peak = torch.accelerator.max_memory_allocated() if accelerated else _status("VmHWM")
        growth.bytes = None if peak is None else max(0, peak - before)


def weight_bytes(model: Model) -> int:
    """Bytes of all weights of a model's parts."""
    parts = (model.network, model.vae, model.image_encoder)
    return sum(
        tensor.numel() * tensor.element_size()
        for part in parts
        for tensor in (*part.parameters(), *part.buffers())
    )


def _start_accelerator() -> int:
    gc.collect()
    torch.accelerator.reset_peak_memory_stats()
    return torch.accelerator.memory_allocated()


def _start_process() -> int | None:
    """Gives back what is free, so that it is not used again unseen; the memory then in use."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):
        return None
    try:
        (_PROCESS / "clear_refs").write_text(RESET_PEAK)
    except OSError:
        return None
    return _status("VmRSS")


def _status(name: str) -> int | None:
    try:
        lines = (_PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None
