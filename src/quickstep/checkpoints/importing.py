"""Public files in, a model folder out: checked first, streamed, whole or not at all."""

import errno
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstep.checkpoints.families import Family, Part
from quickstep.checkpoints.files import CheckpointError, CheckpointFile, Stored
from quickstep.checkpoints.layouts import Piece, Report, Shape, best_report, shapes_of
from quickstep.checkpoints.shards import write_shards
from quickstep.networks.folder import describe_folder, new_model_folder

ORIGIN_FILE = "origin.json"
"""Licence, origin and digest of every file that a folder was made of."""
_CHUNK = 1 << 24
_MEGABYTE = 10**6

Progress = Callable[[str, int, int], None]
"""Called with a stage, how many megabytes of it are done, and how many there are."""


@dataclass(frozen=True)
class FoundPart:
    """A part, the file it was found in, and how well that fits.

    Attributes:
        part: the part.
        file: its file.
        report: what the file has and lacks.
        wanted: the keys and shapes that the file shall hold of the part.
    """

    part: Part
    file: CheckpointFile
    report: Report
    wanted: dict[str, Shape]

    def expect_whole(self) -> None:
        """Refuses a file with faults.

        Raises:
            CheckpointError: with the first faults.
        """
        if self.report.num_faults:
            name = self.report.layout.name
            raise CheckpointError(
                f"{self.file.path} is not {name} as published: {self.report.line()}"
            )

    def tensors(self, *, half: bool = False) -> dict[str, Stored]:
        """Shape and type of each tensor to be written."""
        pieces = self.report.layout.pieces(self.wanted)
        types = {key: self.file.tensors[piece.key].dtype for key, piece in pieces.items()}
        return {
            key: Stored(shape, torch.float16 if half else _kept(types[key]))
            for key, shape in self.wanted.items()
        }

    def weights(
        self, *, dtype: torch.dtype | None = None, told: Callable[[int], None] | None = None
    ) -> "Weights":
        """The part's tensors, read when they are asked for."""
        pieces = self.report.layout.pieces(self.wanted)
        return Weights(self.file, pieces, dtype=dtype, told=told)


class Weights(Mapping[str, Tensor]):
    """Tensors of a file under our keys, each read anew at each request.

    Args:
        file: the file.
        pieces: where each is found.
        dtype: the type they are given in; the file's own unless given.
        told: called with the bytes of each as it is read.
    """

    def __init__(
        self,
        file: CheckpointFile,
        pieces: Mapping[str, Piece],
        *,
        dtype: torch.dtype | None = None,
        told: Callable[[int], None] | None = None,
    ) -> None:
        self.file, self.pieces, self.dtype, self.told = file, pieces, dtype, told

    def __getitem__(self, key: str) -> Tensor:
        piece = self.pieces[key]
        tensor = self.file.read(piece.key)
        for copy in piece.copies:
            if not torch.equal(tensor, self.file.read(copy)):
                raise CheckpointError(
                    f"{self.file.path}: {copy} is another than {piece.key}, and must be the same"
                )
        tensor = piece.take(tensor)
        if self.told is not None:
            self.told(tensor.nbytes)
        return tensor.to(self.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.pieces)

    def __len__(self) -> int:
        return len(self.pieces)


