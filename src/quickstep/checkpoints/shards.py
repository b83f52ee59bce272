"""Writes safetensors of any size a tensor at a time, so that memory holds one of them.

The library's own writers want all tensors of a file at once.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from torch import Tensor

from quickstep.checkpoints.files import DTYPES, CheckpointError, Stored

MAX_SHARD_BYTES = 5 * 10**9
"""Weights beyond this go to several files, as on the hub."""


def write_shards(
    folder: Path,
    name: str,
    tensors: Mapping[str, Stored],
    read: Callable[[str], Tensor],
    *,
    named: Callable[[str], str] = str,
    max_bytes: int = MAX_SHARD_BYTES,
) -> list[Path]:
    """Writes tensors as ``name.safetensors``, or as several files and their index.

    Args:
        folder: an existing folder.
        name: of the files, without suffix.
        tensors: shape and type of each tensor, by key.
        read: gives a tensor when its turn has come.
        named: what messages call the tensor of a key.
        max_bytes: largest size of a file's tensors; a larger single tensor has a file of its own.

    Returns:
        The files.

    Raises:
        CheckpointError: a weight is not finite, or too large for its type.
        OSError: the disk is full.
    """
    split = split_state_dict_into_shards_factory(
        dict(tensors),
        get_storage_size=lambda stored: stored.num_bytes,
        filename_pattern=name + "{suffix}.safetensors",
        max_shard_size=max_bytes,
    )
    paths = []
    for file, keys in split.filename_to_tensors.items():
        paths.append(folder / file)
        _write_shard(paths[-1], {key: tensors[key] for key in keys}, read, named)
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / f"{name}.safetensors.index.json").write_text(text)
    return paths


def _write_shard(
    path: Path,
    tensors: Mapping[str, Stored],
    read: Callable[[str], Tensor],
    named: Callable[[str], str],
) -> None:
    """The format: the length of a header, the header in JSON, the data one after the other."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    # The widest types first, so that all data lie aligned.
    keys = sorted(tensors, key=lambda key: -tensors[key].dtype.itemsize)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for key in keys:
        stored = tensors[key]
        end = place + stored.num_bytes
        header[key] = {
            "dtype": names[stored.dtype],
            "shape": list(stored.shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in keys:
            file.write(_bytes(named(key), read(key), tensors[key]))
        file.flush()
        os.fsync(file.fileno())


def _bytes(name: str, tensor: Tensor, stored: Stored) -> Any:
    tensor = tensor.to(stored.dtype).contiguous()
    if tuple(tensor.shape) != stored.shape:
        raise AssertionError(f"{name} was announced as {stored.shape}: got {tuple(tensor.shape)}")
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"{name} has weights that are not finite, or too large for its type")
    return tensor.view(-1).view(torch.uint8).numpy()
