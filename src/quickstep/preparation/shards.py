"""Kept results to shards: tar files of whole clips in random order, and the manifest of them."""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quickstep.data.shards import FORMAT, MANIFEST
from quickstep.files import written_beside
from quickstep.preparation.sources import Split
from quickstep.preparation.store import file_sha256, tar_members

SHARD_BYTES = 256 * 1024 * 1024
"""A shard is closed when it holds as much: large enough to be read fast, small enough to move."""


@dataclass(frozen=True)
class KeptClip:
    """A clip that lies in a result.

    Attributes:
        key: the clip's.
        source: name of its source.
        split: which shards it goes into.
        num_frames: frames.
        first: number of the source's first frame.
        tar: the result's file.
    """

    key: str
    source: str
    split: Split
    num_frames: int
    first: int
    tar: Path


def write_shards(
    out: Path,
    clips: Sequence[KeptClip],
    *,
    description: dict[str, Any],
    shard_bytes: int = SHARD_BYTES,
) -> dict[str, Any]:
    """Writes the shards of all splits, and at last the manifest; old shards are replaced.

    The order is by a digest of the clips' keys: neighbours in a shard are of different videos,
    and the same clips give the same bytes.

    Args:
        out: the folder.
        clips: what goes into them.
        description: the rest of the manifest.
        shard_bytes: size from which a shard is closed.

    Returns:
        The manifest.

    Raises:
        OSError: the folder cannot be written to; there is no manifest then.
    """
    (out / MANIFEST).unlink(missing_ok=True)
    shards: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for split in ("train", "test"):
        own = [clip for clip in clips if clip.split == split]
        for number, part in enumerate(_parts(own, shard_bytes)):
            path = out / f"{split}-{number:05d}.tar"
            members = _write_shard(path, [clip for clip, _ in part])
            for clip, _ in part:
                entries.append(
                    {
                        "key": clip.key,
                        "source": clip.source,
                        "split": split,
                        "num_frames": clip.num_frames,
                        "first_frame": clip.first,
                        "shard": len(shards),
                        "members": members[clip.key],
                    }
                )
            shards.append(
                {
                    "file": path.name,
                    "split": split,
                    "clips": len(part),
                    "bytes": path.stat().st_size,
                    "sha256": file_sha256(path),
                }
            )
    written = {shard["file"] for shard in shards}
    for path in out.glob("*-?????.tar"):
        if path.name not in written:
            path.unlink()
    manifest = {"format": FORMAT, **description, "shards": shards, "clips": entries}
    with written_beside(out / MANIFEST) as beside:
        beside.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    return manifest


def _parts(clips: Sequence[KeptClip], shard_bytes: int) -> Iterator[list[tuple[KeptClip, int]]]:
    """Clips of one shard after the other, with their sizes."""
    sizes: dict[Path, dict[str, int]] = {}
    part: list[tuple[KeptClip, int]] = []
    filled = 0
    for clip in sorted(clips, key=lambda one: hashlib.sha256(one.key.encode()).digest()):
        if clip.tar not in sizes:
            sizes[clip.tar] = _sizes(clip.tar)
        size = sizes[clip.tar][clip.key]
        if part and filled + size > shard_bytes:
            yield part
            part, filled = [], 0
        part.append((clip, size))
        filled += size
    if part:
        yield part


def _sizes(tar: Path) -> dict[str, int]:
    total: dict[str, int] = {}
    for name, (_, size) in tar_members(tar).items():
        key = name.partition(".")[0]
        total[key] = total.get(key, 0) + size
    return total


def _write_shard(path: Path, clips: Sequence[KeptClip]) -> dict[str, dict[str, tuple[int, int]]]:
    """Copies clips into a shard and says where each of their files is in it."""
    from webdataset.writer import TarWriter

    with written_beside(path) as beside:
        with beside.open("wb") as file:
            writer: Any = TarWriter(file, encoder=False, mtime=0)
            for clip in clips:
                writer.write({"__key__": clip.key, **clip_members(clip.tar, clip.key)})
            writer.close()
        members: dict[str, dict[str, tuple[int, int]]] = {}
        for name, place in tar_members(beside).items():
            key, _, ending = name.partition(".")
            members.setdefault(key, {})[ending] = place
    return members


def clip_members(tar: Path, key: str) -> dict[str, bytes]:
    """The files of one key in a tar, by their endings."""
    with tarfile.open(tar) as opened:
        found = {}
        for member in opened:
            stem, _, ending = member.name.partition(".")
            file = opened.extractfile(member) if stem == key else None
            if file is not None:
                found[ending] = file.read()
    return found


def picture_of(tar: Path, key: str) -> bytes | None:
    """A picture for the report that lies in a result."""
    return clip_members(tar, key).get("png")
