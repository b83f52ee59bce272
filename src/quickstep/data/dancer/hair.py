"""Hair, hats and skirts: solids of the picture that the bare body does not have."""

import numpy as np

from quickstep.data.dancer.body import HeadShape
from quickstep.data.dancer.identity import Hair, Identity
from quickstep.data.dancer.skeleton import JOINT, Skeleton, apply
from quickstep.data.dancer.solids import SolidsBuilder

EXTRAS = (
    "hair_cap", "hair_back", "hair_tail", "lock_left", "lock_right", "hair_top", "skirt",
)  # fmt: skip
"""Names of the solids that come after the body's, in order."""

_NONE = (0.0, 0.0)


def add_hair(
    builder: SolidsBuilder, person: Identity, shape: HeadShape, skeleton: Skeleton
) -> None:
    """The six hair solids of a person; those its style lacks have radius 0."""
    frame = skeleton.frames[:, 15]
    origin = skeleton.joints[:, 15] + apply(frame, shape.origin)
    maker = _HairMaker(builder, shape, frame=frame, origin=origin)
    style = person.hair
    maker.cap(style)
    maker.back(style, length=person.hair_length)
    maker.tail(style, length=person.hair_length)
    for sign in (1.0, -1.0):
        maker.lock(style, sign=sign, length=person.hair_length)
    maker.top(style)


class _HairMaker:
    def __init__(
        self, builder: SolidsBuilder, shape: HeadShape, *, frame: np.ndarray, origin: np.ndarray
    ) -> None:
        self.builder, self.shape, self.frame, self.origin = builder, shape, frame, origin

    def at(self, x: float, y: float, z: float, *, hang: float = 0.0) -> np.ndarray:
        """A place on the head over the cranium's centre; `hang` metres further straight down."""
        scale = self.shape.scale
        place = np.array((x * scale, self.shape.length + y * scale, z * scale))
        point = self.origin + apply(self.frame, place)
        down = 0.4 * self.frame[..., 1] + np.array((0.0, 0.6, 0.0))
        return point - hang * scale * down

    def cone(
        self,
        start: np.ndarray,
        end: np.ndarray,
        *,
        radii: tuple[float, float],
        stretch: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        scale = self.shape.scale
        self.builder.cone(
            start,
            end,
            radii=(radii[0] * scale, radii[1] * scale),
            part=JOINT["head"],
            x_hint=self.frame[..., 0],
            stretch=stretch,
        )

    def ball(self, centre: np.ndarray, size: tuple[float, float, float]) -> None:
        scale = self.shape.scale
        x, y, z = (value * scale for value in size)
        self.builder.ball(centre, self.frame, size=(x, y, z), part=JOINT["head"])

    def nothing(self) -> None:
        self.builder.cone(
            self.origin,
            self.at(0.0, 0.05, 0.0),
            radii=_NONE,
            part=JOINT["head"],
            x_hint=self.frame[..., 0],
        )

    def cap(self, style: Hair) -> None:
        wide = 0.088 * self.shape.wide
        sizes = {
            "afro": ((0.0, 0.030, -0.045), (wide + 0.052, 0.122, 0.122)),
            "beanie": ((0.0, 0.030, -0.010), (wide + 0.011, 0.088, 0.103)),
            "cap": ((0.0, 0.022, -0.010), (wide + 0.010, 0.086, 0.101)),
            "bob": ((0.0, 0.010, -0.018), (wide + 0.014, 0.098, 0.103)),
            "long": ((0.0, 0.010, -0.018), (wide + 0.011, 0.096, 0.102)),
        }
        if style == "buzz":
            self.ball(self.at(0.0, 0.004, -0.010), (wide + 0.0015, 0.0885, 0.090))
            return
        place, size = sizes.get(style, ((0.0, 0.010, -0.018), (wide + 0.007, 0.095, 0.100)))
        self.ball(self.at(*place), size)

    def back(self, style: Hair, *, length: float) -> None:
        if style == "bob":
            self.ball(self.at(0.0, -0.050, -0.042), (0.098, 0.088 + 0.02 * length, 0.070))
        elif style == "long":
            end = self.at(0.0, -0.06, -0.075, hang=0.14 + 0.16 * length)
            self.cone(self.at(0.0, -0.02, -0.045), end, radii=(0.080, 0.060), stretch=(1.18, 0.55))
        else:
            self.nothing()

    def tail(self, style: Hair, *, length: float) -> None:
        if style == "ponytail":
            end = self.at(0.0, 0.02, -0.165, hang=0.12 + 0.14 * length)
            self.cone(self.at(0.0, 0.05, -0.115), end, radii=(0.034, 0.020))
        else:
            self.nothing()

    def lock(self, style: Hair, *, sign: float, length: float) -> None:
        hang = {"bob": 0.10 + 0.02 * length, "long": 0.19 + 0.10 * length}.get(style)
        if hang is None:
            self.nothing()
            return
        end = self.at(sign * 0.090, -0.01, 0.012, hang=hang)
        self.cone(self.at(sign * 0.066, 0.012, 0.014), end, radii=(0.027, 0.024))

    def top(self, style: Hair) -> None:
        if style == "bun":
            self.ball(self.at(0.0, 0.110, -0.035), (0.045, 0.040, 0.045))
        elif style == "quiff":
            self.cone(
                self.at(0.0, 0.085, 0.045), self.at(0.0, 0.095, -0.04), radii=(0.030, 0.030),
                stretch=(1.7, 0.9),
            )  # fmt: skip
        elif style == "cap":
            self.ball(self.at(0.0, 0.040, 0.105), (0.070, 0.009, 0.060))
        elif style == "beanie":
            self.ball(self.at(0.0, 0.125, -0.015), (0.028, 0.026, 0.028))
        else:
            self.nothing()


def add_skirt(builder: SolidsBuilder, person: Identity, skeleton: Skeleton) -> None:
    """The skirt: a cone from the waist to the hem, wide enough for the knees, open below."""
    pelvis, left = skeleton.joints[:, 0], skeleton.frames[:, 0][..., 0]
    up = skeleton.frames[:, 0][..., 1]
    outfit, tall = person.outfit, person.body.stature / 1.72
    waist = pelvis + up * 0.015 * tall
    knees = 0.5 * (skeleton.joints[:, 4] + skeleton.joints[:, 5])
    hem = pelvis + (knees - pelvis) * outfit.leg
    if outfit.bottom_kind not in ("skirt", "dress"):
        builder.cone(hem, waist, radii=_NONE, part=0, x_hint=left)
        return
    apart = np.abs(((skeleton.joints[:, 4] - skeleton.joints[:, 5]) * left).sum(-1))
    radius = (0.135 + 0.05 * outfit.loose + 0.02 * person.body.weight) * tall
    wide = 0.5 * apart * min(outfit.leg, 1.0) + (0.088 + 0.02 * person.body.weight) * tall
    top = (0.112 * person.body.hips + 0.022 * person.body.weight) * tall
    builder.cone(
        hem,
        waist,
        radii=(radius, top),
        part=0,
        x_hint=left,
        stretch=np.stack((np.clip(wide / radius, 1.18, 2.0), np.ones(len(wide))), axis=-1),
        opened=True,
    )
