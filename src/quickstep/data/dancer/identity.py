"""The person: body shape, face, hair and clothes, drawn from one seed."""

import colorsys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from quickstep.data.dancer.seeds import stream

Colour = tuple[float, float, float]
Hair = Literal[
    "buzz", "short", "fringe", "quiff", "bob", "long", "ponytail", "bun", "afro", "beanie", "cap"
]
Beard = Literal["none", "stubble", "moustache", "full"]
Glasses = Literal["none", "clear", "dark"]
Bottom = Literal["trousers", "shorts", "skirt", "dress"]
Pattern = Literal["plain", "hoops", "stripes", "checks", "dots", "plaid", "zigzag"]
Neckline = Literal["crew", "v", "scoop"]

PATTERNS: tuple[Pattern, ...] = ("plain", "hoops", "stripes", "checks", "dots", "plaid", "zigzag")

_SKINS = ("f6d7c3", "eec0a0", "dba27c", "c08457", "9a6240", "74452b", "4f2e1e")
_HAIRS = ("17120f", "2e1d14", "51331d", "7a4a22", "b4813c", "e3c477", "a8391a", "8d8d90", "d9d4c8")
_DYED = ("d63a8a", "3563d8", "1f9e8a", "8a3fd0")
_EYES = ("3b2414", "5a3a1c", "3f6b3a", "3a6ea5", "5f7f8f")


@dataclass(frozen=True)
class Body:
    """Shape. Metres for `stature`; the rest are factors round 1 or amounts from 0 to 1."""

    stature: float
    weight: float
    shoulders: float
    hips: float
    bust: float
    muscle: float
    head: float


@dataclass(frozen=True)
class Face:
    """Features. Lengths are factors round 1; colours are sRGB in [0, 1]."""

    skin: Colour
    width: float
    jaw: float
    eye_size: float
    eye_spacing: float
    eye_colour: Colour
    brow_weight: float
    brow_tilt: float
    nose: float
    mouth_width: float
    smile: float
    lips: float
    lip_colour: Colour
    beard: Beard
    glasses: Glasses
    frame_colour: Colour


@dataclass(frozen=True)
class Cloth:
    """A garment's fabric: two colours, a pattern and how many times it repeats in a metre."""

    colour: Colour
    second: Colour
    pattern: Pattern
    repeats: float
    rank: float
    """Uniform in [0, 1]: a preset keeps the pattern when this is below its share of patterns."""


@dataclass(frozen=True)
class Outfit:
    """Clothes. Sleeves run from 0 (none) over 1 (elbow) to 2 (wrist); legs alike, to the ankle."""

    top: Cloth
    bottom: Cloth
    bottom_kind: Bottom
    sleeve: float
    leg: float
    loose: float
    neckline: Neckline
    crop: bool
    emblem: Colour | None
    emblem_shape: float
    cuffs: Colour | None
    shoe: Colour
    sole: Colour
    sock: Colour
    sock_height: float


@dataclass(frozen=True)
class Identity:
    """Everything that makes this person recognisable in another dance, room or view."""

    body: Body
    face: Face
    hair: Hair
    hair_colour: Colour
    hat_colour: Colour
    hair_length: float
    outfit: Outfit


def draw_identity(seed: int) -> Identity:
    """The person that belongs to an identity seed, always the same one.

    Example:
        >>> draw_identity(3) == draw_identity(3)
        True
    """
    rng = stream(seed, role="identity")
    feminine = float(rng.random())
    body = _draw_body(rng, feminine=feminine)
    hair_colour = _hex(rng.choice(_DYED if rng.random() < 0.12 else _HAIRS))
    return Identity(
        body=body,
        face=_draw_face(rng, feminine=feminine),
        hair=_draw_hair(rng, feminine=feminine),
        hair_colour=_jitter(rng, hair_colour, amount=0.04),
        hat_colour=_vivid(rng),
        hair_length=float(rng.random()),
        outfit=_draw_outfit(rng, feminine=feminine),
    )


def _draw_body(rng: np.random.Generator, *, feminine: float) -> Body:
    return Body(
        stature=float(rng.uniform(1.60, 1.90) - 0.10 * feminine),
        weight=float(np.clip(rng.normal(0.35, 0.28), 0.0, 1.0)),
        shoulders=float(rng.uniform(0.97, 1.10) - 0.13 * feminine),
        hips=float(rng.uniform(0.92, 1.02) + 0.14 * feminine),
        bust=float(np.clip((feminine - 0.5) * 2.4, 0.0, 1.0) * rng.uniform(0.5, 1.0)),
        muscle=float(rng.uniform(0.0, 1.0)),
        head=float(rng.uniform(0.96, 1.05)),
    )


