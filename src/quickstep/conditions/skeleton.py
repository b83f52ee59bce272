"""A person's keypoints over time: the one form every part of quickstep exchanges poses in."""

import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.coco_json import coco_content
from quickstep.conditions.openpose_json import openpose_content, read_openpose
from quickstep.conditions.order import (
    LEFT_HIP,
    LEFT_SHOULDER,
    NUM_KEYPOINTS,
    RIGHT_HIP,
    RIGHT_SHOULDER,
)
from quickstep.files import written_beside

POSE_SUFFIXES = (".npz", ".json")
"""Kinds of files that poses are written to and read from."""

Layout = Literal["openpose", "coco"]
"""How a json of poses is laid out."""


class PoseError(ValueError):
    """Keypoints that cannot be used; the message is one line."""


@dataclass(frozen=True)
class Poses:
    """The keypoints of one person in each frame of a clip.

    Attributes:
        keypoints: (frames, 133, 2) float32 pixels, x to the right and y down from the top left
            corner, in COCO-WholeBody's order. A point may lie outside the picture. Always finite.
        scores: (frames, 133) float32 confidence, 0 to 1.
        visible: (frames, 133) bool, whether a point may be drawn and measured. Hidden points
            have coordinates too (0 where nothing is known), which mean nothing.
        size: (width, height) of the picture the pixels refer to.
        fps: frames per second, a float.
        origin: JSON that says what found the keypoints (a detector and the sha256 of its
            files); empty where that is not known.

    Raises:
        PoseError: shapes disagree, there is no frame, a number is not finite, or `size` or
            `fps` is not positive.

    Example:
        >>> still = Poses.hidden(num_frames=3, size=(64, 48), fps=12.0)
        >>> len(still), still[1:].num_frames, still.scaled_to((128, 96)).size
        (3, 2, (128, 96))
    """

    keypoints: np.ndarray
    scores: np.ndarray
    visible: np.ndarray
    size: tuple[int, int]
    fps: float | int
    origin: str = ""

    def __post_init__(self) -> None:
        """Brings the arrays to their types and checks them."""
        keypoints = np.asarray(self.keypoints, dtype=np.float32)
        scores = np.asarray(self.scores, dtype=np.float32)
        visible = np.asarray(self.visible, dtype=np.bool_)
        object.__setattr__(self, "keypoints", keypoints)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "visible", visible)
        object.__setattr__(self, "size", (int(self.size[0]), int(self.size[1])))
        object.__setattr__(self, "fps", float(self.fps))
        _check_shapes(keypoints, scores, visible)
        _check_values(self)

    @classmethod
    def hidden(cls, *, num_frames: int, size: tuple[int, int], fps: float | int) -> "Poses":
        """Poses in which nothing is visible: the start for filling in what is known."""
        return cls(
            keypoints=np.zeros((num_frames, NUM_KEYPOINTS, 2), dtype=np.float32),
            scores=np.zeros((num_frames, NUM_KEYPOINTS), dtype=np.float32),
            visible=np.zeros((num_frames, NUM_KEYPOINTS), dtype=np.bool_),
            size=size,
            fps=fps,
        )

    @classmethod
    def read(cls, path: str | Path, *, fps: float | int = 30.0) -> "Poses":
        """Reads a `.npz`, an OpenPose or COCO-WholeBody `.json`, or a folder of OpenPose jsons.

        Args:
            path: the file or folder.
            fps: the frame rate of jsons, which do not record it.

        Raises:
            PoseError: the file is missing, is of another kind, or holds unusable numbers; the
                message names the file.
        """
        path = Path(path)
        if not path.exists():
            raise PoseError(f"{path}: no such file or folder")
        if path.is_dir() or path.suffix.lower() == ".json":
            return _read_json(path, fps=fps)
        if path.suffix.lower() != ".npz":
            raise PoseError(f"{path}: poses are read from .npz, .json or a folder of .json files")
        return _read_npz(path)

    def write(self, path: str | Path, *, layout: Layout = "openpose") -> None:
        """Writes a file that `read` gives back, whole or not at all.

        Args:
            path: `.npz`, which keeps everything, or `.json`, which keeps neither the frame rate
                nor hidden points.
            layout: of a `.json`: OpenPose's, a list of frames, or COCO-WholeBody's annotations.

        Raises:
            PoseError: `path` does not end in `.npz` or `.json`.
            OSError: the folder is missing or cannot be written to.
        """
        path = Path(path)
        if path.suffix.lower() not in POSE_SUFFIXES:
            raise PoseError(f"{path}: poses are written as .npz or .json")
        with written_beside(path) as beside:
            if path.suffix.lower() == ".json":
                content = coco_content if layout == "coco" else openpose_content
                written = content(self.keypoints, self.scores, self.visible, self.size)
                beside.write_text(json.dumps(written), encoding="utf-8")
                return
            with beside.open("wb") as file:
                np.savez_compressed(
                    file,
                    keypoints=self.keypoints,
                    scores=self.scores,
                    visible=self.visible,
                    size=np.asarray(self.size, dtype=np.int64),
                    fps=np.asarray(self.fps, dtype=np.float64),
                    origin=np.asarray(self.origin),
                )

    @property
    def num_frames(self) -> int:
        """How many frames there are, at least one."""
        return len(self.keypoints)

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.keypoints)

    def __getitem__(self, frames: slice | int | list[int] | np.ndarray) -> "Poses":
        """Some of the frames, in the order asked for; a number gives a clip of that one frame."""
        if isinstance(frames, (int, np.integer)):
            index = int(frames)
            if not -len(self) <= index < len(self):
                raise IndexError(f"frame must be within the clip's {len(self)} frames: got {index}")
            frames = [index]
        return replace(
            self,
            keypoints=self.keypoints[frames],
            scores=self.scores[frames],
            visible=self.visible[frames],
        )

    def scaled_to(self, size: tuple[int, int]) -> "Poses":
        """The same poses in a picture stretched to `size` (width, height), each axis by its own."""
        factor = np.asarray(size, dtype=np.float64) / np.asarray(self.size, dtype=np.float64)
        keypoints = (self.keypoints.astype(np.float64) * factor).astype(np.float32)
        return replace(self, keypoints=keypoints, size=size)

    def moved(self, *, scale: float, offset: tuple[float, float], size: tuple[int, int]) -> "Poses":
        """The poses after `point * scale + offset`, in a picture of `size` (width, height)."""
        keypoints = self.keypoints.astype(np.float64) * scale + np.asarray(offset, dtype=np.float64)
        return replace(self, keypoints=keypoints.astype(np.float32), size=size)

    def neck(self) -> tuple[Float[np.ndarray, "f 2"], Bool[np.ndarray, " f"]]:
        """The middle of the shoulders, and whether both of them are visible."""
        return self._middle(LEFT_SHOULDER, RIGHT_SHOULDER)

    def hip(self) -> tuple[Float[np.ndarray, "f 2"], Bool[np.ndarray, " f"]]:
        """The middle of the hips, and whether both of them are visible."""
        return self._middle(LEFT_HIP, RIGHT_HIP)

    def _middle(self, left: int, right: int) -> tuple[np.ndarray, np.ndarray]:
        middle = (self.keypoints[:, left] + self.keypoints[:, right]) / 2
        return middle, self.visible[:, left] & self.visible[:, right]


