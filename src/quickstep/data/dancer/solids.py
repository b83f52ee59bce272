"""The one primitive: a rounded cone (the hull of two spheres on an axis), stretched sideways."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from quickstep.data.dancer.skeleton import frame_along


@dataclass(frozen=True)
class Solids:
    """p rounded cones in each of n moments.

    In a solid's own frame the axis runs from the origin along y to (0, length, 0), with radius
    `radii[0]` at its start and `radii[1]` at its end; x and z are then stretched by `stretch`.
    A solid whose radii are 0 is not there.

    Attributes:
        base: start of the axis, metres.
        frame: columns are the solid's x, y, z.
        length: of the axis, metres; at least the difference of the radii.
        radii: metres.
        stretch: factors on x and z.
        opened: 1 where the cap at the start is left out (the hem of a skirt).
        part: index into `skeleton.JOINTS` of the joint that carries the solid.
    """

    base: Float[np.ndarray, "n p 3"]
    frame: Float[np.ndarray, "n p 3 3"]
    length: Float[np.ndarray, "n p"]
    radii: Float[np.ndarray, "n p 2"]
    stretch: Float[np.ndarray, "n p 2"]
    opened: Float[np.ndarray, " p"]
    part: Int[np.ndarray, " p"]

    def until(self, stop: int) -> "Solids":
        """The first `stop` moments."""
        names = ("base", "frame", "length", "radii", "stretch")
        return replace(self, **{name: getattr(self, name)[:stop] for name in names})


Pair = tuple[float, float] | np.ndarray
"""Two numbers for all moments, or an array (n, 2) with two for each."""


@dataclass(frozen=True)
class _Row:
    start: np.ndarray
    end: np.ndarray
    x_hint: np.ndarray
    radii: Pair
    stretch: Pair
    part: int
    opened: bool


@dataclass
class SolidsBuilder:
    """Collects solids one by one, each for all n moments, then lays them out at once."""

    count: int
    rows: list[_Row] = field(default_factory=list)

    def cone(
        self,
        start: np.ndarray,
        end: np.ndarray,
        *,
        radii: Pair,
        part: int,
        x_hint: np.ndarray,
        stretch: Pair = (1.0, 1.0),
        opened: bool = False,
    ) -> None:
        """A rounded cone from `start` to `end`; `x_hint` says where its x roughly points."""
        self.rows.append(_Row(start, end, x_hint, radii, stretch, part, opened))

    def ball(
        self,
        centre: np.ndarray,
        frame: np.ndarray,
        *,
        size: tuple[float, float, float],
        part: int,
    ) -> None:
        """An ellipsoid with half axes `size` (x, y, z) in the given frame."""
        height = size[1]
        half = frame[..., 1] * max(0.025 * height, 1e-3)
        stretch = (size[0] / height, size[2] / height) if height > 0 else (1.0, 1.0)
        self.cone(
            centre - half,
            centre + half,
            radii=(height, height),
            part=part,
            x_hint=frame[..., 0],
            stretch=stretch,
        )

    def build(self) -> Solids:
        """All solids collected so far, in the order they were added."""
        base = self._stacked([row.start for row in self.rows], width=3)
        axis = self._stacked([row.end for row in self.rows], width=3) - base
        hint = self._stacked([row.x_hint for row in self.rows], width=3)
        radii = self._stacked([row.radii for row in self.rows], width=2)
        length = np.sqrt((axis * axis).sum(-1))
        return Solids(
            base=base,
            frame=frame_along(axis, x_hint=hint),
            length=np.maximum(length, np.abs(radii[..., 0] - radii[..., 1]) + 1e-3),
            radii=radii,
            stretch=self._stacked([row.stretch for row in self.rows], width=2),
            opened=np.array([float(row.opened) for row in self.rows]),
            part=np.array([row.part for row in self.rows]),
        )

    def _stacked(self, columns: Sequence[Pair], *, width: int) -> np.ndarray:
        values = np.empty((self.count, len(columns), width))
        for index, column in enumerate(columns):
            values[:, index] = column
        return values
