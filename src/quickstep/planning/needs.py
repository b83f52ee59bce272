"""The answer of a plan: numbers by part, and which settings would fit."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch


@dataclass(frozen=True)
class Choice:
    """Another way of running, and the memory that it takes.

    Attributes:
        name: what to ask for.
        memory: bytes on the device.
    """

    name: str
    memory: int


@dataclass(frozen=True)
class Needs:
    """What a run needs.

    Attributes:
        memory: bytes on the device at the run's peak, by part; what is not alive at one time is
            not added up here.
        available: bytes that are free there now.
        disk: bytes by part.
        evaluations: evaluations of the network on a window or clip; a guided one counts twice.
        flops: floating-point operations by part.
        seconds: estimated time by part; None where no probe was run.
        choices: other ways of running.
        notes: what the numbers leave out.
    """

    memory: dict[str, int]
    available: int
    disk: dict[str, int]
    evaluations: float
    flops: dict[str, float]
    seconds: dict[str, float] | None = None
    choices: list[Choice] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def peak(self) -> int:
        """Bytes on the device at the run's peak."""
        return sum(self.memory.values())

    def fits(self, memory: int | None = None) -> bool:
        """Whether so much memory, or the plan's, is free."""
        return (self.peak if memory is None else memory) <= self.available

    def as_dict(self) -> dict[str, Any]:
        """All numbers, for JSON."""
        return {
            "memory": self.memory,
            "peak_memory": self.peak,
            "available_memory": self.available,
            "fits": self.fits(),
            "disk": self.disk,
            "evaluations": self.evaluations,
            "flops": self.flops,
            "seconds": self.seconds,
            "choices": {each.name: each.memory for each in self.choices},
            "notes": self.notes,
        }

    def lines(self) -> list[str]:
        """All numbers, for a reader."""
        parts = ", ".join(f"{name} {gigabytes(size)}" for name, size in self.memory.items())
        fits = "fits" if self.fits() else "does not fit"
        lines = [
            f"memory: {gigabytes(self.peak)} of {gigabytes(self.available)} free, {fits} ({parts})",
            "disk: " + ", ".join(f"{name} {gigabytes(size)}" for name, size in self.disk.items()),
            f"evaluations of the network: {self.evaluations:,.0f}",
            "operations: "
            + ", ".join(f"{name} {flops / 1e12:,.3g} TFLOP" for name, flops in self.flops.items()),
        ]
        if self.seconds is None:
            lines.append("time: not estimated (no probe was run)")
        else:
            total = duration(sum(self.seconds.values()))
            parts = ", ".join(f"{name} {duration(time)}" for name, time in self.seconds.items())
            lines.append(f"time: about {total} ({parts})")
        lines += [
            f"  {each.name}: {gigabytes(each.memory)}, "
            f"{'fits' if self.fits(each.memory) else 'does not fit'}"
            for each in self.choices
        ]
        return lines + [f"note: {note}" for note in self.notes]


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def program_memory(device: torch.device) -> int:
    """What Python and its libraries take on the device before any network is there."""
    return psutil.Process().memory_info().rss if device.type == "cpu" else 0


def kept_by_heap(peaks: Collection[int], device: torch.device) -> dict[str, int]:
    """What is kept beside the largest stage's memory, as a part of `Needs.memory`.

    On a CPU the C library's heap keeps what it had for the other stages, in pieces that this one
    cannot use. Were pieces given back at once, a run would take half as long again.

    Args:
        peaks: bytes of each stage.
        device: where they are.
    """
    return {"kept by the heap": sum(peaks) - max(peaks)} if device.type == "cpu" else {}


def gigabytes(size: int | float) -> str:
    """A number of bytes as text.

    Example:
        >>> gigabytes(5_666_257_200), gigabytes(1_200_000)
        ('5.67 GB', '1.2 MB')
    """
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def duration(seconds: float) -> str:
    """A time as text.

    Example:
        >>> duration(3.21), duration(200.0), duration(7300.0)
        ('3.2 s', '3 min 20 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes} min {rest:02d} s"
        if minutes < 60
        else f"{minutes // 60} h {minutes % 60:02d} min"
    )
