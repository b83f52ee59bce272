"""Files and folders that are either there whole or not there at all."""

import hashlib
import os
import platform
import re
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_HIDDEN = re.compile(r"\..+\.([0-9a-f]{6})-(\d+)-\d+(?:\.\w+)?")
_REPLACED = "replaced"


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """Gives a name beside `path` to write to, and moves the file into place when all went well.

    A reader of `path` sees the old file or the whole new one, never a part; when the block
    raises, nothing new is left in the folder.

    Args:
        path: the file to make or replace. Its folder must exist.

    Yields:
        A hidden name in the same folder with the same suffix, already created and empty.

    Raises:
        OSError: the folder is missing or cannot be written to; the message names `path`.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with written_beside(folder / "notes.txt") as beside:
        ...     _ = beside.write_text("whole")
        >>> [file.name for file in folder.iterdir()]
        ['notes.txt']
    """
    path = Path(path)
    beside = _hidden(path.stem, path)
    if path.is_dir():
        raise IsADirectoryError(f"cannot write {path}: it is a folder")
    try:
        beside.touch()
    except OSError as error:
        raise type(error)(f"cannot write {path}: {error.strerror}") from error
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def folder_written_beside(path: str | Path) -> Iterator[Path]:
    """Gives an empty folder beside `path`, and moves it into place when all went well.

    A folder that is there is replaced, and kept until the new one is whole. What killed processes
    left of earlier attempts is taken away.

    Args:
        path: the folder to make or replace; those above it are made.

    Yields:
        A hidden folder in the same place.

    Raises:
        OSError: it cannot be written.

    Example:
        >>> import tempfile
        >>> home = Path(tempfile.mkdtemp())
        >>> with folder_written_beside(home / "model") as beside:
        ...     _ = (beside / "weights").write_text("whole")
        >>> [str(file.relative_to(home)) for file in home.rglob("*")]
        ['model', 'model/weights']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_remains(path.parent.glob(f".{escape(path.name)}.*"))
    beside = _hidden(path.name, path)
    beside.mkdir()
    try:
        yield beside
        _swap_in(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _hidden(stem: str, path: Path) -> Path:
    suffix = path.suffix if stem != path.name else ""
    mark = f"{_MACHINE}-{os.getpid()}-{threading.get_ident()}"
    return path.parent / f".{stem}.{mark}{suffix}"


def _swap_in(new: Path, path: Path) -> None:
    replaced = path.with_name(f".{path.name}.{_REPLACED}")
    if path.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        path.rename(replaced)
    new.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def remove_remains(places: Iterable[Path]) -> None:
    """Deletes the half-written among `places` whose processes, of this machine, are no more."""
    for place in list(places):
        match = _HIDDEN.fullmatch(place.name)
        if not match or match[1] != _MACHINE or _is_alive(int(match[2])):
            continue
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
