"""A body's motion as SMPL parameters before a camera, as 4D-Humans (HMR2) finds them in footage."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from quickstep.conditions.body.mesh import (
    NUM_JOINTS,
    BodyMesh,
    fitted_focal,
    picture_size,
    positive_number,
)
from quickstep.conditions.body.skinning import BodyModel, rotation_matrices
from quickstep.conditions.body.stored import BodyError, StoredArrays, checked_array

CameraOf = Literal["driving", "reference"]

_WHAT = "a body motion"
_HMR_FOCAL, _HMR_SIDE = 5000.0, 256.0
_LEAST_ORTHOGONAL = 0.01
_CHUNK_FRAMES = 64


@dataclass(frozen=True)
class BodyMotion:
    """Pose, shape and camera of one body in every frame; OpenCV axes.

    Attributes:
        rotations: (T, 24, 3, 3) of each of SMPL's joints relative to its parent; the first turns
            the body into the camera's axes.
        betas: (T, S) shape coefficients.
        cam_t: (T, 3) metres from the camera to the body's origin.
        focal: pixels; the principal point is the picture's centre.
        size: (width, height), pixels.
        fps: frames per second, where known.

    Raises:
        BodyError: a field of another shape or type, not finite, or a matrix that is no rotation.
    """

    rotations: np.ndarray
    betas: np.ndarray
    cam_t: np.ndarray
    focal: float
    size: tuple[int, int]
    fps: float | None = None

    def __post_init__(self) -> None:
        """Brings the fields to their types and checks them."""
        sizes: dict[str, int] = {}
        rotations = checked_array("rotations", self.rotations, f"T {NUM_JOINTS} 3 3", sizes=sizes)
        _check_rotations(rotations)
        object.__setattr__(self, "rotations", rotations)
        for name, shape in (("betas", "T S"), ("cam_t", "T 3")):
            value = checked_array(name, getattr(self, name), shape, sizes=sizes)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "focal", positive_number("focal", self.focal))
        object.__setattr__(self, "size", picture_size("size", self.size))
        if self.fps is not None:
            object.__setattr__(self, "fps", positive_number("fps", self.fps))

    @classmethod
    def read(cls, path: str | Path) -> "BodyMotion":
        """Reads a ``.npz`` of plain arrays under the names that HMR2's results have.

        ============================  ======================================================
        field                         content
        ============================  ======================================================
        ``global_orient``             (T, 3) axis-angle or (T, 3, 3); ones between are allowed
        ``body_pose``                 (T, 69) axis-angle or (T, 23, 3, 3)
        or ``poses``                  (T, 72): both of them
        ``betas``                     (S,) or (T, S)
        ``cam_t``                     (T, 3)
        ``size`` or ``render_res``    width, height
        ``focal`` or                  pixels; where neither is there, 5000 / 256 times the longer
        ``scaled_focal_length``       side, as HMR2 has it
        ``fps``                       optional
        ============================  ======================================================

        Raises:
            BodyError: the file is missing, is of another kind, lacks a field, or has one that is
                pickled or unusable; the message names file and field.
        """
        stored = StoredArrays(path, what=_WHAT)
        if "smpl" in stored:
            stored["smpl"]  # as HMR2 groups results: always a pickle, which is refused by name
        turns = {"poses": NUM_JOINTS}
        if "poses" not in stored:
            turns = {"global_orient": 1, "body_pose": NUM_JOINTS - 1}
        raw = {name: stored[name] for name in (*turns, "betas", "cam_t")}
        try:
            cam_t = checked_array("cam_t", raw["cam_t"], "T 3")
            rotations = [
                _rotations(name, raw[name], count, num_frames=len(cam_t))
                for name, count in turns.items()
            ]
            focal, size = read_camera(stored)
            fps = positive_number("fps", stored["fps"]) if "fps" in stored else None
            return cls(
                rotations=np.concatenate(rotations, axis=1),
                betas=_betas(raw["betas"], num_frames=len(cam_t)),
                cam_t=cam_t,
                focal=focal,
                size=size,
                fps=fps,
            )
        except BodyError as error:
            if str(error).startswith(str(path)):
                raise
            raise BodyError(f"{path}: {error}") from error

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.rotations)

    def transferred(self, reference: "BodyMotion", *, camera: CameraOf = "driving") -> "BodyMotion":
        """This motion by the reference's body, in a picture of the reference's size.

        Args:
            reference: its first frame is the person of the reference picture.
            camera: ``driving`` keeps this motion's camera, scaled so that the picture it saw just
                fits into the new one; ``reference`` places the body where the reference stands,
                in every frame, as Champ does when it transfers the view.
        """
        betas = np.repeat(reference.betas[:1], len(self), axis=0)
        if camera == "reference":
            return replace(
                self,
                betas=betas,
                cam_t=np.repeat(reference.cam_t[:1], len(self), axis=0),
                focal=reference.focal,
                size=reference.size,
            )
        focal = fitted_focal(self.focal, self.size, reference.size)
        return replace(self, betas=betas, focal=focal, size=reference.size)

    def mesh(self, model: BodyModel, *, device: str | torch.device = "cpu") -> BodyMesh:
        """The motion as a mesh with joints.

        Raises:
            BodyError: more shape coefficients than the model has, or a frame behind the camera.
        """
        known = model.shape_directions.shape[-1]
        if self.betas.shape[1] > known:
            raise BodyError(
                f"betas must be at most the model's {known} coefficients: got {self.betas.shape[1]}"
            )
        model = model.to(device)
        posed = []
        for start in range(0, len(self), _CHUNK_FRAMES):
            part = slice(start, start + _CHUNK_FRAMES)
            rotations = torch.from_numpy(self.rotations[part]).to(device)
            betas = torch.from_numpy(self.betas[part]).to(device)
            posed.append(model.posed(rotations, betas=betas))
        return BodyMesh(
            verts=torch.cat([each.vertices for each in posed]).cpu().numpy(),
            faces=model.faces.cpu().numpy(),
            part=model.parts().cpu().numpy(),
            cam_t=self.cam_t,
            focal=self.focal,
            size=self.size,
            joints=torch.cat([each.joints for each in posed]).cpu().numpy(),
            fps=self.fps,
        )


def read_camera(stored: StoredArrays) -> tuple[float, tuple[int, int]]:
    """Focal length and picture size under our names or HMR2's; see `BodyMotion.read`.

    Raises:
        BodyError: no size, or unusable numbers.
    """
    size_name = "size" if "size" in stored else "render_res"
    size = picture_size(size_name, stored[size_name])
    for name in ("focal", "scaled_focal_length"):
        if name in stored:
            return positive_number(name, stored[name]), size
    return _HMR_FOCAL / _HMR_SIDE * max(size), size


def _rotations(name: str, values: np.ndarray, count: int, *, num_frames: int) -> np.ndarray:
    """Matrices (T, count, 3, 3) from matrices or axis-angles with any axes of length 1 between."""
    array = np.asarray(values)
    per_frame = array.size // max(num_frames, 1)
    fits = array.ndim >= 2 and len(array) == num_frames and per_frame in (3 * count, 9 * count)
    if not fits:
        raise BodyError(
            f"{name} must hold {count} axis-angles (3 numbers) or matrices (9) for each of the "
            f"{num_frames} frames: got the shape {array.shape}"
        )
    flat = checked_array(name, array.reshape(num_frames, -1), "T N")
    if per_frame == 9 * count:
        return flat.reshape(num_frames, count, 3, 3)
    turns = torch.from_numpy(flat.reshape(num_frames, count, 3))
    return rotation_matrices(turns.double()).float().numpy()


def _betas(values: np.ndarray, *, num_frames: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim == 1 or len(array) == 1:
        return np.repeat(array.reshape(1, -1), num_frames, axis=0)
    return array.reshape(len(array), -1)


def _check_rotations(rotations: np.ndarray) -> None:
    square = rotations @ rotations.swapaxes(-1, -2)
    off = np.abs(square - np.eye(3)).max(axis=(-1, -2))
    off = np.where(np.linalg.det(rotations) > 0, off, np.inf)
    if (off > _LEAST_ORTHOGONAL).any():
        frame, joint = np.argwhere(off > _LEAST_ORTHOGONAL)[0]
        rows = rotations[frame, joint].round(3).tolist()
        raise BodyError(
            f"rotations must be orthogonal, of determinant 1: got {rows} at frame {frame}, "
            f"joint {joint}"
        )
