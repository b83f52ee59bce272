"""Clip folders: a video of one person with everything that is known about it.

=======================  =====================================================================
file                     content
=======================  =====================================================================
``video.mp4``            the frames, colour at full resolution, 40 dB or better
``reference.png``        the same person at another moment
``reference_face.png``   its face as sharp as a larger picture has it, when known
``skeletons.npz``        keypoints of the frames
``reference_skeleton``   keypoints of the reference (``.npz``)
``body.npz``             the body as a mesh, when known
``dwpose.mp4``           the skeletons drawn as DWPose does (lossless, as all maps)
``depth.mp4``            grey: 255 nearest, 1 farthest (``depth_range`` in metres), 0 nothing
``normal.mp4``           red right, green up, blue towards the camera; black nothing
``semantic_map.mp4``     body parts in the colours of `maps.PART_COLOURS`
``mask.mp4``             the dressed person in white
``clip.json``            the rest: see `ClipInfo`
=======================  =====================================================================
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from quickstep.conditions.body import BodyMesh
from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.face_picture import FacePicture
from quickstep.conditions.pose_maps import mask_map, normal_map
from quickstep.conditions.skeleton import Poses
from quickstep.data import maps
from quickstep.data.image import read_image, write_image
from quickstep.data.video import read_video, write_video
from quickstep.files import folder_written_beside

REFERENCE_POSE = "reference_skeleton.npz"
REFERENCE_FACE = "reference_face.png"
VIDEO_CRF = 6
MAPS = ("dwpose", "depth", "normal", "semantic_map", "mask")


class ClipError(ValueError):
    """A clip folder that cannot be read or written; the message is one line and names it."""


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """The content of ``clip.json``.

    Attributes:
        fps: frames per second.
        size: (width, height).
        num_frames: frames of the video and of each map.
        reference_index: the reference's frame number, or None when it is no frame of the video.
        source: where the clip comes from.
        identity: who; clips of one person have the same.
        motion: which dance.
        scene: which place.
        seeds: what a made clip was made from.
        face_box: x0, y0, x1, y1 in pixels, for each frame.
        reference_face_box: the same for the reference.
        face_picture_box: the same in the pixels of ``reference_face.png``.
        depth_range: metres of grey 255 and of grey 1 in the depth map.
        licence: under which the clip may be used.
    """

    fps: float | int
    size: tuple[int, int]
    num_frames: int
    reference_index: int | None = None
    source: str = "unknown"
    identity: str = "unknown"
    motion: str = "unknown"
    scene: str = "unknown"
    seeds: Mapping[str, int | str] = field(default_factory=dict)
    face_box: list[list[float]] = field(default_factory=list)
    reference_face_box: list[float] = field(default_factory=list)
    face_picture_box: list[float] = field(default_factory=list)
    depth_range: tuple[float, float] = (0.0, 1.0)
    licence: str = "unknown"


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip in memory, plain arrays. What is not known is None.

    Attributes:
        info: face boxes and `depth_range` are kept there.
        frames: the video.
        reference: the person at another moment.
        poses: of the frames.
        reference_pose: of the reference, one frame.
        reference_face: a part of the reference rendered larger, with its face.
        depth: metres, infinite where nothing is.
        normal: unit length, OpenCV axes, zero where nothing is.
        part: 0 off the body, else 1 + SMPL's joint.
        mask: the dressed person.
        body: the mesh.
    """

    info: ClipInfo
    frames: UInt8[np.ndarray, "f H W 3"]
    reference: UInt8[np.ndarray, "H W 3"]
    poses: Poses
    reference_pose: Poses
    reference_face: UInt8[np.ndarray, "S S 3"] | None = None
    depth: Float[np.ndarray, "f H W"] | None = None
    normal: Float[np.ndarray, "f H W 3"] | None = None
    part: UInt8[np.ndarray, "f H W"] | None = None
    mask: Bool[np.ndarray, "f H W"] | None = None
    body: BodyMesh | None = None


