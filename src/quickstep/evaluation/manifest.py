"""Manifests: a list of clips whose parts lie anywhere, as a JSON array or one object a line.

===================  ====================================================================
field                content (paths are relative to the manifest)
===================  ====================================================================
``name``             unique; plain enough for a file name
``video``            the truth as a video, or
``frames``           the truth as a folder of numbered pictures
``reference``        a picture, or the number of a frame (from 0); else the protocol's frame
``skeletons``        keypoints (``.npz``, OpenPose ``.json`` or a folder of such), or a
                     skeleton video, or a folder of skeleton pictures
``reference_pose``   keypoints of the reference; of a frame they are known from ``skeletons``
``mask``             the person in white, a video or a folder of pictures
``face_boxes``       ``[[x0, y0, x1, y1], ...]``, four nulls where no face is seen, or a
                     ``.json`` file of that
``fps``              of a folder of pictures; 30 without it
===================  ====================================================================

A folder in TikTok's layout is read as if a manifest named ``images``, ``masks`` and the first of
``skeletons.npz``, ``openpose_json`` and ``dwpose`` in each of its folders.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from quickstep.animation.driving import read_driving
from quickstep.conditions.skeleton import Poses
from quickstep.data.image import numbered_pictures, read_image
from quickstep.data.video import read_video
from quickstep.data.views import same_aspect
from quickstep.evaluation.sample import Sample, SampleError

FIELDS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "video": (str,),
    "frames": (str,),
    "reference": (str, int),
    "skeletons": (str,),
    "reference_pose": (str,),
    "mask": (str,),
    "face_boxes": (str, list),
    "fps": (float, int),
}
PICTURES_FPS = 30.0
LAYOUT_SKELETONS = ("skeletons.npz", "openpose_json", "dwpose")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][\w. -]*")

Readers = dict[str, Callable[[], Sample]]


def read_manifest(path: Path, *, reference: int = 0) -> Readers:
    """The clips of a manifest, each checked for its fields now and read when it is asked for.

    Args:
        path: the file.
        reference: number of the frame that is the reference where an entry names none.

    Raises:
        SampleError: not a manifest, or an entry that is none; one line that names it.
    """
    if path.suffix.lower() not in (".json", ".jsonl"):
        raise SampleError(f"{path}: a manifest ends in .json or .jsonl")
    readers: Readers = {}
    for number, entry in enumerate(_entries(path), 1):
        where = f"{path}, entry {number}"
        name = _check_entry(entry, where)
        if name in readers:
            raise SampleError(f"{where}: there are two clips {name!r}")
        given = {"reference": reference, **entry}
        readers[name] = partial(_read_entry, given, path.parent)
    return readers


def read_layout(folders: Iterable[Path], *, reference: int = 0) -> Readers:
    """The clips of folders as in TikTok: ``images``, and beside it what else is known."""
    readers: Readers = {}
    for folder in folders:
        entry: dict[str, Any] = {"name": folder.name, "frames": "images", "reference": reference}
        found = [each for each in LAYOUT_SKELETONS if (folder / each).exists()]
        entry |= {"skeletons": found[0]} if found else {}
        entry |= {"mask": "masks"} if (folder / "masks").is_dir() else {}
        readers[folder.name] = partial(_read_entry, entry, folder)
    return readers


def read_frames(path: Path) -> tuple[UInt8[np.ndarray, "f H W 3"], float | None]:
    """The frames of a video or of a folder of numbered pictures, and the rate if it is known.

    Raises:
        SampleError: pictures of several sizes.
        ValueError: a picture or video that cannot be read, or pictures not numbered as
            `numbered_pictures` wants them; the message names it.
    """
    if not path.is_dir():
        video = read_video(path)
        return video.frames, float(video.fps)
    pictures = numbered_pictures(path)
    frames = [read_image(each) for each in pictures]
    for each, frame in zip(pictures, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise SampleError(f"{each}: its size differs from {pictures[0].name}'s")
    return np.stack(frames), None


def _entries(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".jsonl":
            entries = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            entries = json.loads(text)
    except ValueError as error:
        raise SampleError(f"{path}: not json that can be read: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise SampleError(f"{path}: a manifest is a list of clips, at least one")
    return entries


def _check_entry(entry: Any, where: str) -> str:
    if not isinstance(entry, dict):
        raise SampleError(f"{where}: a clip must be an object: got {type(entry).__name__}")
    for field, value in entry.items():
        kinds = FIELDS.get(field)
        if kinds is None:
            raise SampleError(f"{where}: no field {field!r}: fields are {', '.join(FIELDS)}")
        if not isinstance(value, kinds) or isinstance(value, bool):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise SampleError(f"{where}: {field} must be {names}: got {value!r}")
    if not 0 < entry.get("fps", PICTURES_FPS) < math.inf:
        raise SampleError(f"{where}: fps must be positive: got {entry['fps']}")
    if ("video" in entry) == ("frames" in entry):
        raise SampleError(f"{where}: a clip needs either 'video' or 'frames'")
    name = entry.get("name", "")
    if not _PLAIN_NAME.fullmatch(name):
        raise SampleError(f"{where}: name must be letters, digits, '_', '-' and '.': got {name!r}")
    return name


def _read_entry(entry: Mapping[str, Any], folder: Path) -> Sample:
    name = entry["name"]
    truth = folder / entry.get("video", entry.get("frames", ""))
    if not truth.exists():
        raise SampleError(f"{name}: {truth}: no such file or folder")
    frames, rate = read_frames(truth)
    fps = float(entry.get("fps", rate or PICTURES_FPS))
    poses = _read_poses(folder, entry.get("skeletons"), size=(frames.shape[2], frames.shape[1]))
    boxes = _read_boxes(name, folder, entry.get("face_boxes"))
    reference, own_pose, own_box = entry["reference"], None, None
    if isinstance(reference, int):
        if not 0 <= reference < len(frames):
            raise SampleError(
                f"{name}: reference must be a frame of 0 to {len(frames) - 1}: got {reference}"
            )
        picture = frames[reference]
        own_pose = None if poses is None or reference >= len(poses) else poses[reference]
        own_box = None if boxes is None else boxes[reference : reference + 1]
    else:
        picture = read_image(folder / reference)
    if "reference_pose" in entry:
        size = (picture.shape[1], picture.shape[0])
        given = _read_poses(folder, entry["reference_pose"], size=size)
        own_pose = None if given is None else given[0]
    return Sample(
        name=name,
        frames=frames,
        reference=picture,
        fps=fps,
        poses=poses,
        reference_pose=own_pose,
        mask=_read_mask(folder, entry.get("mask")),
        face_boxes=boxes,
        reference_face_box=own_box,
    )


def _read_poses(folder: Path, path: str | None, *, size: tuple[int, int]) -> Poses | None:
    """Poses in the pixels of pictures of `size`; another aspect ratio is left to be refused."""
    if path is None:
        return None
    poses = read_driving(folder / path, search=None).poses
    return poses.scaled_to(size) if same_aspect(poses.size, size) else poses


def _read_mask(folder: Path, path: str | None) -> np.ndarray | None:
    return None if path is None else read_frames(folder / path)[0][..., 0] > 127


def _read_boxes(name: str, folder: Path, given: str | Sequence | None) -> np.ndarray | None:
    if given is None:
        return None
    try:
        boxes = json.loads((folder / given).read_text()) if isinstance(given, str) else given
        array = np.array(boxes, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise SampleError(f"{name}: face_boxes must be numbers: {error}") from error
    if array.ndim != 2 or array.shape[1] != 4 or np.isinf(array).any():
        raise SampleError(f"{name}: face_boxes must have the shape (frames, 4): got {array.shape}")
    return array
