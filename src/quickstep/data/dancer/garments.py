"""What is painted on each solid: skin, cloth with its pattern, cuffs and socks, hair, shoes."""

from dataclasses import dataclass, replace

import numpy as np

from quickstep.data.dancer.body import SIDES, SOLID, SOLIDS, head_shape
from quickstep.data.dancer.hair import EXTRAS, add_hair, add_skirt
from quickstep.data.dancer.identity import PATTERNS, Cloth, Colour, Identity, Outfit
from quickstep.data.dancer.presets import Preset
from quickstep.data.dancer.skeleton import Skeleton
from quickstep.data.dancer.solids import Solids, SolidsBuilder

PICTURE_SOLIDS = (*SOLIDS, *EXTRAS)
"""The solids of the picture: the body's, then hair and skirt."""

NECKLINES = ("none", "crew", "v", "scoop", "tank")


@dataclass(frozen=True)
class Paint:
    """How one solid is painted. Lengths along the axis are shares of it (0 start, 1 end).

    The order of fields is the order of columns in `paint_table`.
    """

    skin: Colour
    cloth: Colour = (0.0, 0.0, 0.0)
    second: Colour = (0.0, 0.0, 0.0)
    band: Colour = (0.0, 0.0, 0.0)
    cloth_from: float = 9.0
    cloth_to: float = -9.0
    band_from: float = 9.0
    band_to: float = -9.0
    pattern: float = 0.0
    repeats: float = 8.0
    offset: float = 0.0
    gloss: float = 0.10
    strands: float = 0.0
    neckline: float = 0.0
    emblem: float = 0.0
    emblem_colour: Colour = (0.0, 0.0, 0.0)
    turned: float = 0.0


PAINT_COLUMNS = {
    "skin": 0, "cloth": 3, "second": 6, "band": 9, "cloth_from": 12, "cloth_to": 13,
    "band_from": 14, "band_to": 15, "pattern": 16, "repeats": 17, "offset": 18, "gloss": 19,
    "strands": 20, "neckline": 21, "emblem": 22, "emblem_colour": 23, "turned": 26,
}  # fmt: skip
"""First column of each field of `Paint`; colours take three."""


def picture_solids(person: Identity, skeleton: Skeleton, *, body: Solids) -> Solids:
    """The dressed person: `body`, its solids, swollen by its clothes, with hair and skirt."""
    shape = head_shape(person.body, person.face)
    extras = SolidsBuilder(count=len(skeleton.joints))
    add_hair(extras, person, shape, skeleton)
    add_skirt(extras, person, skeleton)
    more = extras.build()
    radii = body.radii + _swelling(person.outfit)
    return Solids(
        base=np.concatenate((body.base, more.base), axis=1),
        frame=np.concatenate((body.frame, more.frame), axis=1),
        length=np.concatenate((np.maximum(body.length, _least(radii)), more.length), axis=1),
        radii=np.concatenate((radii, more.radii), axis=1),
        stretch=np.concatenate((body.stretch, more.stretch), axis=1),
        opened=np.concatenate((body.opened, more.opened)),
        part=np.concatenate((body.part, more.part)),
    )


def _least(radii: np.ndarray) -> np.ndarray:
    return np.abs(radii[..., 0] - radii[..., 1]) + 1e-3


def _swelling(outfit: Outfit) -> np.ndarray:
    """How much thicker clothes make each solid, (solid, 2) metres."""
    more = np.zeros((len(SOLIDS), 2))
    loose = outfit.loose
    for name in ("belly", "waist", "chest", "collar_left", "collar_right"):
        more[SOLID[name]] = 0.003 + 0.004 * loose
    for side in SIDES:
        if outfit.sleeve > 0.25:
            more[SOLID[f"upper_arm_{side}"]] = 0.004 + 0.010 * loose
        if outfit.sleeve > 1.3:
            more[SOLID[f"forearm_{side}"]] = 0.005 + 0.009 * loose
        if outfit.bottom_kind == "trousers":
            more[SOLID[f"thigh_{side}"]] = 0.004 + 0.016 * loose
            more[SOLID[f"shin_{side}"]] = (0.006 + 0.018 * loose, 0.010 + 0.030 * loose)
        elif outfit.bottom_kind == "shorts":
            more[SOLID[f"thigh_{side}"]] = (0.006 + 0.012 * loose, 0.006 + 0.014 * loose)
    return more


def paint_table(person: Identity, preset: Preset) -> np.ndarray:
    """One row for each of `PICTURE_SOLIDS`, columns as in `PAINT_COLUMNS`."""
    paints = {name: Paint(skin=person.face.skin) for name in PICTURE_SOLIDS}
    _paint_top(paints, person, preset)
    _paint_bottom(paints, person, preset)
    _paint_hair(paints, person)
    return np.array([_row(paints[name]) for name in PICTURE_SOLIDS])


