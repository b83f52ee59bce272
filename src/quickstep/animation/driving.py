"""The dance: read from keypoints, skeleton pictures or a clip folder, or found in footage."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from quickstep.animation.pictures import read_picture
from quickstep.conditions.body import BodyError, BodyMesh, is_body, read_body
from quickstep.conditions.reading import read_skeletons
from quickstep.conditions.skeleton import PoseError, Poses
from quickstep.conditions.smoothing import evenly_timed
from quickstep.data.body_maps import seen_poses, skeleton_beside
from quickstep.data.clip import REFERENCE_POSE
from quickstep.data.clock import is_even, running_rate
from quickstep.data.film import Film
from quickstep.data.footage import (
    DEFAULT_SEARCH,
    Search,
    find_pose,
    find_poses,
    is_skeleton_video,
)
from quickstep.data.image import PICTURE_SUFFIXES, ImageError, numbered_pictures, read_image
from quickstep.data.prepared import Report
from quickstep.data.video import VIDEO_SUFFIXES, video_info

PICTURES_FPS = 8.0
"""Frame rate of a folder of pose pictures, which names none; UniAnimate saves at 8."""


@dataclass(frozen=True)
class Driving:
    """A dance and what is known about it.

    Attributes:
        poses: the dance.
        audio: the file whose sound goes with it, or None.
        truth: for a clip folder, the video of what really happened.
        folder: the clip folder it is from, resolved, or None.
        body: the body whose skeleton the poses are, for a body mesh.
        search: how the poses were found when it is footage, else None.
        people: the most persons in a frame of footage.
        seconds: when each frame is shown, where a video's frames come by no even clock.
    """

    poses: Poses
    audio: Path | None = None
    truth: Path | None = None
    folder: Path | None = None
    body: BodyMesh | None = None
    search: Search | None = None
    people: int = 1
    seconds: Float[np.ndarray, " f"] | None = None

    def evenly(self) -> "Driving":
        """The same dance by an even clock, at the rate that its video has while it runs."""
        if self.seconds is None:
            return self
        fps = running_rate(self.seconds) or self.poses.fps
        return replace(self, poses=evenly_timed(self.poses, self.seconds, fps=fps))


def read_driving(
    source: Poses | str | Path,
    search: Search | None = DEFAULT_SEARCH,
    *,
    report: Report | None = None,
) -> Driving:
    """Reads a dance of any form.

    A video is one of skeletons when it shows them on black and they, drawn again, cover what is
    not black (`quickstep.conditions.reading.shows_skeletons`); any other video is footage.

    Args:
        source: poses; a ``.npz`` of keypoints, an OpenPose or COCO-WholeBody ``.json``; a ``.npz``
            of a body mesh with joints (or beside a clip folder's skeletons); a skeleton video or a
            folder of skeleton pictures (DWPose or UniAnimate colours on black); footage of a
            person; a folder of OpenPose jsons; a clip folder of ``quickstep dancer``.
        search: how poses are looked for in footage; None refuses footage.
        report: told how much of footage or skeleton pictures is done.

    Raises:
        ValueError: nothing there, or nothing that can be read as a dance, in one line.
    """
    if isinstance(source, Poses):
        return Driving(poses=source)
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_dir():
        return _read_folder(path, report)
    if is_body(path):
        return _read_body(path)
    if path.suffix.lower() in (".npz", ".json"):
        return Driving(poses=Poses.read(path))
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return _read_video(path, search, report)
    raise PoseError(f"{path}: a dance is read from .npz, .json, a video such as .mp4, or a folder")


def _read_video(path: Path, search: Search | None, report: Report | None) -> Driving:
    audio = path if video_info(path).has_audio else None
    if search is None or is_skeleton_video(path):
        film = Film(path, ground="black")
        poses = _skeletons_of(film, film.fps, path, report)
        return Driving(poses=poses, audio=audio, seconds=_uneven(film.seconds))
    found = find_poses(path, search, report=report)
    return Driving(
        poses=found.poses,
        audio=audio,
        truth=path,
        search=search,
        people=int(found.people.max()),
        seconds=_uneven(found.seconds),
    )


def _uneven(seconds: Float[np.ndarray, " f"] | None) -> Float[np.ndarray, " f"] | None:
    return None if seconds is None or is_even(seconds) else seconds


def _read_body(path: Path) -> Driving:
    mesh, beside = read_body(path), skeleton_beside(path)
    try:
        poses = seen_poses(mesh) if beside is None else Poses.read(beside)
    except BodyError as error:
        raise BodyError(f"{path}: {error}") from error
    if len(poses) != len(mesh):
        raise BodyError(f"{path}: {len(mesh)} frames, but {beside} has {len(poses)}")
    return Driving(poses=poses, body=mesh)


def _read_folder(folder: Path, report: Report | None) -> Driving:
    if (folder / "skeletons.npz").is_file():
        return _read_clip(folder)
    names = sorted(path for path in folder.iterdir() if path.is_file())
    if any(path.suffix.lower() in PICTURE_SUFFIXES for path in names):
        pictures = numbered_pictures(folder, but="ref")
        return Driving(poses=_skeletons_of(_Pictures(pictures), PICTURES_FPS, folder, report))
    if any(path.suffix.lower() == ".json" for path in names):
        return Driving(poses=Poses.read(folder))
    raise PoseError(f"{folder}: neither a clip folder nor one of skeleton pictures or jsons")


@dataclass(frozen=True)
class _Pictures:
    """Skeleton pictures, read anew at each pass."""

    paths: Sequence[Path]

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        shape = None
        for path in self.paths:
            picture = read_image(path, ground="black")
            shape = shape or picture.shape
            if picture.shape != shape:
                raise ImageError(f"{path}: its size differs from {self.paths[0].name}'s")
            yield picture


def _read_clip(folder: Path) -> Driving:
    video = folder / "video.mp4"
    return Driving(
        poses=Poses.read(folder / "skeletons.npz"),
        audio=video if video.is_file() and video_info(video).has_audio else None,
        truth=video if video.is_file() else None,
        folder=folder.resolve(),
    )


def pose_of_reference(image: Path, search: Search | None = None) -> Poses | None:
    """The pose in a reference picture: a clip folder's own, or found as the dance's were.

    Args:
        image: the picture.
        search: how the dance's poses were found, if they were.

    Returns:
        One frame, or None where nothing is known or nobody is found.

    Raises:
        PoseError: a clip folder knows that nobody is in it.
    """
    path = image.with_name(REFERENCE_POSE)
    if image.name == "reference.png" and path.is_file():
        pose = Poses.read(path)
        if not pose.visible.any():
            raise PoseError(f"{image}: nobody is in it, by {path.name} beside it")
        return pose
    return None if search is None else find_pose(read_image(image), search)


def expect_person(image: Any, search: Search | None) -> None:
    """Refuses a picture in which nobody is, as far as that is known or is to be found out.

    Args:
        image: see `quickstep.animation.pictures.read_picture`; a clip folder knows of its own.
        search: how a person is looked for; None for not at all.

    Raises:
        PoseError: nobody is in it.
    """
    if isinstance(image, str | Path) and pose_of_reference(Path(image)) is not None:
        return
    if search is not None and find_pose(read_picture(image), search) is None:
        name = image if isinstance(image, str | Path) else "image"
        raise PoseError(f"{name}: nobody is found in it by the detector {search.detector!r}")


def _skeletons_of(
    frames: Iterable[UInt8[np.ndarray, "H W 3"]], fps: float, path: Path, report: Report | None
) -> Poses:
    told = None if report is None else lambda done, total: report(done, total, "reading skeletons")
    try:
        return read_skeletons(frames, fps=fps, report=told)
    except PoseError as error:
        raise PoseError(f"{path}: {error}") from error
