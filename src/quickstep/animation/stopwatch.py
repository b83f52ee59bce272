"""Wall time by stage: the honest number is the whole job, and where it went."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

Item = TypeVar("Item")


class Stopwatch:
    """Adds up the seconds spent in each named stage.

    Example:
        >>> watch = Stopwatch()
        >>> with watch("denoise"):
        ...     pass
        >>> list(watch.seconds)
        ['denoise']
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.seconds: dict[str, float] = {}
        self._wait = torch.device(device).type != "cpu"

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Times a block; work queued on an accelerator is waited for."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self._wait:
                torch.accelerator.synchronize()
            self.add(stage, time.perf_counter() - start)

    def each(self, stage: str, items: Iterable[Item]) -> Iterator[Item]:
        """Times the making of every item, not what is done with it."""
        iterator = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def add(self, stage: str, seconds: float) -> None:
        """Adds seconds that were measured elsewhere."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
