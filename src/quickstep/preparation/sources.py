"""Footage as it lies on disk: videos, or folders of pictures, in the layouts people have.

=========  =======================================================================================
layout     what is read
=========  =======================================================================================
videos     every video below the folder, links followed; skeletons as ``NAME.npz``, ``NAME.json``
           or ``NAME.dwpose.mp4`` beside ``NAME.mp4``, or in ``<folder>_dwpose`` under its name;
           pose maps as a folder ``NAME.maps`` or a body ``NAME.body.npz``
clips      clip folders of ``quickstep dancer``
ubc        videos in ``train`` and ``test``, or with ``fashion_train.txt``, ``fashion_test.txt``
tiktok     ``NAME/images``; beside it ``masks`` and ``skeletons.npz``, ``openpose_json``, ``dwpose``
champ      ``PART/NAME/images`` (or without PART); beside it ``mask`` and ``dwpose``, ``depth``,
           ``normal`` and ``semantic_map``
moore      a json list of ``video_path`` and ``kps_path``, or a folder with ``meta.json``
=========  =======================================================================================
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from quickstep.data.clip import read_clip_info
from quickstep.data.video import VIDEO_SUFFIXES
from quickstep.preparation.settings import Fault

Layout = Literal["auto", "videos", "clips", "ubc", "tiktok", "champ", "moore"]
Split = Literal["train", "test"]

PICTURES_FPS = 30.0
"""Of folders of pictures, which name none; TikTok's rate."""
POSE_SUFFIXES = (".npz", ".json", ".dwpose.mp4")
MAP_SUFFIXES = (".maps", ".body.npz")
_IN_FOLDER = ("skeletons.npz", "openpose_json", "dwpose", "dwpose.mp4")
_MASKS = ("masks", "mask")
_GUIDANCE = ("depth", "normal", "semantic_map", "mask", "dwpose")
_UBC_LISTS: dict[Split, str] = {"train": "fashion_train.txt", "test": "fashion_test.txt"}


class SourceError(ValueError):
    """Footage that cannot be found or listed; the message is one line."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A video to be prepared and what lies beside it.

    Attributes:
        name: unique, the path below the footage's folder without suffix.
        video: a file, or a folder of numbered pictures.
        poses: keypoints or skeleton pictures, one for each frame.
        mask: the person in white, a video or pictures.
        maps: a folder of Champ's maps, a clip folder, or a body's ``.npz``; None unless wanted.
        guidance: folders that must have as many pictures as the video has frames.
        fps: frame rate of a folder of pictures.
        split: which part of the data it belongs to.
        licence: where it is known.
    """

    name: str
    video: Path
    poses: Path | None = None
    mask: Path | None = None
    maps: Path | None = None
    guidance: tuple[Path, ...] = ()
    fps: float = PICTURES_FPS
    split: Split = "train"
    licence: str = ""


@dataclass
class Found:
    """What a folder of footage holds.

    Attributes:
        sources: by name.
        faults: what is no source though it lies there, with its name.
    """

    sources: list[Source] = field(default_factory=list)
    faults: list[tuple[str, Fault]] = field(default_factory=list)

    def leave(self, name: str, reason: str) -> None:
        """Notes that something is left out before it is looked into."""
        self.faults.append((name, Fault(reason=reason, stage="find")))


def find_sources(
    home: Path,
    *,
    layout: Layout = "auto",
    fps: float = PICTURES_FPS,
    out: Path | None = None,
    with_maps: bool = False,
) -> Found:
    """Lists the footage below a folder, in the order of its names.

    Args:
        home: the folder, or Moore's json.
        layout: how it lies there; ``auto`` looks.
        fps: frame rate of folders of pictures.
        out: a folder that is not looked into, where the shards go.
        with_maps: whether the pose maps of the footage are wanted.

    Raises:
        SourceError: nothing there, or no footage in it.
    """
    if not home.exists():
        raise SourceError(f"{home}: no such file or folder")
    chosen = guess_layout(home) if layout == "auto" else layout
    found = _READERS[chosen](home, out)
    wanted = dict[str, Any](fps=fps) | ({} if with_maps else {"maps": None})
    found.sources = [replace(source, **wanted) for source in found.sources]
    if not found.sources:
        first = f": {found.faults[0][0]}: {found.faults[0][1].reason}" if found.faults else ""
        raise SourceError(f"{home}: no footage in it as layout {chosen!r} has it{first}")
    return found


