"""What lies beside footage: masks and pose maps, read in step with its frames and never whole."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Bool, UInt8

from quickstep.animation.shown_maps import map_places
from quickstep.conditions.body import is_body, read_body
from quickstep.conditions.pose_maps import depth_map, normal_map, semantic_map
from quickstep.data import maps
from quickstep.data.body_maps import body_pose_maps
from quickstep.data.clip import read_clip_info
from quickstep.data.pictures import Picture, Pictures
from quickstep.data.shards import BODY_MAPS
from quickstep.data.video import VideoError
from quickstep.data.views import View, same_aspect
from quickstep.preparation.settings import PrepareSettings
from quickstep.preparation.sources import Source, SourceError


class _Shown(Protocol):
    """Body maps by frame."""

    def at(self, number: int) -> Mapping[str, Picture]: ...

    def expect(self, num_frames: int) -> None: ...


class _Folder:
    """Maps as Champ has them: what lies off the body has a colour of its own without the mask."""

    def __init__(self, folder: Path) -> None:
        places = map_places(folder, (*BODY_MAPS, "mask"))
        self.pictures = {name: Pictures(place) for name, place in places.items()}

    def at(self, number: int) -> Mapping[str, Picture]:
        shown = {name: pictures.at([number])[0] for name, pictures in self.pictures.items()}
        sizes = {picture.shape[1::-1] for picture in shown.values()}
        if len(sizes) > 1:
            place = self.pictures["mask"].path.parent
            raise VideoError(f"{place}: all maps must have the same size: got {sorted(sizes)}")
        on_body = shown.pop("mask")[..., :1] > 127
        return {**shown, "semantic_map": shown["semantic_map"] * on_body}

    def expect(self, num_frames: int) -> None:
        for pictures in self.pictures.values():
            pictures.expect(num_frames)


class _Clip(_Folder):
    """The truth of a clip folder, shown in Champ's way."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.range = read_clip_info(folder).depth_range

    def at(self, number: int) -> Mapping[str, Picture]:
        shown = {name: pictures.at([number]) for name, pictures in self.pictures.items()}
        depth = maps.depth_of(shown["depth"], nearest=self.range[0], farthest=self.range[1])
        part = maps.part_of(shown["semantic_map"]) * (shown["mask"][..., 0] > 127)
        found = (depth_map(depth), normal_map(maps.normal_of(shown["normal"])), semantic_map(part))
        return {name: each[0] for name, each in zip(BODY_MAPS, found, strict=True)}


class _Body:
    """Maps rendered from a body mesh."""

    def __init__(self, path: Path) -> None:
        self.path, self.mesh = path, read_body(path)

    def at(self, number: int) -> Mapping[str, Picture]:
        if number >= len(self.mesh):
            raise VideoError(f"{self.path}: nothing for frame {number}")
        shown = body_pose_maps(self.mesh[number : number + 1], with_skeleton=False)
        return {name: shown[name][0] for name in BODY_MAPS}

    def expect(self, num_frames: int) -> None:
        if len(self.mesh) != num_frames:
            raise VideoError(
                f"{self.path}: {len(self.mesh)} frames, but the video has {num_frames}"
            )


class GivenMaps:
    """The depth, normals and body parts that lie beside a source.

    Args:
        path: a folder of maps, a clip folder, or a body's ``.npz``.

    Raises:
        ValueError: it is none of these, or a map is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shown: _Shown
        if (path / "clip.json").is_file():
            self._shown = _Clip(path)
        elif path.is_dir():
            self._shown = _Folder(path)
        elif is_body(path):
            self._shown = _Body(path)
        else:
            raise SourceError(f"{path}: neither a folder of maps nor a body (.npz)")

    def at(
        self, numbers: Sequence[int], view: View, *, picture: tuple[int, int]
    ) -> dict[str, UInt8[np.ndarray, "f H W 3"]]:
        """The maps of some frames as a clip shows them.

        Args:
            numbers: of the frames, ascending.
            view: what the clip shows of the video's pictures.
            picture: width and height of those.

        Raises:
            ValueError: there are fewer maps, or of pictures of another shape.
        """
        placed: dict[str, list[Picture]] = {name: [] for name in BODY_MAPS}
        for number in numbers:
            for name, shown in self._shown.at(number).items():
                whole = _of_size(shown, picture, self.path, what="maps")
                placed[name].append(view.frames(whole[None], by="pillow-bilinear")[0])
        return {name: np.stack(each) for name, each in placed.items()}

    def expect(self, num_frames: int) -> None:
        """Refuses maps of another video, once it is known how long this one is."""
        self._shown.expect(num_frames)


def _of_size(shown: Picture, picture: tuple[int, int], path: Path, *, what: str) -> Picture:
    """A picture at the size of the video's, which must have its shape."""
    own = (shown.shape[1], shown.shape[0])
    if not same_aspect(own, picture):
        raise VideoError(
            f"{path}: {what} of {own[0]}x{own[1]}, the video's frames are {picture[0]}x{picture[1]}"
        )
    return View.whole(own, size=picture).frames(shown[None], by="pillow-bilinear")[0]


class Beside:
    """What lies beside a source and is wanted of it.

    Args:
        source: the footage.
        settings: what a clip is.

    Raises:
        ValueError: pose maps are wanted, but there are none.
    """

    def __init__(self, source: Source, settings: PrepareSettings) -> None:
        self._mask = None if source.mask is None else Pictures(source.mask)
        self._folders = [Pictures(folder) for folder in source.guidance]
        self.maps = None
        if settings.pose_maps:
            if source.maps is None:
                raise SourceError(f"{source.video}: no pose maps beside it")
            self.maps = GivenMaps(source.maps)

    def mask(
        self, numbers: Sequence[int], *, picture: tuple[int, int]
    ) -> Bool[np.ndarray, "f H W"] | None:
        """Where the person is in some frames, None where that is not known.

        Raises:
            ValueError: there are fewer masks, or of pictures of another shape.
        """
        if self._mask is None:
            return None
        return np.stack(list(self._masks(self._mask, numbers, picture)))

    def _masks(
        self, masks: Pictures, numbers: Sequence[int], picture: tuple[int, int]
    ) -> Iterator[np.ndarray]:
        for number in numbers:
            shown = masks.at([number])[0]
            yield _of_size(shown, picture, masks.path, what="masks")[..., 0] > 127

    def expect(self, num_frames: int) -> None:
        """Refuses what belongs to another video, once it is known how long this one is.

        Raises:
            ValueError: it has more or fewer frames.
        """
        for pictures in self._folders:
            pictures.expect(num_frames)
        if self.maps is not None:
            self.maps.expect(num_frames)
