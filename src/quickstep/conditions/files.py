"""Files that are either there whole or not there at all."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
    beside = path.parent / f".{path.stem}.{os.getpid()}-{threading.get_ident()}{path.suffix}"
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
