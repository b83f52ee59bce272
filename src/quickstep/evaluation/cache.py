"""The work folder: what was judged already, clip by clip, so that a stopped run goes on.

A record is found again by everything that decided it, and whatever of it changes, the clip is made
and judged anew. Several processes may share a folder: a record appears whole or not at all.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float

from quickstep.evaluation.source import source_digest
from quickstep.files import written_beside

PACKAGES = (
    *("quickstep", "torch", "numpy", "pillow", "diffusers", "transformers"),
    "opencv-python-headless",
)


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
            with (
                path.with_suffix(".npz").open("rb") as file,
                np.load(file, allow_pickle=False) as arrays,
            ):
                features = {name: arrays[name] for name in arrays.files}
            timings = json.loads(path.with_suffix(".timings").read_text())
        except (OSError, ValueError, EOFError, BadZipFile) as error:
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


# What decides a record is what its key holds:
# - the clip: frames, reference, keypoints, masks and boxes, by content (`Sample.digest`);
# - the video: the maker's settings, among them the digests of the model's files and of the source
#   that runs it (a folder's videos: of their files), steps, guidance, seed, number type, device;
# - the judgement: the protocol, the digests of the judging networks' weights, and the source of
#   the metrics and extractors with all they import (`code_digest`);
# - the versions of the packages beneath (`versions`).
# Tables, statistics, the reading of data, the page and all of training are no part of it: they
# change no score of a clip. The number of threads is none either: it may move last digits.
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
        key = digest_of({"frames": frames, "code": code_digest(), **versions(), **network})
        path = self.path / "truth" / f"{key[:32]}.npy"
        if not path.is_file():
            if make is None:
                raise FileNotFoundError(f"{path}: the truth's features are missing")
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_beside(path) as beside, beside.open("wb") as file:
                np.save(file, make())
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path}: damaged: delete the file to make it again") from error


def digest_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever their order."""
    text = json.dumps(values, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def code_digest() -> str:
    """SHA-256 of the source that turns two videos into scores and features."""
    return source_digest("evaluation.judging", besides=("networks.folder",))


def versions() -> dict[str, str]:
    """Versions of the packages that a video or a score may depend on."""
    found = {name: version(name) for name in PACKAGES if name != "torch"}
    return {"torch": torch.__version__, **found}


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
