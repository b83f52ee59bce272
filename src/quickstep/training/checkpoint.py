"""Checkpoints that are whole or not there, and the weights inside them.

A run's folder holds `checkpoints/step-00001000/` with `weights.safetensors` (the trained module),
`ema.safetensors` (its average: trained weights and buffers), `extra.safetensors` (what the method
keeps), `optimizer.pt` and `state.json`; the file `latest` names the newest whole one. Each is
written beside, flushed to the disk and renamed, so a kill at any moment leaves the one before.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

LATEST = "latest"


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on as if it had never stopped."""

    step: int
    """Optimiser steps done."""

    weights: Mapping[str, Tensor]
    """The state of the trained module."""

    optimizer: Mapping[str, Any]
    """The optimiser's state."""

    ema: Mapping[str, Tensor] = field(default_factory=dict)
    """The evaluation average; empty for none."""

    extra: Mapping[str, Tensor] = field(default_factory=dict)
    """What the method keeps between steps."""

    counts: Mapping[str, int | float] = field(default_factory=dict)
    """Small numbers: updates of the average, seconds of training."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Writes a checkpoint into the run `folder`, points `latest` at it, drops all but `keep`.

    Returns:
        The checkpoint's own folder.

    Raises:
        OSError: the disk is full or not writable; the checkpoints before are untouched.
    """
    home = folder / "checkpoints"
    home.mkdir(parents=True, exist_ok=True)
    clear_leftovers(folder)
    place = home / f"step-{checkpoint.step:08d}"
    if latest_checkpoint(folder) == place:
        return place
    draft = home / f".draft-{place.name}"
    draft.mkdir()
    try:
        _write_parts(draft, checkpoint)
        if place.exists():  # whole but never pointed at: killed between the two renames below
            place.rename(home / f".old-{place.name}")
        draft.rename(place)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _flush(home)
    write_text(folder / LATEST, place.name + "\n")
    _drop_old(home, keep=keep, newest=place.name)
    return place


def latest_checkpoint(folder: Path) -> Path | None:
    """The folder of the newest whole checkpoint of a run, or None before the first."""
    pointer = folder / LATEST
    if not pointer.is_file():
        return None
    place = folder / "checkpoints" / pointer.read_text().strip()
    if not (place / "state.json").is_file():
        raise ValueError(f"{pointer} names {place.name}, which is not in {place.parent}")
    return place


def read_step(place: Path) -> int:
    """The optimiser steps that were done at a checkpoint."""
    return json.loads((place / "state.json").read_text())["step"]


def read_checkpoint(place: Path) -> Checkpoint:
    """Reads a checkpoint's folder; tensors arrive on the CPU."""
    state = json.loads((place / "state.json").read_text())
    return Checkpoint(
        step=state["step"],
        weights=load_file(place / "weights.safetensors"),
        optimizer=torch.load(place / "optimizer.pt", map_location="cpu", weights_only=True),
        ema=_load_if_there(place / "ema.safetensors"),
        extra=_load_if_there(place / "extra.safetensors"),
        counts=state["counts"],
    )


def latest_weights(folder: Path, *, ema: bool = True) -> dict[str, Tensor]:
    """The trained weights of a run, averaged or raw, on the CPU.

    Args:
        folder: the run's folder (or one checkpoint's).
        ema: the evaluation average rather than the weights of the last step. A run without an
            average gives its raw weights.

    Raises:
        ValueError: the run has no checkpoint yet.
    """
    place = folder if (folder / "state.json").is_file() else latest_checkpoint(folder)
    if place is None:
        raise ValueError(f"{folder} holds no checkpoint")
    weights = load_file(place / "weights.safetensors")
    if ema:
        weights.update(_load_if_there(place / "ema.safetensors"))
    return weights


def load_weights(module: nn.Module, folder: Path, *, ema: bool = True) -> None:
    """Puts the weights of a run's latest checkpoint into `module` (see `latest_weights`).

    Raises:
        ValueError: no checkpoint, or one of another network.
    """
    weights = latest_weights(folder, ema=ema)
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).replace("\n\t", " ").splitlines()[0]
        raise ValueError(f"{folder} holds another network: {first[:300]}") from error


def clear_leftovers(folder: Path) -> None:
    """Removes what a killed process was writing or deleting."""
    home = folder / "checkpoints"
    for leftover in [*home.glob(".draft-*"), *home.glob(".old-*")]:
        shutil.rmtree(leftover, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replaces a file by `text` as a whole: readers see the old text or the new, never a part."""
    draft = path.with_name(f".draft-{path.name}")
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _flush(path.parent)


def _write_parts(draft: Path, checkpoint: Checkpoint) -> None:
    save_file(_packed(checkpoint.weights), draft / "weights.safetensors")
    if checkpoint.ema:
        save_file(_packed(checkpoint.ema), draft / "ema.safetensors")
    if checkpoint.extra:
        save_file(_packed(checkpoint.extra), draft / "extra.safetensors")
    torch.save(checkpoint.optimizer, draft / "optimizer.pt")
    state = {"format": 1, "step": checkpoint.step, "counts": dict(checkpoint.counts)}
    (draft / "state.json").write_text(json.dumps(state, indent=2) + "\n")
    for part in draft.iterdir():
        _flush(part)
    _flush(draft)


def _packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous copies where safetensors needs them: strided or tied tensors."""
    packed: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        shared = storage in seen
        seen.add(storage)
        packed[name] = tensor.detach().clone() if shared else tensor.detach()
        packed[name] = packed[name].contiguous()
    return packed


def _load_if_there(path: Path) -> dict[str, Tensor]:
    return load_file(path) if path.is_file() else {}


def _drop_old(home: Path, *, keep: int, newest: str) -> None:
    older = sorted(place for place in home.glob("step-*") if place.name < newest)
    kept = {newest, *(place.name for place in older[max(len(older) - keep + 1, 0) :])}
    for place in home.glob("step-*"):
        if place.name in kept:
            continue
        doomed = place.with_name(f".old-{place.name}")
        place.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _flush(path: Path) -> None:
    """Asks the disk to keep a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        # Some network file systems refuse this for folders; the rename is still atomic there.
        with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
            os.fsync(handle)
    finally:
        os.close(handle)
