"""The three looks that clips come in."""

from dataclasses import dataclass


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
    """

    framings: tuple[tuple[float, float, float], ...]
    azimuth: float
    margin: float
    patterned: float
    objects: int
    wall_patterned: float
    contrast: float
    catwalk: bool = False


PRESETS: dict[str, Preset] = {
    "plain": Preset(
        framings=((0.45, 0.58, 0.70), (0.9, 0.70, 0.88), (1.0, 1.10, 1.18)),
        azimuth=14.0,
        margin=1.0,
        patterned=0.25,
        objects=2,
        wall_patterned=0.0,
        contrast=0.5,
    ),
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
}
"""`plain`: few patterns, quiet backgrounds, figures large. `rich`: everything. `catwalk`: white."""


def preset_named(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: no preset has that name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}: got {name!r}")
    return PRESETS[name]