def _draw_face(rng: np.random.Generator, *, feminine: float) -> Face:
    tone = rng.uniform(0, len(_SKINS) - 1.001)
    low, high = np.array(_hex(_SKINS[int(tone)])), np.array(_hex(_SKINS[int(tone) + 1]))
    skin = _jitter(rng, tuple(low + (high - low) * (tone % 1)), amount=0.02)
    red = rng.uniform(0.5, 0.9) if feminine > 0.55 else rng.uniform(0.25, 0.5)
    lip = np.array(skin) * (1 - red) + np.array((0.70, 0.12, 0.18)) * red
    beards: tuple[Beard, ...] = ("none", "stubble", "moustache", "full")
    odds = (0.4, 0.16, 0.14, 0.3) if feminine < 0.45 else (1.0, 0, 0, 0)
    return Face(
        skin=skin,
        width=float(rng.uniform(0.92, 1.08)),
        jaw=float(rng.uniform(0.9, 1.15) - 0.12 * feminine),
        eye_size=float(rng.uniform(0.9, 1.25) + 0.1 * feminine),
        eye_spacing=float(rng.uniform(0.93, 1.08)),
        eye_colour=_hex(rng.choice(_EYES)),
        brow_weight=float(rng.uniform(0.8, 1.7) - 0.4 * feminine),
        brow_tilt=float(rng.uniform(-0.25, 0.3)),
        nose=float(rng.uniform(0.8, 1.25)),
        mouth_width=float(rng.uniform(0.85, 1.2)),
        smile=float(rng.uniform(-0.2, 1.0)),
        lips=float(rng.uniform(0.7, 1.1) + 0.35 * feminine),
        lip_colour=_clip(lip),
        beard=beards[int(rng.choice(4, p=odds))],
        glasses=("none", "clear", "dark")[int(rng.choice(3, p=(0.76, 0.15, 0.09)))],
        frame_colour=_clip(rng.uniform(0, 0.35, 3)),
    )


def _draw_hair(rng: np.random.Generator, *, feminine: float) -> Hair:
    if feminine > 0.5:
        styles: tuple[Hair, ...] = ("bob", "long", "ponytail", "bun", "afro", "fringe", "beanie")
        odds = (0.22, 0.3, 0.17, 0.12, 0.08, 0.07, 0.04)
    else:
        styles = ("buzz", "short", "fringe", "quiff", "afro", "long", "bun", "beanie", "cap")
        odds = (0.15, 0.27, 0.14, 0.16, 0.07, 0.05, 0.03, 0.06, 0.07)
    return styles[int(rng.choice(len(styles), p=odds))]


def _draw_outfit(rng: np.random.Generator, *, feminine: float) -> Outfit:
    kinds: tuple[Bottom, ...] = ("trousers", "shorts", "skirt", "dress")
    odds = (0.45, 0.15, 0.2, 0.2) if feminine > 0.5 else (0.72, 0.28, 0.0, 0.0)
    kind = kinds[int(rng.choice(4, p=odds))]
    top = _draw_cloth(rng)
    bottom = top if kind == "dress" else _draw_cloth(rng, muted=rng.random() < 0.55)
    sleeve = float(
        rng.choice((0.0, 0.32, 0.55, 0.85, 1.55, 1.93), p=(0.14, 0.14, 0.3, 0.1, 0.1, 0.22))
    )
    leg = {"trousers": rng.uniform(1.7, 1.95), "shorts": rng.uniform(0.4, 1.0)}
    length = leg.get(kind, rng.uniform(0.5, 1.15))
    return Outfit(
        top=top,
        bottom=bottom,
        bottom_kind=kind,
        sleeve=sleeve,
        leg=float(length),
        loose=float(rng.random()),
        neckline=("crew", "v", "scoop")[int(rng.choice(3, p=(0.5, 0.25, 0.25)))],
        crop=bool(feminine > 0.5 and kind != "dress" and rng.random() < 0.25),
        emblem=_vivid(rng) if rng.random() < 0.35 else None,
        emblem_shape=float(rng.random()),
        cuffs=_vivid(rng) if rng.random() < 0.2 else None,
        shoe=_vivid(rng) if rng.random() < 0.5 else _grey(rng),
        sole=(0.93, 0.93, 0.9) if rng.random() < 0.7 else (0.15, 0.13, 0.12),
        sock=(0.92, 0.92, 0.92) if rng.random() < 0.6 else _vivid(rng),
        sock_height=float(rng.uniform(0.05, 0.4)),
    )


def _draw_cloth(rng: np.random.Generator, *, muted: bool = False) -> Cloth:
    colour = _muted(rng) if muted else (_grey(rng) if rng.random() < 0.2 else _vivid(rng))
    second = _vivid(rng) if rng.random() < 0.5 else _grey(rng)
    if abs(sum(second) - sum(colour)) < 0.7:  # keep the two colours apart in brightness
        second = (0.95, 0.95, 0.93) if sum(colour) < 1.5 else (0.12, 0.12, 0.16)
    return Cloth(
        colour=colour,
        second=second,
        pattern=PATTERNS[1 + int(rng.choice(6))],
        repeats=float(rng.uniform(6.0, 13.0)),
        rank=float(rng.random()),
    )


def _vivid(rng: np.random.Generator) -> Colour:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 0.95), rng.uniform(0.45, 0.95))


def _muted(rng: np.random.Generator) -> Colour:
    hue = rng.choice((0.08, 0.1, 0.6, 0.62, 0.65, 0.9))
    return colorsys.hsv_to_rgb(float(hue), rng.uniform(0.1, 0.55), rng.uniform(0.15, 0.7))


def _grey(rng: np.random.Generator) -> Colour:
    level = float(rng.choice((0.1, 0.2, 0.5, 0.85, 0.95)))
    return (level, level, level)


def _jitter(rng: np.random.Generator, colour: Colour, *, amount: float) -> Colour:
    return _clip(np.asarray(colour) + rng.uniform(-amount, amount, 3))


def _clip(colour: np.ndarray) -> Colour:
    red, green, blue = np.clip(colour, 0.0, 1.0).tolist()
    return (red, green, blue)


def _hex(text: str) -> Colour:
    red, green, blue = (int(text[i : i + 2], 16) / 255 for i in (0, 2, 4))
    return (red, green, blue)
