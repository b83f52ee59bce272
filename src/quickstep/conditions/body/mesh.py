"""A body as a mesh over time: the one form in which bodies are exchanged, and its file."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstep.conditions.body.stored import BodyError, StoredArrays, check_range, checked_array
from quickstep.files import written_beside

NUM_JOINTS = 24
MAX_SIDE = 16384
FIELDS = ("verts", "faces", "part", "cam_t", "focal", "size")
EXTRA_FIELDS = ("joints", "fps")


@dataclass(frozen=True)
class BodyMesh:
    """A body in every frame before a pinhole camera with its principal point at the centre.

    Axes are OpenCV's: x right, y down, z forward. Pixel coordinates span 0..size from the top
    left; the first pixel's centre is at 0.5.

    Attributes:
        verts: (T, V, 3) float32 metres, relative to `cam_t`.
        faces: (F, 3) vertex numbers of each triangle, the same in all frames.
        part: (V,) SMPL's joint, 0 to 23, that carries each vertex.
        cam_t: (T, 3) metres from the camera.
        focal: pixels.
        size: (width, height), pixels.
        joints: (T, 24, 3) SMPL's joints, metres, relative to `cam_t`, where they are known.
        fps: frames per second, where known.

    Raises:
        BodyError: a field of another type or shape, empty, not finite or out of its range, or a
            frame whose whole body is behind the camera; one line that names field and value.

    Example:
        >>> corners = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]])
        >>> mesh = BodyMesh(
        ...     corners,
        ...     faces=np.array([[0, 1, 2]]),
        ...     part=np.array([0, 0, 0]),
        ...     cam_t=np.array([[0, 0, 2.0]]),
        ...     focal=64.0,
        ...     size=(64, 48),
        ... )
        >>> mesh.projected()[0, 1].tolist(), mesh.resized((32, 48)).focal
        ([64.0, 24.0], 32.0)
    """

    verts: np.ndarray
    faces: np.ndarray
    part: np.ndarray
    cam_t: np.ndarray
    focal: float
    size: tuple[int, int]
    joints: np.ndarray | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        """Brings the fields to their types and checks them."""
        sizes: dict[str, int] = {}
        verts = checked_array("verts", self.verts, "T V 3", sizes=sizes)
        faces = checked_array("faces", self.faces, "F 3", kind="integers")
        part = checked_array("part", self.part, "V", kind="integers", sizes=sizes)
        cam_t = checked_array("cam_t", self.cam_t, "T 3", sizes=sizes)
        check_range("faces", faces, stop=sizes["V"], of="vertices")
        check_range("part", part, stop=NUM_JOINTS, of="joints")
        _check_in_front(verts, cam_t)
        checked = {"verts": verts, "faces": faces, "part": part, "cam_t": cam_t}
        if self.joints is not None:
            checked["joints"] = checked_array("joints", self.joints, "T 24 3", sizes=sizes)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "focal", positive_number("focal", self.focal))
        object.__setattr__(self, "size", picture_size("size", self.size))
        if self.fps is not None:
            object.__setattr__(self, "fps", positive_number("fps", self.fps))

    @classmethod
    def read(cls, path: str | Path) -> "BodyMesh":
        """Reads a ``.npz`` written by `write` or by another tool with the same fields.

        Raises:
            BodyError: the file is missing, is of another kind, lacks a field or holds unusable
                numbers; the message names file and field. Pickled fields are refused.
        """
        stored = StoredArrays(path, what="a body mesh")
        values: dict[str, Any] = {name: stored[name] for name in FIELDS}
        values |= {name: stored[name] for name in EXTRA_FIELDS if name in stored}
        try:
            values["size"] = picture_size("size", values["size"])
            for name in ("focal", "fps"):
                if name in values:
                    values[name] = positive_number(name, values[name])
            return cls(**values)
        except BodyError as error:
            raise BodyError(f"{path}: {error}") from error

    def write(self, path: str | Path) -> None:
        """Writes the ``.npz`` that `read` gives back, whole or not at all.

        Raises:
            BodyError: `path` does not end in ``.npz``.
            OSError: the folder is missing or cannot be written to.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            raise BodyError(f"{path}: a body mesh is written as .npz")
        values = {name: getattr(self, name) for name in (*FIELDS, *EXTRA_FIELDS)}
        with written_beside(path) as beside, beside.open("wb") as file:
            np.savez_compressed(
                file, **{name: value for name, value in values.items() if value is not None}
            )

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.verts)

    def __getitem__(self, frames: slice | list[int]) -> "BodyMesh":
        """Some of the frames, in the order asked for."""
        return replace(
            self,
            verts=self.verts[frames],
            cam_t=self.cam_t[frames],
            joints=None if self.joints is None else self.joints[frames],
        )

    def placed(self) -> Float[np.ndarray, "f v 3"]:
        """Every vertex in the camera's axes, metres."""
        return np.asarray(self.verts + self.cam_t[:, None])

    def projected(self) -> Float[np.ndarray, "f v 2"]:
        """Pixels of every vertex; of no meaning for those behind the camera."""
        return pixels_of(self.placed(), focal=self.focal, size=self.size)

    def resized(self, size: tuple[int, int]) -> "BodyMesh":
        """The same view in a picture of another (width, height).

        The old picture is scaled, without stretching, until it just fits into the new one, its
        centre on the new centre; a new picture of another shape shows more at two sides.

        Raises:
            BodyError: a side below 1.
        """
        size = picture_size("size", size)
        return replace(self, focal=fitted_focal(self.focal, self.size, size), size=size)


def pixels_of(
    placed: Float[np.ndarray, "*n 3"], *, focal: float, size: tuple[int, int]
) -> Float[np.ndarray, "*n 2"]:
    """Where points in the camera's axes appear in a picture of (width, height)."""
    return np.asarray(placed[..., :2] / placed[..., 2:] * focal + 0.5 * np.asarray(size))


def fitted_focal(focal: float, old: tuple[int, int], new: tuple[int, int]) -> float:
    """The focal length at which a picture of size `old` just fits into one of size `new`."""
    return focal * min(after / before for after, before in zip(new, old, strict=True))


def positive_number(name: str, value: object) -> float:
    """One finite number above 0.

    Raises:
        BodyError: anything else.
    """
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise BodyError(f"{name} must be one number: got {array.dtype} of shape {array.shape}")
    number = float(array.reshape(()))
    if not (np.isfinite(number) and number > 0):
        raise BodyError(f"{name} must be finite and above 0: got {number}")
    return number


def picture_size(name: str, value: object) -> tuple[int, int]:
    """Width and height in whole pixels.

    Raises:
        BodyError: not two whole numbers from 1 to `MAX_SIDE`.
    """
    array = np.asarray(value)
    if array.shape != (2,) or array.dtype.kind not in "fiu":
        raise BodyError(f"{name} must be width and height: got {array.tolist()}")
    inside = (array >= 1) & (array <= MAX_SIDE)  # NaN is not
    if not (inside & (array == np.floor(array))).all():
        raise BodyError(f"{name} must be whole pixels, 1 to {MAX_SIDE}: got {array.tolist()}")
    return int(array[0]), int(array[1])


def _check_in_front(verts: np.ndarray, cam_t: np.ndarray) -> None:
    farthest = verts[..., 2].max(axis=1) + cam_t[:, 2]
    if (farthest <= 0).any():
        frame = int(np.argmax(farthest <= 0))
        raise BodyError(
            f"verts + cam_t must lie before the camera (z above 0): the farthest vertex of frame "
            f"{frame} is at z = {farthest[frame]:.3g} m"
        )
