"""Colour of each hit: what is painted there, and how the light falls on it."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstep.data.dancer.body import SOLID
from quickstep.data.dancer.face_paint import paint_face
from quickstep.data.dancer.garments import NECKLINES, PAINT_COLUMNS
from quickstep.data.dancer.identity import PATTERNS
from quickstep.data.dancer.rays import Cones, Hits, chosen, surface_at

_SOLE = len(PATTERNS)


@dataclass(frozen=True)
class Looks:
    """Looks of c clips and m moments on the render device.

    Attributes:
        paint: `garments.paint_table` of every clip, columns first, solids of clips in a row.
        face: `face_paint.face_row` of every clip, columns first.
        light, key, ambient: of every clip's scene.
        clip: the clip of each moment.
        blink, mouth: of each moment, 0 to 1.
    """

    paint: Float[Tensor, "p cs"]
    face: Float[Tensor, "q c"]
    light: Float[Tensor, "3 c"]
    key: Float[Tensor, "3 c"]
    ambient: Float[Tensor, "3 c"]
    clip: Int[Tensor, " m"]
    blink: Float[Tensor, " m"]
    mouth: Float[Tensor, " m"]

    def moments_of(self, start: int, stop: int) -> "Looks":
        """The moments from `start` up to, not including, `stop`."""
        cut = {name: getattr(self, name)[start:stop] for name in ("clip", "blink", "mouth")}
        return replace(self, **cut)

    def moments_at(self, moments: Int[Tensor, " k"]) -> "Looks":
        """The chosen moments, in that order."""
        cut = {name: getattr(self, name)[moments] for name in ("clip", "blink", "mouth")}
        return replace(self, **cut)


def shade(cones: Cones, hits: Hits, looks: Looks) -> Float[Tensor, "3 h"]:
    """Colours of the hits in [0, 1]."""
    local, normal = surface_at(cones, hits)
    moment = hits.solid // cones.solids
    kind = hits.solid - moment * cones.solids
    clip = chosen(looks.clip, moment)
    row = chosen(looks.paint, clip * cones.solids + kind)
    share = (local[1] / chosen(cones.length, hits.solid)).clamp(-8, 8)
    colour = _painted(row, local, share)
    colour = _chest(colour, row, local, kind)
    colour = _strands(colour, row, local)
    on_head = torch.nonzero(kind == SOLID["head"])[:, 0]
    faces = paint_face(
        chosen(colour, on_head),
        chosen(local, on_head),
        chosen(looks.face, chosen(clip, on_head)),
        blink=chosen(looks.blink, chosen(moment, on_head)),
        mouth=chosen(looks.mouth, chosen(moment, on_head)),
    )
    colour = colour.index_copy(1, on_head, faces)
    return _lit(colour, normal, looks, clip=clip, gloss=row[PAINT_COLUMNS["gloss"]])


def _take(row: Tensor, name: str) -> Tensor:
    start = PAINT_COLUMNS[name]
    return row[start : start + 3]


def _painted(row: Tensor, local: Tensor, share: Tensor) -> Tensor:
    """Skin, cloth with its pattern, band; by where on the axis the hit is."""
    column = {name: row[index] for name, index in PAINT_COLUMNS.items()}
    kind, repeats = column["pattern"], column["repeats"]
    turned = column["turned"] > 0.5
    u = torch.where(turned, local[1], local[0]) * repeats
    v = (torch.where(turned, local[0], local[1]) + column["offset"]) * repeats
    fu, fv = u - torch.floor(u), v - torch.floor(v)
    hoop, stripe = fv < 0.5, fu < 0.5
    near = (fu - 0.5) ** 2 + (fv - 0.5) ** 2
    wave = (v + 0.8 * (fu - 0.5).abs()) % 1.0 < 0.5
    marks = (hoop, stripe, hoop ^ stripe, near < 0.075, (fv < 0.28) | (fu < 0.28), wave)
    mark = torch.zeros_like(hoop)
    for index, each in enumerate(marks):
        mark = mark | ((kind == index + 1) & each)
    cloth = torch.where(mark, _take(row, "second"), _take(row, "cloth"))
    sole = (kind == _SOLE) & (local[2] > 0.016)
    cloth = torch.where(sole, _take(row, "second"), cloth)
    worn = (share >= column["cloth_from"]) & (share <= column["cloth_to"])
    colour = torch.where(worn, cloth, _take(row, "skin"))
    band = (share >= column["band_from"]) & (share <= column["band_to"])
    return torch.where(band, _take(row, "band"), colour)


def _chest(colour: Tensor, row: Tensor, local: Tensor, kind: Tensor) -> Tensor:
    """The neckline's skin and the emblem, on the chest only."""
    on_chest = torch.nonzero(kind == SOLID["chest"])[:, 0]
    row, local = chosen(row, on_chest), chosen(local, on_chest)
    x, y, front = local[0].abs(), local[1], local[2] > 0
    cut = row[PAINT_COLUMNS["neckline"]]
    crew = 0.140 + 6.0 * x * x
    edges = {"v": 0.085 + 1.05 * x, "scoop": 0.105 + 9.0 * x * x, "tank": 0.095 + 14.0 * x * x}
    edge = torch.where(cut == NECKLINES.index("none"), torch.inf, crew)
    for name, value in edges.items():
        wanted = cut == NECKLINES.index(name)
        edge = torch.where(wanted & (front | (name == "tank")), value, edge)
    part = torch.where(y > edge, _take(row, "skin"), chosen(colour, on_chest))
    shape = row[PAINT_COLUMNS["emblem"]] - 1
    away = local[1] - 0.045
    round_mark = x * x + away * away < 0.043**2
    square = torch.maximum(x, away.abs()) < 0.037
    diamond = x + away.abs() < 0.052
    mark = torch.where(shape < 0.34, round_mark, torch.where(shape < 0.67, square, diamond))
    mark = mark & front & (shape >= 0) & (y <= edge)
    part = torch.where(mark, _take(row, "emblem_colour"), part)
    return colour.index_copy(1, on_chest, part)


def _strands(colour: Tensor, row: Tensor, local: Tensor) -> Tensor:
    amount = row[PAINT_COLUMNS["strands"]]
    streak = torch.sin(local[0] * 330.0 + 3.0 * torch.sin(local[1] * 30.0))
    return colour * (1 + amount * 0.8 * streak)


def _lit(colour: Tensor, normal: Tensor, looks: Looks, *, clip: Tensor, gloss: Tensor) -> Tensor:
    """Soft light from one direction, ambient that is brighter from above, a small highlight."""
    light = chosen(looks.light, clip)
    facing = (normal * light).sum(0)
    diffuse = ((facing + 0.25) / 1.25).clamp(min=0)
    sky = 0.78 - 0.22 * normal[1]
    rim = 0.66 + 0.34 * (-normal[2]).clamp(0, 1)
    half = light - torch.tensor([[0.0], [0.0], [1.0]]).to(light)
    half = half / torch.sqrt((half * half).sum(0))
    shine = (normal * half).sum(0).clamp(min=0)
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine
    shine = shine * shine * gloss
    lit = (
        colour
        * (chosen(looks.key, clip) * diffuse + chosen(looks.ambient, clip) * sky * 1.25)
        * rim
    )
    return (lit * 1.17 + shine * 0.7).clamp(0, 1)
