"""A picture and where the face is in it: found in a photograph, or known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from quickstep.conditions.faces import (
    CROP_SIZE,
    Box,
    FaceNets,
    detect_faces,
    face_crop,
    largest_face,
)


@dataclass(frozen=True)
class FacePicture:
    """A picture that shows a face.

    Attributes:
        picture: RGB as it was given, before anything was fitted or resized.
        box: of the face, x0, y0, x1, y1 in its pixels.
    """

    picture: UInt8[np.ndarray, "H W 3"]
    box: Box

    @property
    def is_inside(self) -> bool:
        """Whether the middle of the face is in the picture."""
        x0, y0, x1, y1 = self.box
        height, width = self.picture.shape[:2]
        return 0 <= x0 + x1 < 2 * width and 0 <= y0 + y1 < 2 * height and x0 < x1 and y0 < y1

    def crop(self, size: int = CROP_SIZE) -> UInt8[np.ndarray, "S S 3"]:
        """The face as a square of `size` pixels; see `quickstep.conditions.faces.face_crop`."""
        return face_crop(self.picture, self.box, size=size)


def find_face(
    picture: UInt8[np.ndarray, "H W 3"], nets: FaceNets, *, at: Sequence[float] | None = None
) -> FacePicture | None:
    """The largest face of a picture, or None where there is none; see `detect_faces`.

    Args:
        picture: RGB.
        nets: the networks that look for it.
        at: x and y of a person's head in pixels: faces that are not there are other people's.
    """
    faces = detect_faces(picture, nets)
    if at is not None:
        faces = [face for face in faces if _is_at(face.box, at)]
    face = largest_face(faces)
    return None if face is None else FacePicture(picture, face.box)


def _is_at(box: Box, place: Sequence[float]) -> bool:
    """Whether a place is in a box that is made half as large again: joints lie beside faces."""
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    reach = 0.75 * np.array([box[2] - box[0], box[3] - box[1]])
    return bool((np.abs(np.asarray(place) - middle) <= reach).all())
