"""Results of sources, kept under a name made of all that decides them.

A result is ``<key>.tar`` (its clips, as WebDataset has them) and ``<key>.json`` (the rest), the
second written last: a process that is killed leaves a result that is whole or none.
"""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstep.files import written_beside
from quickstep.preparation.clips import ClipFiles, png
from quickstep.preparation.settings import Fault
from quickstep.preparation.sources import Source, SourceError, source_files

VERSION = 2
"""Counts changes of the preparation after which older results are made anew."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Result:
    """What became of one source.

    Attributes:
        key: name of the result.
        sha256: of the source's parts, its ``video`` and what lies beside it.
        num_bytes: of the same.
        made_by: what decided it beside the source.
        is_new: whether it was made now, not found.
        clips: key, length and first frame of each clip.
        faults: reason, stage, first and last frame of each part left out.
        seconds: by stage.
    """

    key: str
    sha256: dict[str, str]
    num_bytes: int
    made_by: dict[str, Any]
    is_new: bool
    clips: list[dict[str, Any]]
    faults: list[dict[str, Any]]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Store:
    """A folder of results, shared by all processes and by later runs."""

    folder: Path

    def source_digests(self, source: Source) -> tuple[dict[str, str], int]:
        """SHA-256 of a source's video, skeletons and mask, and the bytes of all.

        A folder's is that of its files' digests by name. A file that was hashed before is not
        read again while its size and time stay.

        Raises:
            SourceError: a file of the source cannot be read.
            OSError: the store cannot be written to.
        """
        digests, num_bytes = dict[str, str](), 0
        for part, files in source_files(source).items():
            hashed = [self._file_digest(path) for path in files]
            each = [digest for digest, _ in hashed]
            all_ = hashlib.sha256("".join(each).encode()).hexdigest()
            digests[part] = each[0] if len(each) == 1 else all_
            num_bytes += sum(size for _, size in hashed)
        return digests, num_bytes

    def _file_digest(self, path: Path) -> tuple[str, int]:
        try:
            status = path.stat()
            mark = f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}"
            name = hashlib.sha256(mark.encode()).hexdigest()
            noted = self.folder / "hashes" / name[:2] / name[2:]
            if noted.is_file():
                return noted.read_text(), status.st_size
            digest = file_sha256(path)
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from error
        noted.parent.mkdir(parents=True, exist_ok=True)
        with written_beside(noted) as beside:
            beside.write_text(digest)
        return digest, status.st_size

    def key(self, source: Source, sha256: Mapping[str, str], decided_by: Mapping[str, Any]) -> str:
        """Name of the result of a source under settings."""
        content = {
            "version": VERSION,
            "source": dict(sha256),
            "fps": source.fps if source.video.is_dir() else None,
            "guidance": [sum(1 for _ in folder.iterdir()) for folder in source.guidance],
            "licence": source.licence,
            **decided_by,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def find(self, key: str) -> dict[str, Any] | None:
        """What is kept under a name, or None."""
        path = self._path(key, "json")
        if not path.is_file() or not self.tar(key).is_file():
            return None
        return json.loads(path.read_text())

    def tar(self, key: str) -> Path:
        """The file of a result's clips."""
        return self._path(key, "tar")

    @contextmanager
    def writing(self, key: str) -> Iterator["ResultWriter"]:
        """Takes a result's parts as they are made; keeps it when all went well."""
        self._path(key, "json").parent.mkdir(parents=True, exist_ok=True)
        with written_beside(self.tar(key)) as beside:
            with ResultWriter(beside) as writer:
                yield writer
        with written_beside(self._path(key, "json")) as beside:
            beside.write_text(json.dumps(writer.content))

    def _path(self, key: str, suffix: str) -> Path:
        return self.folder / "clips" / key[:2] / f"{key[2:]}.{suffix}"


class ResultWriter:
    """Writes clips and pictures of faults into a tar."""

    def __init__(self, path: Path) -> None:
        from webdataset.writer import TarWriter

        self.content: dict[str, Any] = {"clips": [], "faults": []}
        self._file = path.open("wb")
        self._tar: Any = TarWriter(self._file, encoder=False, mtime=0)

    def __enter__(self) -> "ResultWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with nullcontext() if kind is None else suppress(OSError):
                self._tar.close()
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            with nullcontext() if kind is None else suppress(OSError):
                self._file.close()

    def add(self, piece: ClipFiles | Fault) -> None:
        """Takes a clip's files, or a part that is left out."""
        if isinstance(piece, ClipFiles):
            self._tar.write({"__key__": piece.key, **piece.members})
            self._tar.write({"__key__": strip_key(piece.key), "png": png(piece.picture)})
            noted = {"key": piece.key, "num_frames": piece.num_frames, "first": piece.first}
            self.content["clips"].append(noted)
            return
        if piece.picture is not None:
            number = len(self.content["faults"])
            self._tar.write({"__key__": fault_key(number), "png": png(piece.picture)})
        self.content["faults"].append(noted_fault(piece))


def strip_key(clip: str) -> str:
    """Name of a clip's strip for the report."""
    return f"strip-{clip}"


def fault_key(number: int) -> str:
    """Name of the picture of a result's fault."""
    return f"fault-{number:06d}"


def noted_fault(fault: Fault) -> dict[str, Any]:
    """A fault without its picture."""
    return {
        "reason": fault.reason,
        "stage": fault.stage,
        "first": fault.first,
        "last": fault.last,
        "has_picture": fault.picture is not None,
    }


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            total.update(piece)
    return total.hexdigest()


def tar_members(path: Path) -> dict[str, tuple[int, int]]:
    """Where each file of a tar begins, and how long it is."""
    with tarfile.open(path) as tar:
        return {member.name: (member.offset_data, member.size) for member in tar}
