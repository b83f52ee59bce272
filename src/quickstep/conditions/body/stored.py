"""Arrays out of ``.npz`` files of which nothing is ever unpickled."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

PICKLED_WAY_OUT = (
    "a pickle can run any code and is never read; docs/body.md shows how to convert it"
)


class BodyError(ValueError):
    """A body mesh, model or motion that cannot be used; the message is one line."""


class StoredArrays:
    """The fields of a ``.npz``, each read when it is asked for.

    Args:
        path: the file.
        what: what the file should be, for messages, as ``"a body mesh"``.

    Raises:
        BodyError: the file is missing or no ``.npz``; on access, a field that is absent, damaged
            or pickled. The message names file and field.
    """

    def __init__(self, path: str | Path, *, what: str) -> None:
        self.path, self.what = Path(path), what
        if not self.path.is_file():
            raise BodyError(f"{path}: no such file")
        if self.path.suffix.lower() != ".npz":
            raise BodyError(f"{path}: {what} is read from a .npz: got {self.path.suffix or path}")
        try:
            with zipfile.ZipFile(self.path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise BodyError(f"{path}: not a .npz that can be read") from error
        self.names = tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))

    def __getitem__(self, name: str) -> np.ndarray:
        """The array called `name`."""
        if name not in self.names:
            raise BodyError(
                f"{self.path}: {self.what} needs the field {name}: "
                f"the file holds {', '.join(sorted(self.names)) or 'nothing'}"
            )
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                return np.asarray(arrays[name])
        except ValueError as error:
            if "allow_pickle" in str(error):
                raise BodyError(
                    f"{self.path}: the field {name} is pickled: {PICKLED_WAY_OUT}"
                ) from error
            raise BodyError(f"{self.path}: the field {name} is damaged") from error
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise BodyError(f"{self.path}: the field {name} is damaged") from error

    def __contains__(self, name: str) -> bool:
        """Whether there is a field of that name."""
        return name in self.names


def checked_array(
    name: str,
    value: object,
    shape: str,
    *,
    kind: str = "numbers",
    sizes: dict[str, int] | None = None,
) -> np.ndarray:
    """An array of finite numbers of one shape.

    Args:
        name: of the field, for messages.
        value: anything numpy takes for an array.
        shape: its axes, a number for a fixed size or a letter for a free one, as ``"T V 3"``.
        kind: ``"numbers"`` (floats, given back as float32) or ``"integers"`` (as int64).
        sizes: sizes of letters that are known already; those found are added.

    Raises:
        BodyError: another type, number of axes or size, an empty axis, or a number that is not
            finite; the message says which and where.
    """
    array = np.asarray(value)
    wanted = "f" if kind == "numbers" else "iu"
    if array.dtype.kind not in wanted:
        raise BodyError(
            f"{name} must be {'floats' if wanted == 'f' else 'integers'}: got {array.dtype}"
        )
    known = {} if sizes is None else sizes
    axes = shape.split()
    fixed = [int(axis) if axis.isdigit() else known.get(axis) for axis in axes]
    fits = array.ndim == len(axes) and all(
        want in (None, size) for want, size in zip(fixed, array.shape, strict=True)
    )
    if not fits:
        said = ", ".join(
            axis if size is None else str(size) for axis, size in zip(axes, fixed, strict=True)
        )
        raise BodyError(f"{name} must have the shape ({said}): got {array.shape}")
    if 0 in array.shape:
        raise BodyError(f"{name} must not be empty: got the shape {array.shape}")
    known.update(dict(zip(axes, array.shape, strict=True)))
    if wanted == "iu":
        return array.astype(np.int64)
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused as infinite
        numbers = array.astype(np.float32)
    bad = ~np.isfinite(numbers)
    if bad.any():
        place = np.argwhere(bad)[0]
        raise BodyError(
            f"{name} must be finite: got {array[tuple(place)]} at "
            f"[{', '.join(str(one) for one in place)}] ({int(bad.sum())} such numbers)"
        )
    return numbers


def check_range(name: str, values: np.ndarray, *, stop: int, of: str) -> None:
    """Refuses numbers that are not those of one of `stop` things.

    Raises:
        BodyError: a value below 0 or from `stop` on; the message names the first.
    """
    bad = (values < 0) | (values >= stop)
    if bad.any():
        place = np.argwhere(bad)[0]
        raise BodyError(
            f"{name} must be between 0 and {stop - 1} (there are {stop} {of}): got "
            f"{values[tuple(place)]} at [{', '.join(str(one) for one in place)}]"
        )
