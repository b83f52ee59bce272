"""Processes that would make the same folder take turns."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, runtime_checkable

from filelock import FileLock

P = ParamSpec("P")
R = TypeVar("R")


@runtime_checkable
class _Set(Protocol):
    @property
    def folder(self) -> Path: ...


Place = TypeVar("Place", bound=Path | _Set)


def in_turn(
    make: Callable[Concatenate[Place, P], R],
) -> Callable[Concatenate[Place, P], R]:
    """Lets one process at a time run a function on one folder; the others wait.

    Two runs that want the same set may be started together: the second finds the first one's
    work done. A process that dies gives its turn up.

    Args:
        make: goes on with what its first argument, a folder or a set with one, holds.

    Returns:
        The same; it makes the folder, and a file ``.turn`` in it.
    """

    @wraps(make)
    def made(place: Place, /, *args: P.args, **kwargs: P.kwargs) -> R:
        folder: Any = place if isinstance(place, Path) else place.folder
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".turn"):
            return make(place, *args, **kwargs)

    return made
