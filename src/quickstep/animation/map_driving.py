"""A dance as Champ is shown it, pose maps: from a folder of maps, a clip folder, or a body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from quickstep.animation.driving import read_driving
from quickstep.animation.pictures import Fit
from quickstep.conditions.body import is_body
from quickstep.data.body_maps import body_pose_maps
from quickstep.data.clip import read_clip
from quickstep.data.footage import Search
from quickstep.data.image import numbered_pictures, read_image
from quickstep.data.pose_maps import clip_pose_maps
from quickstep.data.video import VIDEO_SUFFIXES, read_video, video_info

PICTURES_FPS = 24.0
"""Frame rate of maps that are pictures, which name none; Champ saves its videos at 24."""

Frames = UInt8[np.ndarray, "f H W 3"]


@dataclass(frozen=True)
class MapDriving:
    """A dance in pose maps and what is known about it.

    Attributes:
        maps: the pictures of every map by its name, all of one length and size.
        fps: frames per second.
        audio: the file whose sound goes with it, or None.
        truth: for a clip folder, the video of what really happened.
        search: how a person is looked for in the picture, to whom the maps say nothing; None for
            not at all.
    """

    maps: Mapping[str, Frames]
    fps: float
    audio: Path | None = None
    truth: Path | None = None
    search: Search | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the maps."""
        frames = next(iter(self.maps.values()))
        return frames.shape[2], frames.shape[1]

    def placed(self, names: Sequence[str], fit: Fit) -> UInt8[np.ndarray, "f m H W 3"]:
        """Some maps in a frame of another size, black where they do not reach.

        Args:
            names: the maps, in the order they are wanted.
            fit: where a map lands.
        """
        width, height = (max(1, round(side * fit.scale)) for side in self.size)
        left, top = (round(offset) for offset in fit.offset)
        length = len(next(iter(self.maps.values())))
        placed = np.zeros((length, len(names), fit.size[1], fit.size[0], 3), np.uint8)
        smaller = cv2.INTER_AREA if fit.scale < 1 else cv2.INTER_LINEAR
        for index, name in enumerate(names):
            for number, frame in enumerate(self.maps[name]):
                if (width, height) != self.size:
                    frame = cv2.resize(frame, (width, height), interpolation=smaller)
                placed[number, index, top : top + height, left : left + width] = frame
        return placed


def read_map_driving(source: str | Path, *, names: Sequence[str]) -> MapDriving:
    """Reads a dance as pose maps.

    Args:
        source: a folder with each map, and ``mask``, as a folder of pictures or a lossless video,
            as Champ has them; a clip folder of ``quickstep dancer``, whose truth is shown in the
            same way; or a body's ``.npz``, from which maps are rendered.
        names: the maps that are wanted.

    Raises:
        ValueError: nothing there that could be shown, or a map is missing or of another length or
            size than the others; one line.
    """
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if (path / "clip.json").is_file():
        return _of_clip(path, names)
    if path.is_dir():
        return _of_folder(path, names)
    if is_body(path):
        return _of_body(path, names)
    raise ValueError(
        f"{path}: this model is told pose maps, which a skeleton does not have: give a folder of "
        f"{', '.join(names)} and mask, a clip folder, or a body (.npz)"
    )


def _of_body(path: Path, names: Sequence[str]) -> MapDriving:
    dance = read_driving(path)
    assert dance.body is not None
    maps = body_pose_maps(dance.body, poses=dance.poses)
    return MapDriving({name: maps[name] for name in names}, fps=dance.poses.fps)


def _of_clip(folder: Path, names: Sequence[str]) -> MapDriving:
    clip, video = read_clip(folder), folder / "video.mp4"
    maps = clip_pose_maps(clip, folder)
    return MapDriving(
        maps={name: maps[name] for name in names},
        fps=clip.info.fps,
        audio=video if video_info(video).has_audio else None,
        truth=video,
    )


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


def _of_folder(folder: Path, names: Sequence[str]) -> MapDriving:
    wanted = [*names, *(["mask"] if "semantic_map" in names else [])]
    read = {name: _frames(place) for name, place in map_places(folder, wanted).items()}
    maps = {name: frames for name, (frames, _) in read.items()}
    for what, of in (("frames", lambda one: len(one)), ("pixels", lambda one: one.shape[2:0:-1])):
        found = {name: of(frames) for name, frames in maps.items()}
        if len(set(found.values())) > 1:
            each = ", ".join(f"{name} {value}" for name, value in found.items())
            raise ValueError(f"{folder}: all maps must have the same {what}: got {each}")
    if "mask" in maps:
        # What lies off the body has a colour of its own in Champ's files.
        maps["semantic_map"] = maps["semantic_map"] * (maps.pop("mask")[..., :1] > 127)
    return MapDriving(maps, fps=next(iter(read.values()))[1])


def _place(folder: Path, name: str) -> Path | None:
    if (folder / name).is_dir():
        return folder / name
    videos = [folder / f"{name}{suffix}" for suffix in sorted(VIDEO_SUFFIXES)]
    return next((video for video in videos if video.is_file()), None)


def _frames(place: Path) -> tuple[Frames, float]:
    if place.is_file():
        video = read_video(place, ground="black")
        return video.frames, float(video.fps)
    pictures = [read_image(path, ground="black") for path in numbered_pictures(place)]
    odd = next((i for i, one in enumerate(pictures) if one.shape != pictures[0].shape), None)
    if odd is not None:
        raise ValueError(f"{place}: its pictures differ in size")
    return np.stack(pictures), PICTURES_FPS
