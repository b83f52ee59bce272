"""Faces of the persons in a prepared set: found, cropped, encoded, and kept beside it.

=============================  ==================  ====================================
file in ``faces-<size>/``      shape, type         content
=============================  ==================  ====================================
``crops.npy``                  n S S 3, uint8      the reference's face, square
``found.npy``                  n, bool             whether it is in the picture at all
``vae-<encoders>.npy``         n c h w, float16    its scaled latents
``clip-<encoders>.npy``        n 1 d, float16      its image embedding
``faces.json``                 -                   what it was made from, rows done
=============================  ==================  ====================================

The set's own files and its ``set.json`` are not touched. Row i is the face of clip i's prepared
reference, frame 0. It stands for the person also where a batch takes another frame of the clip for
its reference: that frame may show the back of the head, and all of them are too coarse for a face.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from jaxtyping import Bool, Float16
from transformers import CLIPVisionModelWithProjection

from quickstep.conditions.face_picture import FacePicture, find_face
from quickstep.conditions.faces import CROP_MARGIN
from quickstep.data.clip import reference_face
from quickstep.data.dancer import DancerSeeds
from quickstep.data.dancer.portrait import Portrait
from quickstep.data.dancer.rays import Window
from quickstep.data.folder_sets import FolderData
from quickstep.data.image import read_image
from quickstep.data.kept_beside import note_kept, rows_kept
from quickstep.data.prepared import (
    DancerData,
    PreparedSet,
    Report,
    pictures_to_video,
    ready_to_encode,
)
from quickstep.data.turns import in_turn
from quickstep.files import written_beside
from quickstep.networks.faces import Feature, face_features
from quickstep.networks.mtcnn import load_mtcnn

FINER = 4
"""The reference is rendered this many times as large for its face."""
_REACH = 8
"""Pixels round the crop that its resize may look at: three of the crop's own, and some."""
_CHUNK = 50
_REDRAWN_LEVELS = 1.0
"""Mean difference of grey levels at which a set is of another version of the renderer."""


@dataclass(frozen=True)
class PreparedFaces:
    """Encoded faces, a row for each clip of a set.

    Attributes:
        features: what a network is told.
        found: whether the clip has a face; features of the others are zero.
    """

    features: Float16[np.ndarray, "n ..."]
    found: Bool[np.ndarray, " n"]


def dancer_face(
    seeds: DancerSeeds,
    *,
    size: int,
    preset: str = "plain",
    device: torch.device | str = "cpu",
) -> FacePicture:
    """The face of a dancer's reference, `FINER` times as large as in a clip of `size` pixels.

    Only the part of the large picture that a crop needs is rendered: its crop is that of the whole.
    """
    portrait, whole = Portrait.of(seeds, preset=preset), FINER * size
    x0, y0, x1, y1 = portrait.face_box(size=whole)
    side = CROP_MARGIN * max(x1 - x0, y1 - y0)
    wide = min(whole, int(side) + 2 * _REACH + 2)
    ends = ((x0, x1), (y0, y1))
    left, top = (int(min(max((low + high - wide) / 2, 0), whole - wide)) for low, high in ends)
    picture = portrait.picture(size=whole, window=Window(left, top, wide), device=device)
    return FacePicture(picture, (x0 - left, y0 - top, x1 - left, y1 - top))


