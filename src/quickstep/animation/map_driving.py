"""A dance as Champ is shown it, pose maps: from a folder of maps, a clip folder, or a body."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from quickstep.animation.driving import read_driving
from quickstep.animation.pictures import Fit
from quickstep.animation.shown_maps import BodyMaps, FolderMaps, HeldMaps, ShownMaps
from quickstep.conditions.body import BodyError, is_body
from quickstep.data.clip import read_clip
from quickstep.data.footage import Search
from quickstep.data.pose_maps import clip_pose_maps
from quickstep.data.video import video_info


@dataclass(frozen=True)
class MapDriving:
    """A dance in pose maps and what is known about it.

    Attributes:
        maps: what shows it.
        fps: frames per second.
        audio: the file whose sound goes with it, or None.
        truth: for a clip folder, the video of what really happened.
        search: how a person is looked for in the picture, to whom the maps say nothing; None for
            not at all.
    """

    maps: ShownMaps
    fps: float
    audio: Path | None = None
    truth: Path | None = None
    search: Search | None = None

    def placed(
        self, names: Sequence[str], fit: Fit, frames: slice | list[int] = slice(None)
    ) -> UInt8[np.ndarray, "f m H W 3"]:
        """Some maps in frames of another size, black where they do not reach.

        Args:
            names: the maps, in the order they are wanted.
            fit: where a map lands.
            frames: which; no others are read or rendered.
        """
        if isinstance(frames, slice):
            frames = list(range(self.maps.num_frames)[frames])
        width, height = (max(1, round(side * fit.scale)) for side in self.maps.size)
        left, top = (round(offset) for offset in fit.offset)
        placed = np.zeros((len(frames), len(names), fit.size[1], fit.size[0], 3), np.uint8)
        smaller = cv2.INTER_AREA if fit.scale < 1 else cv2.INTER_LINEAR
        shown = self.maps.at(frames, names)
        for index, name in enumerate(names):
            for number, frame in enumerate(shown[name]):
                if (width, height) != self.maps.size:
                    frame = cv2.resize(frame, (width, height), interpolation=smaller)
                placed[number, index, top : top + height, left : left + width] = frame
        return placed


def read_map_driving(source: str | Path, *, names: Sequence[str]) -> MapDriving:
    """Reads a dance as pose maps.

    A folder's maps are looked through once, to know that they go together, and read again where
    they are wanted; a body's are rendered there. A clip folder's are in memory.

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
        return _of_body(path)
    raise ValueError(
        f"{path}: this model is told pose maps, which a skeleton does not have: give a folder of "
        f"{', '.join(names)} and mask, a clip folder, or a body (.npz)"
    )


def _of_folder(folder: Path, names: Sequence[str]) -> MapDriving:
    maps = FolderMaps.read(folder, names)
    return MapDriving(maps, fps=maps.fps)


def _of_body(path: Path) -> MapDriving:
    dance = read_driving(path)
    assert dance.body is not None
    try:
        return MapDriving(BodyMaps(dance.body, dance.poses), fps=dance.poses.fps)
    except BodyError as error:
        raise BodyError(f"{path}: {error}") from error


def _of_clip(folder: Path, names: Sequence[str]) -> MapDriving:
    clip, video = read_clip(folder), folder / "video.mp4"
    maps = clip_pose_maps(clip, folder)
    return MapDriving(
        HeldMaps({name: maps[name] for name in names}),
        fps=clip.info.fps,
        audio=video if video_info(video).has_audio else None,
        truth=video,
    )
