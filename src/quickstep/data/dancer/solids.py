"""The one primitive: a rounded cone (the hull of two spheres on an axis), stretched sideways."""

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


@dataclass
class SolidsBuilder:
    """Collects solids one by one, each for all n moments, then stacks them."""

    count: int
    rows: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    opened: list[float] = field(default_factory=list)

    def cone(
        self,
        start: np.ndarray,
        end: np.ndarray,
        *,
        radii: tuple[float, float] | np.ndarray,
        part: int,
        x_hint: np.ndarray,
        stretch: tuple[float, float] | np.ndarray = (1.0, 1.0),
        opened: bool = False,
    ) -> None:
        """A rounded cone from `start` to `end`; `x_hint` says where its x roughly points."""
        axis = end - start
        length = np.linalg.norm(axis, axis=-1)
        frame = frame_along(axis, x_hint=np.broadcast_to(x_hint, axis.shape))
        self._add(start, frame, length, radii=radii, stretch=stretch)
        self.parts.append(part)
        self.opened.append(float(opened))

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
        length = 0.05 * height
        start = centre - frame[..., 1] * (0.5 * length)
        stretch = (size[0] / height, size[2] / height) if height > 0 else (1.0, 1.0)
        self._add(start, frame, length, radii=(height, height), stretch=stretch)
        self.parts.append(part)
        self.opened.append(0.0)

    def _add(
        self,
        start: np.ndarray,
        frame: np.ndarray,
        length: np.ndarray | float,
        *,
        radii: tuple[float, float] | np.ndarray,
        stretch: tuple[float, float] | np.ndarray,
    ) -> None:
        shape = (self.count,)
        pair = np.broadcast_to(np.asarray(radii), (*shape, 2))
        least = np.abs(pair[:, 0] - pair[:, 1]) + 1e-3
        self.rows.append(
            (
                np.broadcast_to(start, (*shape, 3)),
                np.broadcast_to(frame, (*shape, 3, 3)),
                np.maximum(np.broadcast_to(length, shape), least),
                pair,
                np.broadcast_to(np.asarray(stretch), (*shape, 2)),
            )
        )

    def build(self) -> Solids:
        """All solids collected so far, in the order they were added."""
        columns = [np.stack(column, axis=1) for column in zip(*self.rows, strict=True)]
        return Solids(*columns, opened=np.array(self.opened), part=np.array(self.parts))