def _row(paint: Paint) -> np.ndarray:
    return np.hstack(list(vars(paint).values()))


def _cloth(paint: Paint, cloth: Cloth, preset: Preset, *, start: float, end: float) -> Paint:
    kept = cloth.rank < preset.patterned
    return replace(
        paint,
        cloth=cloth.colour,
        second=cloth.second,
        cloth_from=start,
        cloth_to=end,
        pattern=float(PATTERNS.index(cloth.pattern)) if kept else 0.0,
        repeats=cloth.repeats,
        gloss=0.04,
    )


def _paint_top(paints: dict[str, Paint], person: Identity, preset: Preset) -> None:
    outfit, tall = person.outfit, person.body.stature / 1.72
    offsets = {
        "belly": 0.075,
        "waist": 0.224,
        "chest": 0.353,
        "bust_left": 0.373,
        "bust_right": 0.373,
    }
    for name, offset in offsets.items():
        start = 0.35 if outfit.crop and name == "belly" else -9.0
        paint = _cloth(paints[name], outfit.top, preset, start=start, end=9.0)
        paints[name] = replace(paint, offset=offset * tall, gloss=0.0)
    neckline = "tank" if outfit.sleeve == 0.0 else outfit.neckline
    emblem = 0.0 if outfit.emblem is None or person.body.bust > 0.2 else 1 + outfit.emblem_shape
    paints["chest"] = replace(
        paints["chest"],
        neckline=float(NECKLINES.index(neckline)),
        emblem=emblem,
        emblem_colour=outfit.emblem or (0.0, 0.0, 0.0),
    )
    for side in SIDES:
        reach = 0.55 if outfit.sleeve == 0.0 else 9.0
        name = f"collar_{side}"
        paints[name] = _cloth(paints[name], outfit.top, preset, start=0.05, end=reach)
        for index, part in enumerate(("upper_arm", "forearm")):
            name, end = f"{part}_{side}", outfit.sleeve - index
            if end > 0:
                paint = _cloth(paints[name], outfit.top, preset, start=-9.0, end=min(end, 1.4))
                if outfit.cuffs and end < 1.4:
                    paint = replace(paint, band=outfit.cuffs, band_from=end - 0.13, band_to=end)
                paints[name] = paint


def _paint_bottom(paints: dict[str, Paint], person: Identity, preset: Preset) -> None:
    outfit = person.outfit
    pelvis = _cloth(paints["pelvis"], outfit.bottom, preset, start=-9.0, end=9.0)
    paints["pelvis"] = replace(pelvis, turned=1.0)  # its axis lies across the body
    if outfit.bottom_kind in ("skirt", "dress"):
        paints["skirt"] = _cloth(paints["skirt"], outfit.bottom, preset, start=-9.0, end=9.0)
    for side in SIDES:
        for index, part in enumerate(("thigh", "shin")):
            name, end = f"{part}_{side}", outfit.leg - index
            if outfit.bottom_kind in ("skirt", "dress"):
                end = 0.8 * outfit.leg - index  # where the thighs part the skirt
            if end > 0:
                paints[name] = _cloth(paints[name], outfit.bottom, preset, start=-9.0, end=end)
        name = f"shin_{side}"
        sock_from = max(1.0 - outfit.sock_height, paints[name].cloth_to)
        paints[name] = replace(paints[name], band=outfit.sock, band_from=sock_from, band_to=9.0)
        for name in (f"heel_{side}", f"toe_{side}"):
            paints[name] = replace(
                paints[name],
                cloth=outfit.shoe,
                second=outfit.sole,
                cloth_from=-9.0,
                cloth_to=9.0,
                pattern=float(len(PATTERNS)),  # the sole
                gloss=0.25,
            )


def _paint_hair(paints: dict[str, Paint], person: Identity) -> None:
    for name in EXTRAS[:-1]:
        hat = person.hair in ("beanie", "cap") and name in ("hair_cap", "hair_top")
        colour = person.hat_colour if hat else person.hair_colour
        if person.hair == "buzz":
            mixed = 0.55 * np.array(colour) + 0.45 * np.array(person.face.skin)
            colour = (float(mixed[0]), float(mixed[1]), float(mixed[2]))
        strands = 0.0 if hat or person.hair in ("buzz",) else 0.22
        paints[name] = replace(
            paints[name], skin=colour, gloss=0.05 if hat else 0.35, strands=strands
        )
    paints["neck"] = replace(paints["neck"], skin=_darker(person.face.skin))


def _darker(colour: Colour) -> Colour:
    return (0.86 * colour[0], 0.84 * colour[1], 0.82 * colour[2])
