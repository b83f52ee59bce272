"""Which solid each sample of the picture sees first, and how far away: exact hits, no stepping.

Every solid offers its hit to the samples of the screen rows that it can cover (a ragged list), and
the nearest offer wins. There is no loop over moments or solids.

The quadratics are those of a ray and a rounded cone (the tangent cone between two spheres and the
spheres themselves), written for rays whose z is 1, so that ray length and depth are one number.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstep.data.dancer.camera import Camera
from quickstep.data.dancer.solids import Solids

_NOTHING = 0x7F800000 << 32
"""The offer of no solid: an infinite depth's bits over solid 0."""
_SPAN_DISCS = 6
_LEAST_RADIUS = 1e-3
_NEAR = 0.2


def chosen(values: Tensor, index: Tensor) -> Tensor:
    """`values[..., index]`, ten times as fast on a CPU as indexing."""
    return values.index_select(-1, index)


class Window(NamedTuple):
    """A square part of a picture, in pixels of the whole: all that is rendered."""

    left: int
    top: int
    side: int

    def finer(self, times: int) -> "Window":
        """The same part of a picture of `times` as many pixels a side."""
        return Window(*(times * part for part in self))


@dataclass(frozen=True)
class Cones:
    """Solids of m moments in camera axes, flat: solid s of moment i is at i * solids + s.

    Attributes:
        base: start of each axis, metres.
        inverse: rows take a camera-axes vector to the solid's own stretched axes.
        length, start_radius, end_radius: metres, in the solid's own axes.
        opened: 1 where the cap at the start is left out.
        reach: the largest stretch, for bounding.
        focal: of the moment's camera, in picture widths.
        solids: number of solids in a moment.
    """

    base: Float[Tensor, "3 q"]
    inverse: Float[Tensor, "9 q"]
    length: Float[Tensor, " q"]
    start_radius: Float[Tensor, " q"]
    end_radius: Float[Tensor, " q"]
    opened: Float[Tensor, " q"]
    reach: Float[Tensor, " q"]
    focal: Float[Tensor, " q"]
    solids: int

    @property
    def moments(self) -> int:
        """Number of moments."""
        return self.base.shape[1] // self.solids

    def part_of(self, start: int, stop: int) -> "Cones":
        """The moments from `start` up to, not including, `stop`."""
        cut = slice(start * self.solids, stop * self.solids)
        names = [name for name in Cones.__dataclass_fields__ if name != "solids"]
        return Cones(**{name: getattr(self, name)[..., cut] for name in names}, solids=self.solids)

    def moments_at(self, moments: Int[Tensor, " k"]) -> "Cones":
        """The chosen moments, in that order."""
        each = torch.arange(self.solids, device=moments.device)
        index = (moments[:, None] * self.solids + each).flatten()
        names = [name for name in Cones.__dataclass_fields__ if name != "solids"]
        return Cones(
            **{name: chosen(getattr(self, name), index) for name in names}, solids=self.solids
        )


def cones_of(solids: list[Solids], cameras: list[Camera], *, device: torch.device) -> Cones:
    """The solids of several clips, each seen by its camera, as one flat batch."""
    flat: dict[str, list[np.ndarray]] = {}
    for each, camera in zip(solids, cameras, strict=True):
        frame = np.einsum("ij,npjk->npik", camera.rotation, each.frame)
        stretch = np.stack((each.stretch[..., 0], np.ones(each.length.shape), each.stretch[..., 1]))
        inverse = frame.transpose(3, 2, 0, 1) / stretch[:, None]
        shape = each.length.shape
        rows = {
            "base": camera.view(each.base).transpose(2, 0, 1),
            "inverse": inverse.reshape(9, *shape),
            "length": each.length,
            "start_radius": each.radii[..., 0],
            "end_radius": each.radii[..., 1],
            "opened": np.broadcast_to(each.opened, shape),
            "reach": np.maximum(each.stretch.max(-1), 1.0),
            "focal": np.full(shape, camera.focal),
        }
        for name, value in rows.items():
            flat.setdefault(name, []).append(value.reshape(*value.shape[:-2], -1))
    tensors = {
        name: torch.from_numpy(np.concatenate(values, axis=-1).astype(np.float32)).to(device)
        for name, values in flat.items()
    }
    return Cones(**tensors, solids=solids[0].length.shape[1])


