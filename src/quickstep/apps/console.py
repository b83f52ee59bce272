"""What a command says while it works: progress on stderr, one line for an error."""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

SECONDS_BETWEEN_LINES = 15.0
"""Seconds from one line of progress to the next where there is no terminal."""


def error_line(error: BaseException) -> str:
    """One line that says what was wrong, for a person who does not read tracebacks."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


class Progress:
    """How far a command is, on stderr: bars on a terminal, else a plain line now and then.

    Args:
        clock: gives seconds; the time of lines is told by it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, Any] = {}
        self._lines = _Lines(clock)

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Shows that ``done`` of ``total`` parts of ``stage`` are finished."""
        if self._bars.disable:
            self._lines(stage, done, total)
            return
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def say(self, line: str) -> None:
        """Prints a line on stderr without breaking the bars."""
        if self._bars.disable:
            print(line, file=sys.stderr)
        else:
            self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def restart(self) -> None:
        """Takes the finished bars away, for the next job."""
        for task in self._tasks.values():
            self._bars.remove_task(task)
        self._tasks.clear()
        self._lines.restart()


class _Lines:
    """Progress where there is no terminal; a command that is soon done prints none."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told = clock()
        self._starts: dict[str, tuple[float, int]] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = self._clock()
        start, before = self._starts.setdefault(stage, (now, done))
        if now - self._told < SECONDS_BETWEEN_LINES:
            return
        self._told = now
        left = ""
        if done > before:
            seconds = (now - start) / (done - before) * (total - done)
            left = f", about {_time_text(seconds)} left"
        print(f"{stage}: {done} of {total}{left}", file=sys.stderr, flush=True)

    def restart(self) -> None:
        """Forgets the stages of a job that is done."""
        self._starts.clear()


def _time_text(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Preparing:
    """Progress of preparing data: a bar while a stage runs, gone before training draws its own."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __call__(self, done: int, total: int, stage: str) -> None:
        """Shows that ``done`` of ``total`` parts of ``stage`` are finished."""
        if self._progress is None:
            self._progress = Progress().__enter__()
        self._progress(stage, done, total)
        if done >= total:
            self.close()

    def close(self) -> None:
        """Takes the bar away."""
        if self._progress is not None:
            self._progress.__exit__()
            self._progress = None


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Shows our own warnings as one line each, and keeps those of libraries to themselves."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, UserWarning) and "quickstep" in filename:
            print(f"quickstep: note: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