def _check_shapes(keypoints: np.ndarray, scores: np.ndarray, visible: np.ndarray) -> None:
    if keypoints.ndim != 3 or keypoints.shape[1:] != (NUM_KEYPOINTS, 2):
        raise PoseError(f"keypoints must have shape (frames, 133, 2): got {keypoints.shape}")
    if len(keypoints) == 0:
        raise PoseError("keypoints must have at least one frame: got 0")
    for name, array in (("scores", scores), ("visible", visible)):
        if array.shape != keypoints.shape[:2]:
            raise PoseError(f"{name} must have shape {keypoints.shape[:2]}: got {array.shape}")


def _check_values(poses: Poses) -> None:
    bad = ~np.isfinite(poses.keypoints).all(axis=2)
    if bad.any():
        frame, point = np.argwhere(bad)[0]
        value = poses.keypoints[frame, point].tolist()
        raise PoseError(
            f"keypoints must be finite: got {value} at frame {frame}, point {point} "
            f"({int(bad.sum())} such points)"
        )
    if not np.isfinite(poses.scores).all():
        frame, point = np.argwhere(~np.isfinite(poses.scores))[0]
        raise PoseError(
            f"scores must be finite: got {poses.scores[frame, point]} "
            f"at frame {frame}, point {point}"
        )
    if min(poses.size) < 1:
        raise PoseError(f"size (width, height) must be positive: got {poses.size}")
    if not (np.isfinite(poses.fps) and poses.fps > 0):
        raise PoseError(f"fps must be positive: got {poses.fps}")


def _read_npz(path: Path) -> Poses:
    try:
        with path.open("rb") as file:
            fields = dict(np.load(file, allow_pickle=False))
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise PoseError(f"{path}: not a .npz of poses that can be read") from error
    missing = sorted({"keypoints", "scores", "visible", "size", "fps"} - set(fields))
    if missing:
        raise PoseError(f"{path}: the .npz lacks {', '.join(missing)}")
    try:
        width, height = (int(side) for side in fields["size"])
        return Poses(
            keypoints=fields["keypoints"],
            scores=fields["scores"],
            visible=fields["visible"],
            size=(width, height),
            fps=float(fields["fps"]),
            origin=str(fields.get("origin", "")),
        )
    except (ValueError, TypeError) as error:
        raise PoseError(f"{path}: {error}") from error


def _read_json(path: Path, *, fps: float) -> Poses:
    try:
        keypoints, scores, visible, size = read_openpose(path)
    except ValueError as error:
        raise PoseError(str(error)) from error
    try:
        return Poses(keypoints, scores=scores, visible=visible, size=size, fps=fps)
    except ValueError as error:
        raise PoseError(f"{path}: {error}") from error