@dataclass(frozen=True)
class Hits:
    """What the samples that see something see, in the order of samples.

    Attributes:
        sample: moment * w**2 + row * w + column in a window of w samples a side.
        solid: flat index into the cones.
        depth: metres along the camera's z.
        side: samples across the whole picture.
        window: the part of it that was looked at.
        depth_map: depth of every sample, infinite where nothing is seen.
    """

    sample: Int[Tensor, " h"]
    solid: Int[Tensor, " h"]
    depth: Float[Tensor, " h"]
    side: int
    window: Window
    depth_map: Float[Tensor, "m w w"]


def first_hits(cones: Cones, *, side: int, window: Window | None = None) -> Hits:
    """The first solid that each of side x side samples (pixel centres of that grid) sees.

    With a `window` only its samples look; they see what they would see in the whole picture.
    """
    window = window or Window(0, 0, side)
    row_solid, row, first, count = _row_spans(cones, side=side, window=window)
    entry = torch.repeat_interleave(torch.arange(len(row), device=row.device), count)
    starts = torch.cumsum(count, 0) - count
    column = torch.arange(len(entry), device=row.device) - chosen(starts - first, entry)
    table = chosen(_row_table(cones, row_solid, row, side=side), entry)
    across = (column.float() + (0.5 - 0.5 * side)) / side
    depth = _intersect(table, across)
    found = torch.nonzero(depth < torch.inf)[:, 0]
    entry, column, depth = chosen(entry, found), chosen(column, found), chosen(depth, found)
    moment = row_solid // cones.solids
    wide = window.side
    sample = chosen((moment * wide + row - window.top) * wide, entry) + column - window.left
    kind = chosen(row_solid - moment * cones.solids, entry)
    key = (depth.view(torch.int32).long() << 32) | kind
    best = torch.full((cones.moments * wide * wide,), _NOTHING, device=key.device)
    best.scatter_reduce_(0, sample, key, "amin")
    depth_map = (best >> 32).to(torch.int32).view(torch.float32)
    seen = torch.nonzero(depth_map < torch.inf)[:, 0]
    kind = chosen(best, seen) & 0xFFFFFFFF
    return Hits(
        sample=seen,
        solid=seen // (wide * wide) * cones.solids + kind,
        depth=chosen(depth_map, seen),
        side=side,
        window=window,
        depth_map=depth_map.view(cones.moments, wide, wide),
    )


