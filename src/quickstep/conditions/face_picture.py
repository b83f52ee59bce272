"""A picture and where the face is in it: found in a photograph, or known."""

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


def find_face(picture: UInt8[np.ndarray, "H W 3"], nets: FaceNets) -> FacePicture | None:
    """The largest face of a picture, or None where there is none; see `detect_faces`."""
    face = largest_face(detect_faces(picture, nets))
    return None if face is None else FacePicture(picture, face.box)
