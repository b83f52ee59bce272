"""One clip of an evaluation: the truth, what a model is told of it, and a video made for it."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from quickstep.conditions.face_picture import FacePicture
from quickstep.conditions.skeleton import Poses
from quickstep.data.views import same_aspect


class SampleError(ValueError):
    """A clip that cannot be judged; the message is one line and names it."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One clip and what is known about it; None for what is not.

    Attributes:
        name: unique in its set.
        frames: the truth.
        reference: the picture a model starts from, of the frames' aspect ratio.
        poses: of the frames, in their pixels.
        reference_pose: of the reference, one frame, in the reference's pixels.
        mask: the person.
        face_boxes: x0, y0, x1, y1 of the face in each frame, pixels.
        reference_face_box: the same for the reference, one row.
        reference_face: a finer picture of the reference's face, for models that are told it. It
            shows what `reference` shows and has no part in the digest.
        pose_maps: of the frames, in the order of `quickstep.networks.champ.POSE_MAPS`, for models
            that are told them. They show whom `frames` and `poses` show and have no part in it.
        fps: frames per second.

    Raises:
        SampleError: lengths or shapes disagree.
    """

    name: str
    frames: UInt8[np.ndarray, "f H W 3"]
    reference: UInt8[np.ndarray, "h w 3"]
    fps: float
    poses: Poses | None = None
    reference_pose: Poses | None = None
    mask: Bool[np.ndarray, "_ _ _"] | None = None
    face_boxes: Float[np.ndarray, "_ 4"] | None = None
    reference_face_box: Float[np.ndarray, "1 4"] | None = None
    reference_face: FacePicture | None = None
    pose_maps: UInt8[np.ndarray, "_ m G V 3"] | None = None

    def __post_init__(self) -> None:
        """Refuses parts that do not belong together."""
        count, size = len(self.frames), self.size
        for part in ("poses", "mask", "face_boxes", "pose_maps"):
            if (value := getattr(self, part)) is not None and len(value) != count:
                raise SampleError(f"{self.name}: {count} frames but {part} of {len(value)}")
        if self.mask is not None and self.mask.shape[1:] != self.frames.shape[1:3]:
            shape = _times((self.mask.shape[2], self.mask.shape[1]))
            raise SampleError(f"{self.name}: the mask is {shape}, the frames are {_times(size)}")
        shapes = {"reference": (self.reference.shape[1], self.reference.shape[0])}
        shapes |= {} if self.poses is None else {"skeletons' picture": self.poses.size}
        for part, shape in shapes.items():
            if not same_aspect(shape, size):
                raise SampleError(
                    f"{self.name}: the {part} is {_times(shape)}, the frames are {_times(size)}: "
                    "they must have one aspect ratio"
                )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the frames."""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def face(self) -> FacePicture | Literal["find"] | None:
        """The reference's face at its finest; ``"find"`` where nothing is known of one."""
        if self.reference_face is not None or self.reference_face_box is None:
            return self.reference_face or "find"
        x0, y0, x1, y1 = self.reference_face_box[0].tolist()
        face = FacePicture(self.reference, (x0, y0, x1, y1))
        return face if face.is_inside else None

    def every(self, stride: int, *, most: int | None = None) -> "Sample":
        """Every `stride`-th frame, `most` of them at most."""
        if stride == 1 and (most is None or most >= len(self.frames)):
            return self
        kept = np.arange(0, len(self.frames), stride)[:most]
        parts = {
            name: None if (value := getattr(self, name)) is None else value[kept]
            for name in ("frames", "poses", "mask", "face_boxes", "pose_maps")
        }
        return replace(self, fps=self.fps / stride, **parts)

    def digest(self) -> str:
        """SHA-256 of all that a score can depend on."""
        total = hashlib.sha256(f"{self.name} {self.fps!r}".encode())
        for poses in (self.poses, self.reference_pose):
            total.update(b"poses" if poses is None else repr(poses.size).encode())
            for array in () if poses is None else (poses.keypoints, poses.scores, poses.visible):
                add_array(total, array)
        boxes = (self.face_boxes, self.reference_face_box)
        for array in (self.frames, self.reference, self.mask, *boxes):
            add_array(total, array)
        return total.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Made:
    """A video to be judged.

    Attributes:
        frames: of the whole picture as the truth shows it, at any resolution.
        seams: frames at which windows meet, see `motion.seam_frames`; None when not known.
        num_evaluations: of the denoising network.
        timings: wall seconds by stage.
        notes: what the maker had to say.
    """

    frames: UInt8[np.ndarray, "f H W 3"]
    seams: tuple[int, ...] | None = None
    num_evaluations: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def add_array(total: "hashlib._Hash", array: np.ndarray | None) -> None:
    """Adds an array's type, shape and content to a digest."""
    if array is None:
        total.update(b"none")
        return
    total.update(f"{array.dtype.str}{array.shape}".encode())
    total.update(np.ascontiguousarray(array).data)


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