def _row_spans(cones: Cones, *, side: int, window: Window) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows of samples that a solid may cover: solid, row, first column, number of columns.

    The outline is bounded by a few discs along the axis, a little larger so that together they
    cover the hull; in each row the span runs from the leftmost to the rightmost of them.
    """
    along = cones.length * cones.inverse[3:6]  # the end of the axis: y is not stretched
    ends = torch.stack((cones.base, cones.base + along))
    depth = ends[:, 2].clamp(min=_NEAR)
    scale = cones.focal * side / depth
    centre = ends[:, :2] * scale[:, None] + 0.5 * side
    radius = torch.stack((cones.start_radius, cones.end_radius)) * cones.reach
    radius = radius * scale * (1.02 + 0.25 * radius / depth) + 0.6
    far = (centre[1] - centre[0]).norm(dim=0) / (2 * (_SPAN_DISCS - 1))
    share = torch.linspace(0, 1, _SPAN_DISCS, device=far.device)[:, None]
    discs = radius[0] + (radius[1] - radius[0]) * share
    discs = torch.sqrt(discs * discs + far * far)
    disc_x = centre[0, 0] + (centre[1, 0] - centre[0, 0]) * share
    disc_y = centre[0, 1] + (centre[1, 1] - centre[0, 1]) * share
    # rows whose centre (row + 0.5) lies inside
    low, high = window.top, window.top + window.side
    top = ((disc_y - discs).amin(0) - 0.5).ceil().clamp(low, high).long()
    bottom = ((disc_y + discs).amax(0) - 0.5).floor().clamp(low - 1, high - 1).long()
    there = (cones.start_radius > _LEAST_RADIUS) & (ends[:, 2].amin(0) > _NEAR)
    rows = torch.where(there, (bottom - top + 1).clamp(min=0), 0)
    solid = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), rows)
    begin = torch.cumsum(rows, 0) - rows
    row = torch.arange(len(solid), device=rows.device) - chosen(begin - top, solid)
    y = row.float() + 0.5
    discs, disc_x, disc_y = (chosen(value, solid) for value in (discs, disc_x, disc_y))
    half = discs**2 - (y - disc_y) ** 2
    inside = half >= 0
    half = torch.sqrt(half.clamp(min=0))
    left = torch.where(inside, disc_x - half, torch.inf).amin(0)
    right = torch.where(inside, disc_x + half, -torch.inf).amax(0)
    low, high = window.left, window.left + window.side
    first = (left - 0.5).ceil().clamp(low, high).long()
    last = (right - 0.5).floor().clamp(low - 1, high - 1).long()
    count = (last - first + 1).clamp(min=0)
    keep = torch.nonzero(count > 0)[:, 0]
    return chosen(solid, keep), chosen(row, keep), chosen(first, keep), chosen(count, keep)


def _row_table(cones: Cones, solid: Tensor, row: Tensor, *, side: int) -> Tensor:
    """What the rays of a row share, (16, rows), so that a ray needs only its column.

    With x the ray's slope, direction = a x + b and the offset from the axis' start of the point
    at the start's own depth = a (z x) + o; both in the solid's axes.
    """
    focal = chosen(cones.focal, solid)
    y = (row.float() + (0.5 - 0.5 * side)) / side / focal
    base = chosen(cones.base, solid)
    m = chosen(cones.inverse, solid)
    a, second, third = m[0::3], m[1::3], m[2::3]
    b = second * y + third
    o = second * (base[2] * y - base[1]) - a * base[0]
    names = ("length", "start_radius", "end_radius", "opened")
    shape = (chosen(getattr(cones, name), solid) for name in names)
    rest = torch.stack((base[2], *shape, 1 / focal))
    return torch.cat((a, b, o, rest))


def _intersect(table: Tensor, across: Tensor) -> Tensor:
    """Depth at which each ray first meets its rounded cone; infinite where it does not."""
    ax, ay, az, bx, by, bz, ox, oy, oz, base_z, length, r0, r1, opened, per_focal = table
    x = across * per_focal
    dx, dy, dz = ax * x + bx, ay * x + by, az * x + bz
    shift = base_z * x
    ox, oy, oz = ax * shift + ox, ay * shift + oy, az * shift + oz
    dd = dx * dx + dy * dy + dz * dz
    od = ox * dx + oy * dy + oz * dz
    oo = ox * ox + oy * oy + oz * oz
    taper = r0 - r1
    m0, m1, m2 = length * length, length * oy, length * dy
    d2 = m0 - taper * taper
    k2 = d2 * dd - m2 * m2
    k1 = d2 * od - m1 * m2 + m2 * (taper * r0)
    k0 = d2 * oo - m1 * m1 + m1 * (2 * taper * r0) - m0 * (r0 * r0)
    side = (-torch.sqrt(k1 * k1 - k0 * k2) - k1) / k2
    place = m1 - taper * r0 + side * m2
    side = torch.where((place > 0) & (place < d2), side, torch.inf)
    start = (-od - torch.sqrt(od * od - dd * (oo - r0 * r0))) / dd
    start = torch.where((start == start) & (opened < 0.5), start, torch.inf)
    od = od - m2
    end = (-od - torch.sqrt(od * od - dd * (oo - 2 * m1 + m0 - r1 * r1))) / dd
    end = torch.where(end == end, end, torch.inf)
    return torch.minimum(torch.minimum(side, start), end) + base_z


def surface_at(cones: Cones, hits: Hits) -> tuple[Tensor, Tensor]:
    """Where on its solid, and facing which way, each hit is.

    Returns:
        The hit in the solid's own axes, unstretched, metres (3, h); and the outward normal in
        camera axes, unit length (3, h).
    """
    side, solid, window = hits.side, hits.solid, hits.window
    focal = chosen(cones.focal, solid) * side
    column = (hits.sample % window.side + window.left).float() + (0.5 - 0.5 * side)
    row = (hits.sample // window.side % window.side + window.top).float() + (0.5 - 0.5 * side)
    base = chosen(cones.base, solid)
    x = column / focal * hits.depth - base[0]
    y = row / focal * hits.depth - base[1]
    z = hits.depth - base[2]
    m = chosen(cones.inverse, solid)
    local = m[0::3] * x + m[1::3] * y + m[2::3] * z
    names = ("length", "start_radius", "end_radius")
    length, r0, r1 = (chosen(getattr(cones, name), solid) for name in names)
    slope = (r0 - r1) / length
    radial = torch.sqrt(local[0] ** 2 + local[2] ** 2)
    centre = local[1] - radial * slope / torch.sqrt((1 - slope * slope).clamp(min=1e-6))
    centre = torch.minimum(centre.clamp(min=0), length)
    nx, ny, nz = local[0], local[1] - centre, local[2]
    normal = m.view(3, 3, -1)
    normal = normal[0] * nx + normal[1] * ny + normal[2] * nz
    normal = normal / torch.sqrt((normal * normal).sum(0)).clamp(min=1e-9)
    stretch = 1 / torch.sqrt((m.view(3, 3, -1) ** 2).sum(1))
    return local * stretch, normal