def guess_layout(home: Path) -> Layout:
    """The layout that a folder most likely has; see the table above."""
    if home.is_file() or (home / "meta.json").is_file():
        return "moore"
    if any(home.glob("*/clip.json")) or (home / "clip.json").is_file():
        return "clips"
    if any(home.glob("*/images")):
        return "tiktok"
    if any(home.glob("*/*/images")):
        return "champ"
    if (home / "train").is_dir() and (home / "test").is_dir():
        return "ubc"
    if any((home / name).is_file() for name in _UBC_LISTS.values()):
        return "ubc"
    return "videos"


def _videos(home: Path, out: Path | None) -> Found:
    found, names = Found(), set[str]()
    beside = home.with_name(f"{home.name}_dwpose")
    for path in _files(home, out, found):
        inner = path.relative_to(home)
        if _is_companion(path):
            continue
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            found.leave(inner.as_posix(), "no video: its name ends in none of a video's suffixes")
            continue
        name = inner.with_suffix("").as_posix()
        if name in names:
            name = inner.as_posix()
        names.add(name)
        stem = path.with_suffix("")
        poses = [Path(f"{stem}{suffix}") for suffix in POSE_SUFFIXES]
        given = next((each for each in [*poses, beside / inner] if each.exists()), None)
        places = [Path(f"{stem}{suffix}") for suffix in MAP_SUFFIXES]
        maps = next((each for each in places if each.exists()), None)
        found.sources.append(Source(name=name, video=path, poses=given, maps=maps))
    return found


def _is_companion(path: Path) -> bool:
    """Whether a file or folder holds the skeletons or maps of a video beside it."""
    for suffix in (*MAP_SUFFIXES, *POSE_SUFFIXES):
        if path.name.lower().endswith(suffix):
            stem = path.name[: -len(suffix)]
            return any(path.with_name(f"{stem}{each}").exists() for each in VIDEO_SUFFIXES)
    return False


def _files(home: Path, out: Path | None, found: Found) -> Iterator[Path]:
    """All files below a folder by name; links are followed, but not in a circle."""
    seen = {home.resolve()} | ({out.resolve()} if out else set())

    def walk(folder: Path) -> Iterator[Path]:
        for path in _inside(folder, home, found):
            name = path.relative_to(home).as_posix()
            try:
                real = path.resolve(strict=True)
            except (OSError, RuntimeError):
                found.leave(name, "a link that leads nowhere")
                continue
            if real.is_file():
                yield path
            elif not real.is_dir():
                found.leave(name, "neither a file nor a folder")
            elif _is_companion(path):
                continue
            elif real not in seen:
                seen.add(real)
                yield from walk(path)
            elif path.is_symlink():
                found.leave(name, "a link to a folder that is read already, so not followed again")

    yield from walk(home)


