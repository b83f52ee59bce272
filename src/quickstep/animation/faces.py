"""The reference's face for models that are told it: known by a clip folder, or found by MTCNN."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import UInt8

from quickstep.animation.pictures import read_picture
from quickstep.conditions.face_picture import FacePicture, find_face
from quickstep.data.clip import reference_face
from quickstep.networks.faces import FaceInput
from quickstep.networks.mtcnn import MTCNN, load_mtcnn

ReferenceFace = FacePicture | Literal["find"] | None
"""A face that is known, ``"find"`` to look for it, or None to go on without."""


class FaceFinder:
    """Crops the faces that a model wants out of pictures as they were given.

    The detector is read from disk when the first picture asks for it.

    Args:
        wanted: what the model wants; None for one that is not told faces.
        device: where the detector runs.
    """

    def __init__(self, wanted: FaceInput | None, *, device: torch.device | str = "cpu") -> None:
        self.wanted, self.device = wanted, device

    @cached_property
    def nets(self) -> MTCNN:
        """The detector's networks."""
        return load_mtcnn(device=self.device)

    def crop(
        self, image: Any, *, face: ReferenceFace = "find"
    ) -> UInt8[np.ndarray, "S S 3"] | None:
        """The face's picture at the model's size; None without a face or a use for one.

        Args:
            image: what `read_picture` takes; of a clip folder's reference the face is known.
            face: the face, where the caller knows it.

        Raises:
            ValueError: a picture cannot be read; one line.
        """
        if self.wanted is None or face is None:
            return None
        if face == "find":
            known = reference_face(Path(image)) if isinstance(image, str | Path) else None
            face = known or find_face(read_picture(image), self.nets)
        return None if face is None else face.crop(self.wanted.size)