class _Meter:
    """Tells how far a stage is, in megabytes."""

    def __init__(self, stage: str, total: int, progress: Progress | None) -> None:
        self.stage, self.total, self.progress, self.done = stage, total, progress, 0

    def __call__(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            done = min(self.done, self.total)
            self.progress(self.stage, done // _MEGABYTE, max(1, self.total // _MEGABYTE))


def find_parts(family: Family, paths: Mapping[str, Path]) -> list[FoundPart]:
    """Opens the files of a family and holds their keys and shapes against its parts.

    Args:
        family: the family.
        paths: the file of each source, by the source's name.

    Raises:
        OSError: a file is missing.
        CheckpointError: a file cannot be read, or is another one altogether.
    """
    files = {source.name: CheckpointFile(paths[source.name]) for source in family.sources}
    found = []
    for part in family.parts:
        file, shapes = files[part.source], shapes_of(part.network())
        wanted = {key: shape for key, shape in shapes.items() if part.holds(key)}
        found.append(FoundPart(part, file, best_report(file, part.layouts, wanted), wanted))
    return found


def import_family(
    family: Family,
    paths: Mapping[str, Path],
    output: Path,
    *,
    half: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Makes a model folder of a family's public files.

    Memory holds one tensor at a time. The folder is written beside `output` and renamed when all
    is there.

    Args:
        family: the family.
        paths: the file of each source, by the source's name.
        output: the folder to make; a model folder already there is replaced, anything else kept.
        half: store the weights as float16, half the size.
        progress: called as the work goes on.

    Raises:
        CheckpointError: a file does not fit; nothing is written.
        OSError: a file is missing, or the disk is full; nothing is left.
        ValueError: `output` is something other than a model folder.
    """
    found = find_parts(family, paths)
    for each in found:
        each.expect_whole()
    written = [each for each in found if each.part.write is None]
    expect_room(output, sum(_num_bytes(each.tensors(half=half)) for each in written))
    with new_model_folder(output) as folder:
        classes = {}
        for _, group in groupby(found, key=lambda each: each.part.name):
            classes |= _write_part(folder, list(group), half=half, progress=progress)
        origin = origin_of(family, found, progress=progress)
        (folder / ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n")
        describe_folder(
            folder, classes=classes, settings=family.settings, card=_card(family, origin)
        )
    return output


def verify_parts(found: list[FoundPart], *, progress: Progress | None = None) -> None:
    """Reads every weight of files that fit, writing nothing.

    Raises:
        CheckpointError: data are missing, or not finite.
    """
    for each in found:
        total = _num_bytes(each.tensors())
        weights = each.weights(told=_Meter(f"read {each.part.name}", total, progress))
        for key, tensor in weights.items():
            if not bool(torch.isfinite(tensor).all()):
                raise CheckpointError(f"{each.file.path}: {key} has weights that are not finite")


def origin_of(
    family: Family, found: list[FoundPart], *, progress: Progress | None = None
) -> dict[str, Any]:
    """Where every weight is from: the content of ``origin.json``."""
    rows = []
    for source in family.sources:
        own = [each for each in found if each.part.source == source.name]
        file = own[0].file
        digest = sha256(file.path, told=_Meter(f"digest {source.name}", file.num_bytes, progress))
        rows.append(
            {
                **asdict(source),
                "parts": [each.part.name for each in own],
                "layout": own[0].report.layout.name,
                "given_as": file.path.name,
                "bytes": file.num_bytes,
                "sha256": digest,
            }
        )
    return {"family": family.name, "quickstep": version("quickstep"), "files": rows}


def sha256(path: Path, *, told: Callable[[int], None] | None = None) -> str:
    """The SHA-256 digest of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            if told is not None:
                told(len(chunk))
    return digest.hexdigest()


def expect_room(output: Path, num_bytes: int) -> None:
    """Refuses an output for which the disk has no room.

    Raises:
        OSError: as said, with both sizes.
    """
    parent = output.absolute().parent
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if free < num_bytes:
        reason = f"needs {num_bytes / 1e9:.1f} GB of disk, {free / 1e9:.1f} GB are free"
        raise OSError(errno.ENOSPC, reason, str(output))


def _write_part(
    folder: Path, found: list[FoundPart], *, half: bool, progress: Progress | None
) -> dict[str, type]:
    """Writes a part, and says of which class it is if it has a folder of its own.

    Args:
        folder: the model folder.
        found: the part, once for each of its files.
        half: as for `import_family`.
        progress: as for `import_family`.
    """
    part = found[0].part
    tensors = {key: stored for each in found for key, stored in each.tensors(half=half).items()}
    told = _Meter(f"write {part.name}", _num_bytes(tensors), progress)
    if part.write is not None:
        part.write(folder, found[0].weights(dtype=torch.float32, told=told))
        return {}
    files = [each.weights(told=told) for each in found]
    weights = {key: file for file in files for key in file}
    network: Any = part.network()
    own = folder / part.name
    own.mkdir()
    write_shards(
        own,
        part.stem,
        tensors,
        lambda key: weights[key][key],
        named=lambda key: f"{weights[key].file.path}: {key}",
    )
    if hasattr(network, "save_config"):
        network.save_config(own)
    else:
        network.config.save_pretrained(own)
    return {part.name: type(network)}


def _num_bytes(tensors: Mapping[str, Stored]) -> int:
    return sum(stored.num_bytes for stored in tensors.values())


def _kept(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype == torch.float64 else dtype


def _card(family: Family, origin: dict[str, Any]) -> str:
    head = ["| weights | file | licence | published at | sha256 |", "|---|---|---|---|---|"]
    rows = [
        f"| {row['what']} | `{row['given_as']}` | {row['licence']} | <{row['page']}> "
        f"| `{row['sha256']}` |"
        for row in origin["files"]
    ]
    table = "\n".join([*head, *rows])
    return (
        f"# {family.title}\n\n"
        f"The public weights, put into quickstep's folders by `quickstep import {family.name}`. "
        f"The strictest licence below holds for the whole and for students made of it.\n\n{table}\n"
    )
