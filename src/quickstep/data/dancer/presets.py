"""The looks that clips come in."""

from dataclasses import dataclass, replace
from typing import Literal

Style = Literal["", "sculpture", "painting", "neon", "any"]
"""How pictures are restyled (`quickstep.data.dancer.styles`); ``any`` is one for each person."""


@dataclass(frozen=True)
class Preset:
    """What a look allows.

    Attributes:
        framings: (cumulative share, least, most) of the person's height that the frame shows.
        azimuth: how far to the side the camera may stand, degrees.
        margin: frame height over shown height.
        patterned: share of garments that keep their pattern.
        objects: most objects on the wall.
        wall_patterned: share of walls with a pattern.
        contrast: of the background, 0 to 1.
        catwalk: white ground, and one slow turn for a dance.
        style: of the pictures; empty for none.
    """

    framings: tuple[tuple[float, float, float], ...]
    azimuth: float
    margin: float
    patterned: float
    objects: int
    wall_patterned: float
    contrast: float
    catwalk: bool = False
    style: Style = ""


_PLAIN = Preset(
    framings=((0.45, 0.58, 0.70), (0.9, 0.70, 0.88), (1.0, 1.10, 1.18)),
    azimuth=14.0,
    margin=1.0,
    patterned=0.25,
    objects=2,
    wall_patterned=0.0,
    contrast=0.5,
)

PRESETS: dict[str, Preset] = {
    "plain": _PLAIN,
    "rich": Preset(
        framings=((0.3, 0.52, 0.68), (0.6, 0.68, 0.9), (1.0, 1.08, 1.3)),
        azimuth=28.0,
        margin=1.0,
        patterned=0.75,
        objects=8,
        wall_patterned=0.6,
        contrast=1.0,
    ),
    "catwalk": Preset(
        framings=((0.25, 0.80, 0.92), (1.0, 1.06, 1.14)),
        azimuth=4.0,
        margin=1.0,
        patterned=0.6,
        objects=0,
        wall_patterned=0.0,
        contrast=0.0,
        catwalk=True,
    ),
    "wild": Preset(
        framings=((0.35, 0.62, 0.80), (0.7, 0.80, 1.0), (1.0, 1.2, 1.45)),
        azimuth=40.0,
        margin=1.1,
        patterned=1.0,
        objects=8,
        wall_patterned=1.0,
        contrast=1.0,
    ),
    "sculpture": replace(_PLAIN, style="sculpture"),
    "painting": replace(_PLAIN, style="painting"),
    "neon": replace(_PLAIN, style="neon"),
    "styles": replace(_PLAIN, style="any"),
}
"""`plain`: few patterns, quiet backgrounds, figures large. `rich`: everything. `catwalk`: white.

For judging what was trained on `plain`: `wild` has patterns on all clothes and walls, full rooms
and cameras from further aside and away; `sculpture`, `painting`, `neon` are `plain` restyled,
`styles` one of the three for each person in turn.
"""


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: no preset has that name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}: got {name!r}")
    return PRESETS[name]