def _inside(folder: Path, home: Path, found: Found) -> list[Path]:
    """What lies in a folder by name, hidden files left out; a closed folder is told."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        if folder == home:
            raise
        found.leave(folder.relative_to(home).as_posix(), f"it cannot be read: {error.strerror}")
        return []


def _clips(home: Path, out: Path | None) -> Found:
    found = Found()
    folders = [home] if (home / "clip.json").is_file() else sorted(home.iterdir())
    for folder in folders:
        if not (folder / "clip.json").is_file():
            continue
        try:
            licence = read_clip_info(folder).licence
        except ValueError as error:
            found.leave(folder.name, str(error))
            continue
        mask = folder / "mask.mp4"
        source = Source(
            name=folder.name,
            video=folder / "video.mp4",
            poses=folder / "skeletons.npz",
            mask=mask if mask.is_file() else None,
            maps=folder,
            licence=licence if licence != "unknown" else "",
        )
        found.sources.append(source)
    return found


def _picture_folders(home: Path, folders: list[Path]) -> Found:
    found = Found()
    for folder in folders:
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        name = folder.relative_to(home).as_posix()
        if not (folder / "images").is_dir():
            found.leave(name, "there is no folder 'images' in it")
            continue
        given = [folder / each for each in _IN_FOLDER if (folder / each).exists()]
        masks = [folder / each for each in _MASKS if (folder / each).is_dir()]
        source = Source(
            name=name,
            video=folder / "images",
            poses=given[0] if given else None,
            mask=masks[0] if masks else None,
            maps=folder,
            guidance=tuple(folder / each for each in _GUIDANCE if (folder / each).is_dir()),
        )
        found.sources.append(source)
    return found


def _tiktok(home: Path, out: Path | None) -> Found:
    return _picture_folders(home, sorted(each for each in home.iterdir() if each != out))


def _champ(home: Path, out: Path | None) -> Found:
    if any(home.glob("*/images")):
        return _tiktok(home, out)
    return _picture_folders(home, sorted(each for each in home.glob("*/*") if each.parent != out))


def _ubc(home: Path, out: Path | None) -> Found:
    found = _videos(home, out)
    lists: dict[Split, Path] = {
        split: home / name for split, name in _UBC_LISTS.items() if (home / name).is_file()
    }
    found.faults = [fault for fault in found.faults if fault[0] not in _UBC_LISTS.values()]
    if not lists:
        found.sources = [
            replace(source, split="test" if source.name.startswith("test/") else "train")
            for source in found.sources
        ]
        return found
    listed: dict[str, Split] = {}
    for split, path in lists.items():
        for line in path.read_text(encoding="utf-8").split():
            listed[Path(line.rsplit("/", 1)[-1]).stem] = split
    sources, found.sources = found.sources, []
    for source in sources:
        split = listed.pop(Path(source.name).name, None)
        if split is None:
            found.leave(source.name, f"in none of {', '.join(_UBC_LISTS.values())}")
        else:
            found.sources.append(replace(source, split=split))
    for name, split in listed.items():
        found.leave(name, f"listed in {_UBC_LISTS[split]}, but not there")
    return found


def _moore(home: Path, out: Path | None) -> Found:
    path = home / "meta.json" if home.is_dir() else home
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: not json that can be read") from error
    if not isinstance(entries, list):
        raise SourceError(f"{path}: it must be a list of objects with video_path and kps_path")
    found, names = Found(), set[str]()
    for number, entry in enumerate(entries, 1):
        given = entry if isinstance(entry, dict) else {}
        video, poses = given.get("video_path"), given.get("kps_path")
        if not isinstance(video, str) or not isinstance(poses, str | None):
            found.leave(f"entry {number}", "video_path and kps_path must be paths")
            continue
        name = Path(video).stem
        name = f"{name}-{number}" if name in names else name
        names.add(name)
        found.sources.append(
            Source(
                name=name,
                video=path.parent / video,
                poses=path.parent / poses if poses else None,
            )
        )
    return found


_READERS: dict[Any, Callable[[Path, Path | None], Found]] = {
    "videos": _videos,
    "clips": _clips,
    "ubc": _ubc,
    "tiktok": _tiktok,
    "champ": _champ,
    "moore": _moore,
}


def source_files(source: Source) -> dict[str, list[Path]]:
    """The files that each part of a source is made of; a folder's by name."""
    parts = {"video": source.video, "poses": source.poses, "mask": source.mask}
    files = {name: _inner_files(path) for name, path in parts.items() if path is not None}
    if source.maps is not None:
        files["maps"] = _map_files(source.maps)
    return files


def _map_files(path: Path) -> list[Path]:
    """The maps of a folder, whatever else lies in it, or the body's file."""
    if not path.is_dir():
        return [path]
    places = [each for each in path.iterdir() if each.name.partition(".")[0] in _GUIDANCE]
    info = [each for each in (path / "clip.json",) if each.is_file()]
    return [*info, *(file for place in sorted(places) for file in _inner_files(place))]


def _inner_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(Path(folder) / name for folder, _, names in os.walk(path) for name in names)
