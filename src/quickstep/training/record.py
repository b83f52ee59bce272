"""What a run writes about itself: `config.json`, `log.jsonl`, and TensorBoard's files."""

import dataclasses
import importlib.metadata
import importlib.util
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from quickstep.data.image import read_image
from quickstep.training.checkpoint import latest_checkpoint, write_text
from quickstep.training.config import FREE_ON_RESUME, TrainConfig

CONFIG = "config.json"
LOG = "log.jsonl"
PACKAGES = (
    *("quickstep", "torch", "accelerate", "diffusers", "transformers", "safetensors", "numpy"),
)


def describe_run(
    config: TrainConfig, *, recipe: str, settings: Mapping[str, Any], micro_batches: int
) -> dict[str, Any]:
    """The content of `config.json`: what is trained, how, and with which packages.

    Args:
        config: settings of the loop.
        recipe: the recipe's name.
        settings: the recipe's other settings (data, network, method), as JSON values.
        micro_batches: micro-batches of one step over all ranks.
    """
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    description = {
        "recipe": recipe,
        "train": dataclasses.asdict(config),
        "settings": dict(settings),
        "micro_batches_per_step": micro_batches,
        "versions": versions,
    }
    return json.loads(json.dumps(description))


def expect_run(folder: Path, description: Mapping[str, Any], *, resume: bool) -> None:
    """Refuses a run that `open_run` would, and writes nothing.

    Raises:
        ValueError: a fresh start over an earlier run, or a resume with other settings that matter.
    """
    path = folder / CONFIG
    if path.is_file():
        if not resume:
            raise ValueError(f"{folder} already holds a run: resume it, or choose another folder")
        before, now = (_what_matters(run) for run in (json.loads(path.read_text()), description))
        _check_same(before, now, folder=folder)
    elif latest_checkpoint(folder) is not None:
        raise ValueError(f"{folder} holds checkpoints but no {CONFIG}: choose another folder")


def open_run(folder: Path, description: Mapping[str, Any], *, resume: bool) -> None:
    """Claims `folder` for a run, and leaves its `config.json` there.

    Raises:
        ValueError: as `expect_run`.
        OSError: `folder` cannot be written.
    """
    expect_run(folder, description, resume=resume)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, json.dumps(description, indent=2) + "\n")


def _what_matters(description: Mapping[str, Any]) -> dict[str, Any]:
    # Two ranks with one micro-batch each learn what one rank with two does: their product is
    # compared (`micro_batches_per_step`), and the packages may be newer ones.
    free = FREE_ON_RESUME | {"accumulation"}
    train = {name: value for name, value in description["train"].items() if name not in free}
    # A teacher's own guidance scale is a default of the exported model; it teaches nothing.
    settings = {
        name: value for name, value in description["settings"].items() if name != "guidance"
    }
    return {**description, "train": train, "settings": settings, "versions": None}


def _check_same(old: Any, new: Any, *, folder: Path, name: str = "") -> None:
    """Refuses another value under any name that both have.

    A name that only one has is a setting that came or went with the code since the run began.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() & new.keys()):
            _check_same(old[key], new[key], folder=folder, name=f"{name}.{key}" if name else key)
    elif old != new:
        raise ValueError(
            f"{name} cannot change on resume: {folder} was begun with {old!r}, got {new!r}"
        )


@dataclass(frozen=True)
class Preview:
    """What a preview found.

    Attributes:
        picture: the strip it wrote.
        numbers: for the log.
        warnings: lines for whoever watches.
    """

    picture: Path
    numbers: Mapping[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()


class Log:
    """Numbers of a run over its steps: one JSON line each, and TensorBoard when installed.

    Args:
        folder: the run's folder.
        step: where the run goes on; later lines, of work that a kill undid, are dropped.
    """

    def __init__(self, folder: Path, *, step: int) -> None:
        """Opens the log to be continued after `step`."""
        path = folder / LOG
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= step]
        write_text(path, "".join(kept))
        self._file = path.open("a")
        self._board = _board(folder / "tensorboard", purge_step=step + 1)

    def write(self, step: int, values: Mapping[str, int | float]) -> None:
        """Adds the numbers of `step`; those that are not finite are written as null."""
        if not values:
            return
        safe = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **safe}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def picture(self, step: int, path: Path) -> None:
        """Shows a picture of `step` in TensorBoard; on disk it is already."""
        if self._board is not None:
            self._board.add_image("preview", read_image(path), step, dataformats="HWC")

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's `log.jsonl`, oldest first."""
    return [json.loads(line) for line in _lines(folder / LOG)]


def _lines(path: Path) -> list[str]:
    """Whole lines only: a kill may have torn the last one."""
    if not path.is_file():
        return []
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("}\n")]


def _board(folder: Path, *, purge_step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=purge_step)
