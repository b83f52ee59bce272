"""What one animation is made from, fitted and aligned: the picture, its pose, the dance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from quickstep.animation.map_driving import MapDriving
from quickstep.animation.pictures import Fit, fit_picture, read_reference
from quickstep.conditions.alignment import align_poses, fit_to_frame
from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.skeleton import Poses
from quickstep.networks.folder import Settings

ReferencePose = Poses | str | Path | Literal["first"] | None
"""A pose, a file of one, ``"first"`` for the dance's first frame, or None for not known."""

Frames = slice | list[int]
"""Some frames of a dance, as an index."""


@dataclass(frozen=True)
class Scene:
    """A picture and a dance in one frame of the model's size.

    Attributes:
        reference: the fitted picture.
        poses: the dance, in pixels of the frame.
        reference_pose: the pose in the picture, one frame; None when nothing is known of it.
        face: the picture's face, cropped before the picture was fitted; None when there is none
            or the model is not told it.
        pose_style: how skeletons are drawn.
        stroke: how thick they are drawn.
    """

    reference: UInt8[np.ndarray, "H W 3"]
    poses: Poses
    reference_pose: Poses | None
    face: UInt8[np.ndarray, "S S 3"] | None = None
    pose_style: Literal["dwpose", "unianimate"] = "unianimate"
    stroke: Literal["upstream", "scaled"] = "scaled"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame."""
        return self.reference.shape[1], self.reference.shape[0]

    @property
    def num_frames(self) -> int:
        """Frames of the dance."""
        return len(self.poses)

    @property
    def fps(self) -> float:
        """Frames per second of the dance."""
        return self.poses.fps

    def skeletons(self, frames: Frames = slice(None)) -> UInt8[np.ndarray, "f H W 3"]:
        """The dance drawn as the network sees it; drawn anew at each call, to keep memory flat."""
        return self._drawn(self.poses[frames])

    def reference_skeleton(self) -> UInt8[np.ndarray, "H W 3"] | None:
        """The picture's own pose drawn, or None when it is not known."""
        return None if self.reference_pose is None else self._drawn(self.reference_pose)[0]

    def _drawn(self, poses: Poses) -> UInt8[np.ndarray, "f H W 3"]:
        return draw_skeletons(poses, size=self.size, style=self.pose_style, stroke=self.stroke)


@dataclass(frozen=True)
class MapScene:
    """A picture and a dance in pose maps in one frame of the model's size.

    Attributes:
        reference: the fitted picture.
        dance: the maps.
        names: those that the model wants, in its order.
        place: where the maps land in the frame.
        face: the picture's face, cropped before the picture was fitted; None when there is none
            or the model is not told it.
    """

    reference: UInt8[np.ndarray, "H W 3"]
    dance: MapDriving
    names: Sequence[str]
    place: Fit
    face: UInt8[np.ndarray, "S S 3"] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frame."""
        return self.reference.shape[1], self.reference.shape[0]

    @property
    def num_frames(self) -> int:
        """Frames of the dance."""
        return self.dance.maps.num_frames

    @property
    def fps(self) -> float:
        """Frames per second of the dance."""
        return self.dance.fps

    def pose_maps(self, frames: Frames = slice(None)) -> UInt8[np.ndarray, "f m H W 3"]:
        """The maps as the network sees them; read or rendered anew at each call."""
        return self.dance.placed(self.names, self.place, frames)

    def skeletons(self, frames: Frames = slice(None)) -> UInt8[np.ndarray, "f H W 3"]:
        """The dance as one of the maps shows it: its skeletons, where the model is told them."""
        shown = "dwpose" if "dwpose" in self.names else self.names[0]
        return self.dance.placed([shown], self.place, frames)[:, 0]


def set_map_scene(
    image: Any, dance: MapDriving, *, names: Sequence[str], settings: Settings
) -> MapScene:
    """Fits the picture into the model's frame, and the maps into the picture, in proportion.

    The dance is used as it is: the body in the maps should have the person's shape and place, as
    Champ's own transfer to a reference's body gives it.

    Args:
        image: see :func:`quickstep.animation.pictures.read_reference`.
        dance: the maps.
        names: the maps that the model is told, in its order.
        settings: the model's.
    """
    picture = read_reference(image)
    reference, fit = fit_picture(picture, size=settings.size)
    inside = Fit.centred(dance.maps.size, outer=(picture.shape[1], picture.shape[0]))
    left, top = (
        inner * fit.scale + outer for inner, outer in zip(inside.offset, fit.offset, strict=True)
    )
    place = Fit(scale=inside.scale * fit.scale, offset=(left, top), size=settings.size)
    return MapScene(reference, dance, names=names, place=place)


def set_scene(
    image: Any,
    poses: Poses,
    *,
    settings: Settings,
    reference_pose: ReferencePose = "first",
    align: bool = True,
) -> Scene:
    """Fits the picture into the model's frame and brings the dance to the person in it.

    The dance is placed in the picture, whole and in proportion. When the picture's own pose is
    given, the dancer's limbs get the lengths of the person's and the dance starts where the
    person stands. Otherwise the person is taken to stand as the dance begins, which is so for
    most pairs of picture and dance, and the dance is used as it is.

    Args:
        image: see :func:`quickstep.animation.pictures.read_reference`.
        poses: the dance.
        settings: the model's.
        reference_pose: the pose in the picture, in the picture's pixels.
        align: whether to fit the dance to a given reference pose.

    Raises:
        ValueError: the picture or the poses cannot be used; one line.
        OSError: a file is missing or cannot be read.
    """
    picture = read_reference(image)
    whole = (picture.shape[1], picture.shape[0])
    dance, own = fit_to_frame(poses, whole), None
    if isinstance(reference_pose, Poses | Path) or reference_pose not in ("first", None):
        given = reference_pose if isinstance(reference_pose, Poses) else Poses.read(reference_pose)
        own = given[0].scaled_to(whole)
        dance = align_poses(dance, own) if align else dance
    elif reference_pose == "first":
        own = dance[0]
    reference, fit = fit_picture(picture, size=settings.size)
    return Scene(
        reference=reference,
        poses=_placed(dance, fit),
        reference_pose=None if own is None else _placed(own, fit),
        pose_style=settings.pose_style,
        stroke=settings.stroke,
    )


def _placed(poses: Poses, fit: Fit) -> Poses:
    return poses.moved(scale=fit.scale, offset=fit.offset, size=fit.size)