def prepare_faces(
    prepared: PreparedSet,
    data: DancerData | FolderData,
    *,
    size: int,
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> Path:
    """Crops the faces of a set that lack, going on where it was stopped.

    A dancer's reference is rendered finer for it. Of a real clip's reference the folder's own box
    is taken, or the largest face that MTCNN finds in the picture as it was given.

    Args:
        prepared: the rendered set of `data`.
        data: what it was made from.
        size: side of the crops in pixels.
        device: where to render or to look for faces.
        report: progress.

    Returns:
        The folder that they are in.

    Raises:
        ValueError: the set is of another version of the renderer, or the folder of other data.
    """
    if isinstance(data, DancerData):
        face_of = _dancer_faces(prepared, data, device=device)
    else:
        face_of = _folder_faces(data, device=device)
    return crop_faces(
        prepared.folder / f"faces-{size}",
        face_of,
        count=len(prepared),
        size=size,
        made_from={**asdict(data), "finer": FINER},
        report=report,
    )


@in_turn
def crop_faces(
    folder: Path,
    face_of: Callable[[int], FacePicture | None],
    *,
    count: int,
    size: int,
    made_from: dict[str, Any],
    report: Report | None = None,
) -> Path:
    """Crops the faces that lack in a folder, going on where it was stopped.

    Args:
        folder: where they go.
        face_of: the face of clip 0, 1, ..., or None for one without.
        count: clips.
        size: side of the crops in pixels.
        made_from: what decides the faces, as JSON can have it.
        report: progress.

    Returns:
        The folder.

    Raises:
        ValueError: the folder holds faces made from something else.
    """
    settings = json.loads(json.dumps({**made_from, "face_size": size}))
    note = folder / "faces.json"
    done = rows_kept(note, settings)
    if done == count:
        return folder
    crops, found = (
        np.lib.format.open_memmap(
            folder / name, mode="r+" if done else "w+", dtype=dtype, shape=shape
        )
        for name, dtype, shape in (
            ("crops.npy", np.uint8, (count, size, size, 3)),
            ("found.npy", np.bool_, (count,)),
        )
    )
    for start in range(done, count, _CHUNK):
        stop = min(start + _CHUNK, count)
        for row in range(start, stop):
            face = face_of(row)
            found[row] = face is not None
            crops[row] = 0 if face is None else face.crop(size)
        crops.flush()
        found.flush()
        note_kept(note, settings, done=stop)
        if report:
            report(stop, count, "cropping faces")
    return folder


def _dancer_faces(
    prepared: PreparedSet, data: DancerData, *, device: torch.device | str
) -> Callable[[int], FacePicture | None]:
    def face_of(row: int) -> FacePicture | None:
        if row % _CHUNK == 0:
            _expect_same_renderer(prepared, data, row, device=device)
        face = dancer_face(data.seeds(row), size=data.size, preset=data.preset, device=device)
        return face if face.is_inside else None

    return face_of


def _folder_faces(
    data: FolderData, *, device: torch.device | str
) -> Callable[[int], FacePicture | None]:
    rows, nets = cache(data.rows), cache(partial(load_mtcnn, device=device))
    last: dict[Path, FacePicture | None] = {}

    def face_of(row: int) -> FacePicture | None:
        path = rows()[row][0] / "reference.png"
        if path not in last:  # a long clip has several rows, one after the other
            last.clear()
            last[path] = reference_face(path) or find_face(read_image(path), nets())
        return last[path]

    return face_of


@in_turn
def encode_faces(
    folder: Path,
    *,
    feature: Feature,
    vae: AutoencoderKL,
    image_encoder: CLIPVisionModelWithProjection,
    encoders: str,
    device: torch.device | str = "cpu",
    report: Report | None = None,
) -> PreparedFaces:
    """The faces of a folder as a network is told them, encoded now unless they are already.

    Args:
        folder: what `prepare_faces` returned.
        feature: latents or image embeddings.
        vae: the autoencoder.
        image_encoder: the image encoder.
        encoders: a name of these weights; features of others are kept beside.
        device: where the encoders run.
        report: progress.
    """
    path = folder / f"{feature}-{encoders}.npy"
    found = np.load(folder / "found.npy", allow_pickle=False)
    if path.is_file():
        return PreparedFaces(np.load(path, mmap_mode="r", allow_pickle=False), found)
    ready_to_encode(vae, image_encoder, device)
    crops = np.load(folder / "crops.npy", mmap_mode="r", allow_pickle=False)
    rows = []
    for start in range(0, len(crops), _CHUNK):
        some = torch.from_numpy(np.array(crops[start : start + _CHUNK])).to(device)
        with torch.no_grad():
            encoded = face_features(
                pictures_to_video(some), feature=feature, vae=vae, image_encoder=image_encoder
            )
        rows.append(encoded.cpu().numpy().astype(np.float16))
        if report:
            report(min(start + _CHUNK, len(crops)), len(crops), "encoding faces")
    features = np.concatenate(rows)
    features[~found] = 0
    with written_beside(path) as beside:
        np.save(beside, features, allow_pickle=False)
    return PreparedFaces(features, found)


def _expect_same_renderer(
    prepared: PreparedSet, data: DancerData, row: int, *, device: torch.device | str
) -> None:
    portrait = Portrait.of(data.seeds(row), preset=data.preset)
    redrawn = portrait.picture(size=data.size, device=device).astype(np.int16)
    if np.abs(redrawn - prepared.frames[row, 0]).mean() > _REDRAWN_LEVELS:
        raise ValueError(
            f"{prepared.folder}: the reference of clip {row} is not what its seeds render now: "
            "the set is of another version of the dancer; make it again to have its faces"
        )
