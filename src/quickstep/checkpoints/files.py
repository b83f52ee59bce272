"""Weights in files of other programs, read one tensor at a time, running nothing that is in them.

A file written by ``torch.save`` is a pickle beside raw data. Only its plain values are built, the
tensors as descriptions; their data are read from the file when they are asked for. Objects of
training programs (Lightning's callbacks, OmegaConf's settings) become inert stand-ins; any other
class or function that a pickle names is refused.
"""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

_INERT_MODULES = ("pytorch_lightning", "lightning", "lightning_fabric", "omegaconf", "ldm", "numpy")
_INERT_NAMES = (
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "set", "str")),
    "_codecs.encode",
    "argparse.Namespace",
    "collections.defaultdict",
    "typing.Any",
)
"""What is replaced by stand-ins: things that checkpoints of training programs are known to hold."""

_WRAPPERS = ("state_dict", "module", "model")
"""Under which of these a file may keep its weights, beside other things."""

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""safetensors' names of number types."""


class CheckpointError(ValueError):
    """A file that cannot be used; the message is one line for the user."""


@dataclass(frozen=True)
class Stored:
    """What a file says of a tensor.

    Attributes:
        shape: its shape.
        dtype: its number type.
        place: how to find its data: the first byte and the strides, for a file of torch's.
        value: the data themselves, of a file that can only be read whole.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    place: tuple[int, tuple[int, ...]] | None = None
    value: Tensor | None = field(default=None, repr=False, compare=False)

    @property
    def num_bytes(self) -> int:
        """Size of its data."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class CheckpointFile:
    """The tensors of a ``.safetensors``, ``.pth``, ``.pt``, ``.ckpt`` or ``.bin`` file.

    Args:
        path: the file.

    Attributes:
        tensors: what is known of each tensor, by its key, in the file's order.

    Raises:
        OSError: there is no such file.
        CheckpointError: it is cut short, is no checkpoint, holds no weights, or names code.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            raise IsADirectoryError(f"{path} is a folder: name the file of weights in it")
        with self.path.open("rb") as file:
            start = file.read(16)
        self.tensors: dict[str, Stored] = self._described(start)
        if not self.tensors:
            raise CheckpointError(f"{path} holds no weights: it is another file")

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return self.path.stat().st_size

    def read(self, key: str) -> Tensor:
        """The tensor `key`, of which no second copy is held.

        Raises:
            CheckpointError: its data are not there.
        """
        stored = self.tensors[key]
        if stored.value is not None:
            return stored.value
        if stored.place is None:
            # Opened for each tensor: the pages read through an open file stay in memory.
            with safe_open(self.path, framework="pt") as file:
                return file.get_tensor(key).clone()
        return self._read_at(key, stored)

    def _read_at(self, key: str, stored: Stored) -> Tensor:
        assert stored.place is not None
        first, strides = stored.place
        last = sum((size - 1) * stride for size, stride in zip(stored.shape, strides, strict=True))
        empty = 0 in stored.shape
        data = bytearray(0 if empty else (last + 1) * stored.dtype.itemsize)
        with self.path.open("rb") as file:
            file.seek(first)
            if file.readinto(data) != len(data):
                raise CheckpointError(f"{self.path} is cut short: the data of {key} are not there")
        if empty:
            return torch.empty(stored.shape, dtype=stored.dtype)
        return torch.frombuffer(data, dtype=stored.dtype).as_strided(stored.shape, strides)

    def _described(self, start: bytes) -> dict[str, Stored]:
        if start[8:9] == b"{" or self.path.suffix == ".safetensors":
            return self._described_safetensors()
        if start[:2] == b"PK":
            return self._described_zip()
        if start[:1] == b"\x80":
            return self._described_legacy()
        raise CheckpointError(
            f"{self.path} is no checkpoint: neither safetensors nor a file of torch.save"
        )

    def _described_safetensors(self) -> dict[str, Stored]:
        try:
            with safe_open(self.path, framework="pt") as file:
                slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
                return {
                    key: Stored(tuple(each.get_shape()), DTYPES[each.get_dtype()])
                    for key, each in slices.items()
                }
        except SafetensorError as error:
            raise CheckpointError(f"{self.path} is cut short or damaged: {error}") from error
        except KeyError as error:
            raise CheckpointError(f"{self.path} has weights of the type {error}") from error

    def _described_zip(self) -> dict[str, Stored]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                packed = any(entry.compress_type for entry in archive.infolist())
        except zipfile.BadZipFile as error:
            raise CheckpointError(f"{self.path} is cut short or damaged: {error}") from error
        if packed:
            raise CheckpointError(f"{self.path} is a compressed archive, not a file of torch.save")
        with FakeTensorMode():
            found = _tensors(self._loaded(_named_globals(self.path)))
        return {key: self._described_tensor(key, tensor) for key, tensor in found.items()}

    def _described_tensor(self, key: str, tensor: Tensor) -> Stored:
        storage: Any = tensor.untyped_storage()
        start = storage._checkpoint_offset
        if start + storage.nbytes() > self.num_bytes:
            raise CheckpointError(f"{self.path} is cut short: the data of {key} are not there")
        first = start + tensor.storage_offset() * tensor.dtype.itemsize
        return Stored(tuple(tensor.shape), tensor.dtype, place=(first, tensor.stride()))

    def _described_legacy(self) -> dict[str, Stored]:
        """Files of torch before 1.6, which can only be read whole."""
        found = _tensors(self._loaded(()))
        return {
            key: Stored(tuple(tensor.shape), tensor.dtype, value=tensor)
            for key, tensor in found.items()
        }

    def _loaded(self, named: Iterable[str]) -> Any:
        unknown = [name for name in named if not _is_known(name)]
        if unknown:
            raise CheckpointError(_refusal(self.path, unknown))
        stand_ins: list[Any] = [(_Inert, name) for name in named]
        try:
            with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the version of the pickle
                return torch.load(self.path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            names = re.findall(r"GLOBAL (\S+)", str(error))
            if names:
                raise CheckpointError(_refusal(self.path, names)) from error
            raise CheckpointError(f"{self.path} is cut short or no file of torch.save") from error
        except (RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
            raise CheckpointError(f"{self.path} is cut short or no file of torch.save") from error


class _Inert:
    """Stands for an object of a training program: takes whatever it is given and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _named_globals(path: Path) -> list[str]:
    """The classes and functions beyond torch's own that a pickle names; nothing is run."""
    try:
        return torch.serialization.get_unsafe_globals_in_checkpoint(os.fspath(path))
    except (RuntimeError, pickle.UnpicklingError, ValueError, EOFError, OSError) as error:
        raise CheckpointError(f"{path} is cut short or no file of torch.save") from error


def _is_known(name: str) -> bool:
    return name.split(".")[0] in _INERT_MODULES or name in _INERT_NAMES


def _refusal(path: Path, names: list[str]) -> str:
    return (
        f"{path} wants code to run ({', '.join(names[:3])}) and is not read: if you trust it, save "
        f"its tensors alone as .safetensors where it was made, and import that"
    )


def _tensors(content: Any) -> dict[str, Tensor]:
    """The weights in what a file holds, unwrapped."""
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping):
        return {}
    return {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor | FakeTensor)
    }
