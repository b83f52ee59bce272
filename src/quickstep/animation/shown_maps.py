"""The pose maps of a dance by the number of the frame: read or rendered as they are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from quickstep.conditions.body import BodyMesh
from quickstep.conditions.skeleton import Poses
from quickstep.data.body_maps import body_pose_maps, expect_poses
from quickstep.data.clip import skeleton_pictures
from quickstep.data.pictures import Pictures
from quickstep.data.video import VIDEO_SUFFIXES, video_info

PICTURES_FPS = 24.0
"""Frame rate of maps that are pictures, which name none; Champ saves its videos at 24."""

Frames = UInt8[np.ndarray, "f H W 3"]


@runtime_checkable
class ShownMaps(Protocol):
    """What shows a dance in pose maps, all of one length and size."""

    @property
    def num_frames(self) -> int:
        """Frames of the dance."""
        ...

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the maps."""
        ...

    def at(self, numbers: list[int], names: Sequence[str]) -> dict[str, Frames]:
        """Some maps of some frames, in the order asked for."""
        ...


@dataclass(frozen=True)
class HeldMaps:
    """Maps in memory.

    Attributes:
        pictures: of every map by its name.
    """

    pictures: Mapping[str, Frames]

    @property
    def num_frames(self) -> int:
        """See `ShownMaps`."""
        return len(next(iter(self.pictures.values())))

    @property
    def size(self) -> tuple[int, int]:
        """See `ShownMaps`."""
        frames = next(iter(self.pictures.values()))
        return frames.shape[2], frames.shape[1]

    def at(self, numbers: list[int], names: Sequence[str]) -> dict[str, Frames]:
        """See `ShownMaps`."""
        return {name: self.pictures[name][numbers] for name in names}


@dataclass(frozen=True)
class FolderMaps:
    """Maps as Champ has them: what lies off the body has a colour of its own without the mask.

    Attributes:
        pictures: of every map and of the mask by name.
        num_frames: frames of the dance.
        size: width and height of the maps.
    """

    pictures: Mapping[str, Pictures]
    num_frames: int
    size: tuple[int, int]

    @classmethod
    def read(cls, folder: Path, names: Sequence[str]) -> "FolderMaps":
        """Looks every map of a folder through, and the mask where it is needed.

        Raises:
            ValueError: one is missing, damaged, or of another length or size than the others.
        """
        wanted = [*names, *(["mask"] if "semantic_map" in names else [])]
        pictures = {name: Pictures(path) for name, path in map_places(folder, wanted).items()}
        found = {name: each.looked_through() for name, each in pictures.items()}
        for which, what in enumerate(("frames", "pixels")):
            if len({each[which] for each in found.values()}) > 1:
                told = ", ".join(f"{name} {each[which]}" for name, each in found.items())
                raise ValueError(f"{folder}: all maps must have the same {what}: got {told}")
        num_frames, size = next(iter(found.values()))
        return cls(pictures, num_frames, size)

    @property
    def fps(self) -> float:
        """Frames per second, by the first map."""
        path = next(iter(self.pictures.values())).path
        return float(video_info(path).fps) if path.is_file() else PICTURES_FPS

    def at(self, numbers: list[int], names: Sequence[str]) -> dict[str, Frames]:
        """See `ShownMaps`."""
        shown = {name: self.pictures[name].at(numbers) for name in names}
        if "semantic_map" in shown:
            shown["semantic_map"] *= self.pictures["mask"].at(numbers)[..., :1] > 127
        return shown


@dataclass(frozen=True)
class BodyMaps:
    """Maps rendered from a body mesh.

    Attributes:
        mesh: the body, whose vertices are in memory.
        poses: its skeletons.

    Raises:
        BodyError: the skeletons are of another length or size.
    """

    mesh: BodyMesh
    poses: Poses

    def __post_init__(self) -> None:
        """Refuses skeletons of another dance."""
        expect_poses(self.mesh, self.poses)

    @property
    def num_frames(self) -> int:
        """See `ShownMaps`."""
        return len(self.mesh)

    @property
    def size(self) -> tuple[int, int]:
        """See `ShownMaps`."""
        return self.mesh.size

    def at(self, numbers: list[int], names: Sequence[str]) -> dict[str, Frames]:
        """See `ShownMaps`."""
        shown: dict[str, Frames] = {}
        if set(names) - {"dwpose"}:
            shown = body_pose_maps(self.mesh[numbers], with_skeleton=False)
        if "dwpose" in names:
            shown["dwpose"] = skeleton_pictures(self.poses[numbers])
        return {name: shown[name] for name in names}


def map_places(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Where the maps of a folder are, each a folder of pictures or a video.

    Raises:
        ValueError: one is missing.
    """
    places = {name: _place(folder, name) for name in names}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        raise ValueError(
            f"{folder}: lacks {', '.join(missing)}: a folder of maps has {', '.join(names)}, each "
            "a folder of pictures or a video"
        )
    return {name: place for name, place in places.items() if place is not None}


def _place(folder: Path, name: str) -> Path | None:
    if (folder / name).is_dir():
        return folder / name
    videos = [folder / f"{name}{suffix}" for suffix in sorted(VIDEO_SUFFIXES)]
    return next((video for video in videos if video.is_file()), None)
