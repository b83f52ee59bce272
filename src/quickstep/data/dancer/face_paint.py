"""Painting the face on the skull: brows, eyes, lips, beard, hairline, glasses."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.data.dancer.body import HeadShape
from quickstep.data.dancer.face import FaceLayout
from quickstep.data.dancer.identity import Identity

FACE_COLUMNS = {
    name: index
    for index, name in enumerate(
        (
            "eye_x eye_y eye_wide eye_high brow_y brow_half brow_thick brow_tilt mouth_y "
            "mouth_half lip curve nose_y gap jaw scale hairline hair_dip beard moustache clear dark"
        ).split()
    )
}
"""Column of each number of a face; after them come four colours: eye, lip, hair, frame."""

_COLOURS = len(FACE_COLUMNS)
_HAIRLINES = {"bob": (0.118, 0.10), "fringe": (0.104, 0.25), "long": (0.128, -0.35)}


def face_row(person: Identity, shape: HeadShape, layout: FaceLayout) -> np.ndarray:
    """The numbers that one face is painted by, columns as in `FACE_COLUMNS`."""
    face = person.face
    numbers = dict(vars(layout), jaw=shape.jaw, scale=shape.scale)
    line, dip = _HAIRLINES.get(person.hair, (0.134, -0.2))
    bare = person.hair in ("beanie", "cap")
    numbers["hairline"], numbers["hair_dip"] = 9.0 if bare else line * shape.scale, dip
    numbers["beard"] = {"full": 0.9, "stubble": 0.38}.get(face.beard, 0.0)
    numbers["moustache"] = {"moustache": 0.95}.get(face.beard, numbers["beard"])
    numbers["clear"], numbers["dark"] = face.glasses == "clear", face.glasses == "dark"
    colours = (face.eye_colour, face.lip_colour, person.hair_colour, face.frame_colour)
    return np.concatenate(([float(numbers[name]) for name in FACE_COLUMNS], *colours))


def paint_face(
    skin: Float[Tensor, "3 h"],
    local: Float[Tensor, "3 h"],
    row: Float[Tensor, "q h"],
    *,
    blink: Float[Tensor, " h"],
    mouth: Float[Tensor, " h"],
) -> Float[Tensor, "3 h"]:
    """Colours of hits on the skull.

    Args:
        skin: the colour before painting.
        local: hits in face coordinates, metres.
        row: `face_row` of each hit's person.
        blink: how far the eyes are closed, 0 to 1.
        mouth: how far the lips are parted, 0 to 1.
    """
    f = {name: row[index] for name, index in FACE_COLUMNS.items()}
    eye, lip, hair, frame = row[_COLOURS:].view(4, 3, -1)
    x, y, front = local[0], local[1], local[2] > 0
    wide = x.abs()
    blush = torch.exp(-((wide - 1.25 * f["eye_x"]) ** 2 + (y - 0.025) ** 2) / 3.0e-4)
    colour = skin * (1 - 0.16 * blush * front * torch.tensor([[0.1], [1.0], [0.8]]).to(skin))
    colour = _beard(colour, f, hair, x=x, y=y, front=front)
    colour = _mouth(colour, f, lip, x=x, y=y, front=front, mouth=mouth)
    colour = _eyes(colour, f, eye, x=x, y=y, front=front, blink=blink)
    brow = (wide - f["eye_x"]) / f["brow_half"]
    rise = (f["brow_tilt"] * brow * 0.4 - 0.3 * brow * brow) * f["brow_half"]
    thick = f["brow_thick"] * (1.05 - 0.35 * brow)
    on_brow = front & (brow.abs() < 1) & ((y - f["brow_y"] - rise).abs() < thick)
    colour = torch.where(on_brow, 0.6 * hair, colour)
    nostril = (wide - 0.0085 * f["scale"]) ** 2 + (y - f["nose_y"] + 0.013 * f["scale"]) ** 2
    colour = torch.where(front & (nostril < 1.1e-5), 0.55 * skin, colour)
    line = f["hairline"] + f["hair_dip"] * (wide - 0.02).clamp(min=0)
    grown = (y > line) | (~front & (y > 0.02 * f["scale"]))
    colour = torch.where(grown & (f["hairline"] < 1), hair, colour)
    return _glasses(colour, f, frame, x=x, y=y, front=front)


def _beard(
    colour: Tensor, f: dict[str, Tensor], hair: Tensor, *, x: Tensor, y: Tensor, front: Tensor
) -> Tensor:
    scale, wide = f["scale"], x.abs()
    edge = f["mouth_y"] - 0.012 * scale + 15.0 * wide * wide
    cheek = (y < edge.clamp(max=0.058)) & (front | (y < 0.02))
    lip = f["mouth_y"] + 1.1 * f["lip"]
    strip = (
        (y > lip - 0.004)
        & (y < f["nose_y"] - 0.013 * scale)
        & (wide < f["mouth_half"] * (1.0 - 0.03 * (y - lip) / 0.002))
    )
    colour = torch.where(cheek, colour + (hair * 0.85 - colour) * f["beard"], colour)
    mixed = colour + (hair * 0.85 - colour) * f["moustache"]
    return torch.where(strip & front, mixed, colour)


def _mouth(
    colour: Tensor,
    f: dict[str, Tensor],
    lip: Tensor,
    *,
    x: Tensor,
    y: Tensor,
    front: Tensor,
    mouth: Tensor,
) -> Tensor:
    along = x / f["mouth_half"]
    arch = (1 - along * along).clamp(min=0)
    middle = f["mouth_y"] + f["curve"] * (along * along - 0.5)
    gap = f["gap"] * mouth * arch
    away = (y - middle).abs()
    on_lips = front & (along.abs() < 1) & (away < gap + f["lip"] * torch.sqrt(arch) + 0.0008)
    colour = torch.where(on_lips, lip, colour)
    inside = on_lips & (away < torch.maximum(gap, 0.18 * f["lip"]))
    teeth = inside & (y > middle + 0.25 * gap) & (mouth > 0.25)
    dark = lip * 0.35
    return torch.where(teeth, torch.full_like(lip, 0.93), torch.where(inside, dark, colour))


def _eyes(
    colour: Tensor,
    f: dict[str, Tensor],
    eye: Tensor,
    *,
    x: Tensor,
    y: Tensor,
    front: Tensor,
    blink: Tensor,
) -> Tensor:
    across = (x.abs() - f["eye_x"]) / f["eye_wide"]
    high = f["eye_high"] * (1 - 0.85 * blink)
    up = (y - f["eye_y"]) / high
    far = across * across + up * up
    socket = torch.exp(-0.6 * (across * across + ((y - f["eye_y"]) / f["eye_high"]) ** 2))
    colour = colour * (1 - 0.10 * socket * front)
    lid = front & (far < 1.5) & (up > 0.35)
    colour = torch.where(lid, colour * 0.28, colour)
    white = front & (far < 1)
    colour = torch.where(white, torch.full_like(colour, 0.96), colour)
    ring = across * across + ((y - f["eye_y"]) / f["eye_wide"]) ** 2
    colour = torch.where(white & (ring < 0.26), eye, colour)
    return torch.where(white & (ring < 0.09), torch.full_like(colour, 0.03), colour)


def _glasses(
    colour: Tensor, f: dict[str, Tensor], frame: Tensor, *, x: Tensor, y: Tensor, front: Tensor
) -> Tensor:
    wide, scale = x.abs(), f["scale"]
    across = (wide - f["eye_x"]) / (0.029 * scale)
    up = (y - f["eye_y"] + 0.002) / (0.021 * scale)
    far = across**4 + up**4
    bridge = (wide < f["eye_x"]) & ((y - f["eye_y"] - 0.006).abs() < 0.0028)
    temple = (wide > f["eye_x"]) & ((y - f["eye_y"] - 0.006).abs() < 0.003)
    rim = front & ((far < 1) & (far > 0.45) | ((bridge | temple) & (far >= 1)))
    worn = (f["clear"] + f["dark"]) > 0.5
    colour = torch.where(front & (far <= 0.45) & (f["dark"] > 0.5), 0.25 * frame + 0.03, colour)
    return torch.where(rim & worn, frame, colour)
