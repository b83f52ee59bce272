"""The work folder: what was judged already, clip by clip, so that a stopped run goes on.

A record is found again by everything that decided it: the row's settings (model, steps, seed),
the protocol, the judging networks, this package's code, and the clip's content. Whatever of these
changes, the clip is made and judged anew. Several processes may share a folder: a record appears
whole or not at all.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstep.conditions.files import written_beside

_CODE = Path(__file__).resolve().parents[1]
_CODE_ELSEWHERE = ("apps", "training", "methods", "models", "evaluation/curve")
"""Folders of this package in which nothing decides a score."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is kept of one clip of one row.

    Attributes:
        clip: its name.
        sample: digest of the clip, `Sample.digest`.
        num_frames: judged frames.
        scores: clip metrics; NaN where a clip has no value.
        truth: digest of the judged true frames, by which their features are found.
        num_evaluations: of the denoising network.
        notes: what the maker had to say.
        features: of the made frames, by network.
        timings: wall seconds by stage; the only part that differs from run to run.
    """

    clip: str
    sample: str
    num_frames: int
    scores: dict[str, float]
    truth: str
    num_evaluations: int = 0
    notes: tuple[str, ...] = ()
    features: dict[str, Float[np.ndarray, "n d"]] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)


class RowStore:
    """The records of one row.

    Args:
        folder: where they are; made when the first is kept.
        settings: what decided them, noted beside them for people to read.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = settings

    def has(self, clip: str, sample: str) -> bool:
        """Whether a clip of that content is there."""
        return self._path(clip, sample).is_file()

    def load(self, clip: str, sample: str) -> Record | None:
        """The record of a clip of that content, or None.

        Raises:
            ValueError: a damaged file; the message names it.
        """
        path = self._path(clip, sample)
        if not path.is_file():
            return None
        try:
            kept = json.loads(path.read_text())
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
                features = {name: arrays[name] for name in arrays.files}
            timings = json.loads(path.with_suffix(".timings").read_text())
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{path}: damaged: delete the file to judge it again") from error
        if kept["sample"] != sample:
            return None
        scores = {
            name: math.nan if value is None else float(value)
            for name, value in kept["scores"].items()
        }
        fields = {**kept, "scores": scores, "notes": tuple(kept["notes"])}
        return Record(**fields, features=features, timings=timings)

    def keep(self, record: Record) -> None:
        """Writes a record; the file that `has` looks for appears last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / "row.json", json_text(self._settings))
        path = self._path(record.clip, record.sample)
        with written_beside(path.with_suffix(".npz")) as beside, beside.open("wb") as file:
            arrays: dict[str, Any] = dict(record.features)
            np.savez(file, **arrays)
        write_text(path.with_suffix(".timings"), json_text(record.timings))
        plain = {
            "clip": record.clip,
            "sample": record.sample,
            "num_frames": record.num_frames,
            "scores": plain_scores(record.scores),
            "truth": record.truth,
            "num_evaluations": record.num_evaluations,
            "notes": list(record.notes),
        }
        write_text(path, json_text(plain))

    def wait(self, clip: str, sample: str, *, seconds: float = 1.0) -> Record:
        """The record of a clip that another process is to make."""
        while not self.has(clip, sample):
            time.sleep(seconds)
        record = self.load(clip, sample)
        assert record is not None
        return record

    def _path(self, clip: str, sample: str) -> Path:
        return self.folder / f"{clip}-{sample[:12]}.json"


class WorkFolder:
    """The records of all rows, and the features of true frames.

    Args:
        path: the folder; it is made when something is kept.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def row(self, settings: Mapping[str, Any]) -> RowStore:
        """The store of the row that these settings decide."""
        key = digest_of(settings)
        return RowStore(self.path / "rows" / key[:16], settings)

    def truth_features(
        self,
        frames: str,
        network: Mapping[str, Any],
        make: Callable[[], Float[np.ndarray, "n d"]] | None = None,
    ) -> Float[np.ndarray, "n d"]:
        """Features of true frames, made once and found again by content.

        Args:
            frames: digest of the frames.
            network: name, weights' digest and windows of the extractor.
            make: makes them when they are not there.

        Raises:
            FileNotFoundError: they are not there and `make` is not given.
        """
        path = self.path / "truth" / f"{digest_of({'frames': frames, **network})[:32]}.npy"
        if not path.is_file():
            if make is None:
                raise FileNotFoundError(f"{path}: the truth's features are missing")
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(path) as beside, beside.open("wb") as file:
                np.save(file, make())
        return np.load(path, allow_pickle=False)


def digest_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever their order."""
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest() -> str:
    """SHA-256 of this package's source, as far as it can decide a score."""
    total = hashlib.sha256()
    for path in sorted(_CODE.rglob("*.py")):
        place = path.relative_to(_CODE)
        if not any(place.is_relative_to(each) for each in _CODE_ELSEWHERE):
            total.update(place.as_posix().encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def plain_scores(scores: Mapping[str, float]) -> dict[str, float | None]:
    """Scores for JSON, which knows no NaN."""
    return {name: None if math.isnan(value) else value for name, value in scores.items()}


def json_text(values: Any) -> str:
    """JSON as files have it: readable, strict, with a last line feed."""
    return json.dumps(values, indent=1, allow_nan=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with written_beside(path) as beside:
        beside.write_text(text, encoding="utf-8")
