"""Work whose processes kill themselves: known by name, so that other processes find it."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Do = Callable[["Dangerous"], int]


@dataclass(frozen=True)
class Dangerous:
    """A task that kills the first processes that are at it.

    Attributes:
        number: to be squared.
        folder: where attempts are noted.
        deaths: how many it kills.
        error: what it says instead of an answer.
    """

    number: int
    folder: Path
    deaths: int = 0
    error: str = ""


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def squared(task: Dangerous) -> int:
    attempt = len(list(task.folder.glob(f"{task.number}-*")))
    (task.folder / f"{task.number}-{attempt}").touch()
    if attempt < task.deaths:
        die()
    if task.error:
        raise OSError(task.error)
    return task.number**2


def open_at_once() -> Do:
    return squared


def open_never() -> Do:
    die()
    return squared


def open_one(folder: Path) -> Do:
    """Lets only the first process live."""
    try:
        (folder / "open").mkdir()
    except FileExistsError:
        die()
    time.sleep(0.5)  # until the others are gone
    return squared


def open_not() -> Do:
    raise ValueError("there is nothing to open")


class DeadlyPath(type(Path())):
    """A file that kills the first process which asks for its size, or every one."""

    def stat(self, **options) -> os.stat_result:
        mark = Path(f"{self.parent.parent}/{self.name}.died")
        if self.stem.startswith("deadly") or not mark.exists():
            mark.touch()
            die()
        return super().stat(**options)
