"""Rows that need no model: finished videos of another tool, and the reference held still."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from quickstep.data.video import VIDEO_SUFFIXES
from quickstep.evaluation.manifest import read_frames
from quickstep.evaluation.sample import Made, Sample, SampleError
from quickstep.evaluation.samples import Samples
from quickstep.evaluation.source import source_digest
from quickstep.networks.folder import SETTINGS_FILE

NOT_MAKING = ("evaluation.samples", "data.dancer", "data.dancer_poses")
"""Modules that makers import for what comes before a video or is no part of it."""


@runtime_checkable
class Maker(Protocol):
    """One row of the table: makes or reads the video of any clip."""

    @property
    def name(self) -> str:
        """What the row is called; no two rows of a table are called the same."""
        ...

    def settings(self) -> dict[str, Any]:
        """All that decides the videos, as plain values: digests, steps, guidance, seed."""
        ...

    def check(self, samples: Samples) -> None:
        """Refuses, before any work, data that it cannot make videos for.

        Raises:
            ValueError: one line.
        """
        ...

    def make(self, sample: Sample) -> Made:
        """The video of a clip.

        Raises:
            ValueError: it cannot be made or read; one line.
        """
        ...


@dataclass(frozen=True)
class CopyMaker:
    """The reference held still: what every model must beat clearly."""

    @property
    def name(self) -> str:
        """The row's name."""
        return "copy"

    def settings(self) -> dict[str, Any]:
        """See `Maker`."""
        return {"kind": "copy", "code": _code()}

    def check(self, samples: Samples) -> None:
        """Every clip has a reference."""

    def make(self, sample: Sample) -> Made:
        """See `Maker`."""
        still = sample.reference
        if (still.shape[1], still.shape[0]) != sample.size:
            resized = Image.fromarray(still).resize(sample.size, Image.Resampling.BICUBIC)
            still = np.asarray(resized)
        return Made(frames=np.repeat(still[None], len(sample.frames), axis=0))


@dataclass(frozen=True)
class FolderMaker:
    """Finished videos of another tool, judged as they are.

    Attributes:
        folder: holds, for each clip, ``NAME.mp4`` (or another video) or a folder ``NAME`` of
            numbered pictures.
        sizes: sizes, beside the truth's own, that a video may have: a protocol's, for videos
            that are cut already.
    """

    folder: Path
    sizes: tuple[tuple[int, int], ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def settings(self) -> dict[str, Any]:
        """See `Maker`; the digest is that of all files of the videos."""
        total = hashlib.sha256()
        for path in self._videos().values():
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
            for file in (each for each in files if each.is_file()):
                total.update(str(file.relative_to(self.folder)).encode())
                add_file(total, file)
        digest = total.hexdigest()
        return {"kind": "videos", "model": self.name, "digest": digest, "code": _code()}

    def check(self, samples: Samples) -> None:
        """Refuses a folder whose names are not those of the clips."""
        found = set(self._videos())
        lacking = [name for name in samples.names if name not in found]
        if lacking:
            raise SampleError(
                f"{self.folder}: no video of {len(lacking)} of {len(samples)} clips, "
                f"the first is {lacking[0]!r}"
            )
        unknown = sorted(found - set(samples.known))
        if unknown:
            raise SampleError(
                f"{self.folder}: {len(unknown)} videos of no clip, the first is {unknown[0]!r}"
            )

    def make(self, sample: Sample) -> Made:
        """See `Maker`."""
        path = self._videos()[sample.name]
        frames, _ = read_frames(path)
        if len(frames) != len(sample.frames):
            raise SampleError(
                f"{path}: {len(frames)} frames, but the truth has {len(sample.frames)}"
            )
        size = (frames.shape[2], frames.shape[1])
        allowed = (sample.size, *self.sizes)
        if size not in allowed:
            names = " or ".join(f"{width}x{height}" for width, height in dict.fromkeys(allowed))
            raise SampleError(f"{path}: its size must be {names}: got {size[0]}x{size[1]}")
        return Made(frames=frames)

    def _videos(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for path in sorted(self.folder.iterdir()):
            video = path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES
            if path.name[0] == "." or not (video or path.is_dir()):
                continue
            name = path.stem if video else path.name
            if name in found:
                raise SampleError(f"{self.folder}: both {found[name].name} and {path.name}")
            found[name] = path
        return found


def is_finished(name_or_path: str) -> bool:
    """Whether it is a folder of finished videos: a folder, and no model."""
    path = Path(name_or_path)
    marks = (path / SETTINGS_FILE, path / "model" / SETTINGS_FILE)
    return path.is_dir() and not any(mark.is_file() for mark in marks)


def add_file(total: "hashlib._Hash", path: Path) -> None:
    """Adds a file's content to a digest."""
    with path.open("rb") as file:
        for block in iter(partial(file.read, 1 << 20), b""):
            total.update(block)


def _code() -> str:
    return source_digest("evaluation.finished", besides=(*NOT_MAKING, "networks.folder"))