def write_clip(folder: str | Path, clip: Clip) -> None:
    """Writes a clip folder, whole or not at all.

    Raises:
        ClipError: the folder is there already, or the clip's parts differ in length.
        OSError: it cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise ClipError(f"{folder}: already there")
    _check(folder, clip)
    with folder_written_beside(folder) as beside:
        _write_files(beside, clip)


def read_clip(folder: str | Path, *, with_maps: bool = True) -> Clip:
    """Reads a clip folder; maps and body are None where their files are absent.

    Args:
        folder: as `write_clip` made it.
        with_maps: whether to read maps and body at all.

    Raises:
        ClipError: a needed file is missing or the parts differ in length.
        ValueError: a file is damaged; the message names it.
    """
    folder = Path(folder)
    info = read_clip_info(folder)
    lacking = [
        one
        for one in ("video.mp4", "reference.png", "skeletons.npz", REFERENCE_POSE)
        if not (folder / one).is_file()
    ]
    if lacking:
        raise ClipError(f"{folder}: the clip lacks {', '.join(lacking)}")
    clip = Clip(
        info=info,
        frames=read_video(folder / "video.mp4").frames,
        reference=read_image(folder / "reference.png"),
        poses=Poses.read(folder / "skeletons.npz"),
        reference_pose=Poses.read(folder / REFERENCE_POSE),
        reference_face=read_image(face) if (face := folder / REFERENCE_FACE).is_file() else None,
        **(_read_maps(folder, info) if with_maps else {}),
    )
    _check(folder, clip)
    return clip


def read_clip_info(folder: str | Path) -> ClipInfo:
    """Reads ``clip.json`` alone.

    Raises:
        ClipError: it is missing, is not json, or has a field of no meaning or lacks one.
    """
    path = Path(folder) / "clip.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClipError(f"{path}: no such file") from error
    except ValueError as error:
        raise ClipError(f"{path}: not json that can be read") from error
    known = {one.name for one in fields(ClipInfo)}
    if not isinstance(content, dict) or not set(content) <= known:
        raise ClipError(f"{path}: its fields must be of {', '.join(sorted(known))}")
    try:
        for pair in ("size", "depth_range"):
            first, second = content.get(pair, (0.0, 1.0))
            content[pair] = (first, second)
        return ClipInfo(**content)
    except (TypeError, ValueError) as error:
        raise ClipError(f"{path}: {error}") from error


def reference_face(image: Path) -> FacePicture | None:
    """The face in a clip folder's ``reference.png``, where the folder knows it; its finest picture.

    None for any other picture, and for a reference whose face is not in the picture.

    Raises:
        ValueError: a file of the folder cannot be read.
    """
    if image.name != "reference.png" or not image.with_name("clip.json").is_file():
        return None
    info = read_clip_info(image.parent)
    large = image.with_name(REFERENCE_FACE)
    path, box = image, info.reference_face_box
    if info.face_picture_box and large.is_file():
        path, box = large, info.face_picture_box
    if not box:
        return None
    x0, y0, x1, y1 = box
    face = FacePicture(read_image(path), (x0, y0, x1, y1))
    return face if face.is_inside else None


def _check(folder: Path, clip: Clip) -> None:
    if not clip.reference_pose.visible.any():
        raise ClipError(f"{folder}: nobody is in the reference: its pose has no visible point")
    size = (clip.frames.shape[2], clip.frames.shape[1])
    lengths = {"clip.json": clip.info.num_frames, "skeletons": len(clip.poses)}
    for name in ("depth", "normal", "part", "mask"):
        if (one := getattr(clip, name)) is not None:
            lengths[name] = len(one)
            if one.shape[1:3] != clip.frames.shape[1:3]:
                raise ClipError(f"{folder}: {name} is {one.shape[1:3]}, the video {size[::-1]}")
    for name, length in lengths.items():
        if length != len(clip.frames):
            raise ClipError(
                f"{folder}: the video has {len(clip.frames)} frames, but {name} {length}"
            )
    if tuple(clip.info.size) != size:
        raise ClipError(f"{folder}: the video is {size}, but clip.json says {clip.info.size}")


def _write_files(folder: Path, clip: Clip) -> None:
    fps = Fraction(clip.info.fps).limit_denominator(100_000)
    write_video(folder / "video.mp4", clip.frames, fps=fps, crf=VIDEO_CRF, full_colour=True)
    write_image(folder / "reference.png", clip.reference)
    if clip.reference_face is not None:
        write_image(folder / REFERENCE_FACE, clip.reference_face)
    clip.poses.write(folder / "skeletons.npz")
    clip.reference_pose.write(folder / REFERENCE_POSE)
    info = asdict(clip.info)
    pictures = {"dwpose": skeleton_pictures(clip.poses)}
    if clip.depth is not None:
        nearest, farthest = info["depth_range"] = maps.depth_range(clip.depth)
        pictures["depth"] = maps.depth_picture(clip.depth, nearest=nearest, farthest=farthest)
    if clip.normal is not None:
        pictures["normal"] = normal_map(clip.normal)
    if clip.part is not None:
        pictures["semantic_map"] = maps.part_picture(clip.part)
    if clip.mask is not None:
        pictures["mask"] = mask_map(clip.mask)
    for name, frames in pictures.items():
        write_video(folder / f"{name}.mp4", frames, fps=fps, lossless=True)
    if clip.body is not None:
        clip.body.write(folder / "body.npz")
    text = json.dumps(info, indent=1, allow_nan=False)
    (folder / "clip.json").write_text(text + "\n", encoding="utf-8")


def skeleton_pictures(poses: Poses) -> UInt8[np.ndarray, "f H W 3"]:
    """Skeletons as DWPose draws them; below 512 pixels with strokes scaled to the size."""
    stroke = "upstream" if min(poses.size) >= 512 else "scaled"
    return draw_skeletons(poses, style="dwpose", stroke=stroke)


def _read_maps(folder: Path, info: ClipInfo) -> dict[str, Any]:
    nearest, farthest = info.depth_range
    found: dict[str, Any] = {}
    if (path := folder / "depth.mp4").is_file():
        pictures = read_video(path).frames
        found["depth"] = maps.depth_of(pictures, nearest=nearest, farthest=farthest)
    if (path := folder / "normal.mp4").is_file():
        found["normal"] = maps.normal_of(read_video(path).frames)
    if (path := folder / "semantic_map.mp4").is_file():
        try:
            found["part"] = maps.part_of(read_video(path).frames)
        except ValueError as error:
            raise ClipError(f"{path}: {error}") from error
    if (path := folder / "mask.mp4").is_file():
        found["mask"] = read_video(path).frames[..., 0] > 127
    if (path := folder / "body.npz").is_file():
        found["body"] = BodyMesh.read(path)
    return found
