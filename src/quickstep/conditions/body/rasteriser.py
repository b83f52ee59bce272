"""Which triangle of a mesh each pixel sees first: a z-buffer in torch, many frames at once.

Triangles are cut into the spans of pixels that they cover in each row, spans into pixels (ragged
lists, no loop over triangles), and the nearest triangle wins. Corners are rounded to 1/256 of a
pixel, as graphics hardware does, and coverage is decided in whole numbers: triangles that share an
edge neither leave a gap nor cover a pixel twice. What lies nearer than the near plane is cut away.

The dancer's `data.dancer.rays` answers the same question for rounded cones, by exact rays; it has
no triangles, and this has no cones. What they share is the ragged list and its nearest offer.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

_STEPS = 256  # of a pixel
_HALF = _STEPS // 2
_REACH = float(1 << 20)
"""Pixels from the picture's centre within which products of coordinates fit 64 bits."""
_NEAR = 0.05
_LOW_BITS = 0xFFFFFFFF
_CHUNK_TRIANGLES = 1 << 16
_CHUNK_ROWS = 1 << 18
_CHUNK_PIXELS = 1 << 20


def first_faces(
    vertices: Float[Tensor, "f v 3"],
    faces: Int[Tensor, "g 3"],
    *,
    focal: float,
    size: tuple[int, int],
) -> Int[Tensor, "f H W"]:
    """The nearest face at every pixel's centre, seen from either side.

    A centre on an edge belongs to the triangle of which that edge is a top or a left one. Of faces
    at the very same depth the first in the list is seen.

    Args:
        vertices: metres, camera axes (x right, y down, z forward).
        faces: vertex numbers of each triangle.
        focal: pixels; the principal point is the picture's centre.
        size: (width, height), at most 16,384 a side.

    Returns:
        Face numbers, -1 where there is none. Memory beyond the result does not grow with the
        number of frames, nor with how many triangles lie behind one another.

    Example:
        >>> corners = torch.tensor([[[-1.0, -1, 1], [1, -1, 1], [-1, 1, 1]]])
        >>> first_faces(corners, torch.tensor([[0, 1, 2]]), focal=2.0, size=(4, 4))[0].tolist()
        [[0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1], [-1, -1, -1, -1]]
    """
    width, height = size
    nearest = torch.zeros(
        (len(vertices), height * width), dtype=torch.int64, device=vertices.device
    )
    together = max(1, _CHUNK_TRIANGLES // len(faces))
    for start in range(0, len(vertices), together):
        triangles = _triangles(vertices[start : start + together], faces, focal=focal, size=size)
        for part in _portions(triangles.rows(size[1]), limit=_CHUNK_ROWS):
            spans = _spans(triangles.chosen(part), size=size)
            _offer(nearest[start : start + together].view(-1), spans)
    return torch.where(nearest > 0, _LOW_BITS - (nearest & _LOW_BITS), -1).view(-1, height, width)


class _Triangles(NamedTuple):
    """Triangles on the screen: x and y in steps, 1 / z and its slopes a step, face and frame."""

    x: Int[Tensor, "n 3"]
    y: Int[Tensor, "n 3"]
    inverse: Float[Tensor, "n 3"]
    face: Int[Tensor, " n"]
    frame: Int[Tensor, " n"]

    def chosen(self, keep: Tensor | slice) -> "_Triangles":
        """Some of them."""
        return _Triangles(*(each[keep] for each in self))

    def rows(self, height: int) -> Tensor:
        """How many of the picture's rows each may cover."""
        return _last_row(self.y, height) - _first_row(self.y) + 1


class _Spans(NamedTuple):
    """Runs of pixels of one triangle in one row: where they begin, how many, and 1 / z there."""

    pixel: Int[Tensor, " n"]
    length: Int[Tensor, " n"]
    face: Int[Tensor, " n"]
    inverse: Float[Tensor, " n"]
    slope: Float[Tensor, " n"]
    least: Float[Tensor, " n"]
    most: Float[Tensor, " n"]


def _triangles(
    vertices: Tensor, faces: Tensor, *, focal: float, size: tuple[int, int]
) -> _Triangles:
    """All triangles before the near plane that may cover a pixel's centre, positively turned."""
    placed = vertices.double()
    reach = placed[..., :2].abs().amax((1, 2))
    near = (focal / _REACH * reach).clamp(min=_NEAR)
    before = placed[..., 2] > near[:, None]
    count = before[:, faces].sum(-1)
    frame, face = torch.nonzero(count == 3, as_tuple=True)
    x, y, inverse = _projected(placed.flatten(0, 1), focal=focal, size=size)
    corner = faces[face] + (frame * vertices.shape[1])[:, None]
    found = _Triangles(x[corner], y[corner], inverse[corner], face, frame)
    frame, face = torch.nonzero((count == 1) | (count == 2), as_tuple=True)
    if len(face):
        corners, source = _clipped(placed[frame[:, None], faces[face]], near=near[frame])
        cut = _projected(corners, focal=focal, size=size)
        extra = _Triangles(*cut, face[source], frame[source])
        found = _Triangles(*(torch.cat(pair) for pair in zip(found, extra, strict=True)))
    return _turned(found, size=size)


def _projected(
    points: Tensor, *, focal: float, size: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Screen coordinates in whole steps and 1 / z; of no meaning behind the near plane."""
    inverse = 1 / points[..., 2]
    scale = focal * inverse
    half = [0.5 * side for side in size]
    limit = 2 * _REACH
    x, y = (
        ((points[..., axis] * scale).clamp(-limit, limit) + half[axis]).mul(_STEPS).round().long()
        for axis in range(2)
    )
    return x, y, inverse


def _clipped(
    corners: Float[Tensor, "n 3 3"], *, near: Float[Tensor, " n"]
) -> tuple[Tensor, Tensor]:
    """What lies behind the near plane cut off triangles that cross it.

    Returns:
        The remaining triangles, one or two of each, and the number of the triangle each is from.
    """
    before = corners[..., 2] > near[:, None]
    single = before.sum(-1) == 1
    odd = (before == single[:, None]).long().argmax(-1)
    order = (odd[:, None] + torch.arange(3, device=odd.device)) % 3
    first, second, third = corners.gather(1, order[..., None].expand(-1, -1, 3)).unbind(1)

    def crossing(inside: Tensor, outside: Tensor, plane: Tensor) -> Tensor:
        # Always from the vertex before the plane, so that faces that share the edge agree.
        share = (plane - inside[:, 2]) / (outside[:, 2] - inside[:, 2])
        cut = inside + share[:, None] * (outside - inside)
        cut[:, 2] = plane
        return cut

    tip, left, right, plane = (each[single] for each in (first, second, third, near))
    alone = torch.stack((tip, crossing(tip, left, plane), crossing(tip, right, plane)), 1)
    two = ~single
    hidden, left, right, plane = (each[two] for each in (first, second, third, near))
    low, high = crossing(left, hidden, plane), crossing(right, hidden, plane)
    quads = (torch.stack((left, right, high), 1), torch.stack((left, high, low), 1))
    number = torch.arange(len(corners), device=corners.device)
    source = torch.cat((number[single], number[two], number[two]))
    return torch.cat((alone, *quads)), source


def _turned(triangles: _Triangles, *, size: tuple[int, int]) -> _Triangles:
    """Only those that may be seen, each with its corners in the order of positive area."""
    x, y = triangles.x, triangles.y
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    inside = area != 0
    for values, side in ((x, size[0]), (y, size[1])):
        low, high = _first_centre(_least(values)), _last_centre(_most(values))
        inside &= (low <= high) & (high >= 0) & (low < side)
    kept, area = triangles.chosen(inside), area[inside]
    swap = torch.tensor([0, 2, 1], device=x.device)
    order = torch.where((area < 0)[:, None], swap, torch.arange(3, device=x.device))
    x, y, inverse = (each.gather(1, order) for each in kept[:3])
    return _Triangles(x, y, inverse, kept.face, kept.frame)


def _least(values: Tensor) -> Tensor:
    """The least of three columns: `amin` is several times as slow along a short axis."""
    return torch.minimum(torch.minimum(values[:, 0], values[:, 1]), values[:, 2])


def _most(values: Tensor) -> Tensor:
    return torch.maximum(torch.maximum(values[:, 0], values[:, 1]), values[:, 2])


def _first_centre(steps: Tensor) -> Tensor:
    """The first pixel whose centre is at or after a coordinate."""
    return (steps + (_HALF - 1)) >> 8


def _last_centre(steps: Tensor) -> Tensor:
    """The last pixel whose centre is at or before a coordinate."""
    return (steps - _HALF) >> 8


def _first_row(y: Tensor) -> Tensor:
    return _first_centre(_least(y)).clamp(min=0)


def _last_row(y: Tensor, height: int) -> Tensor:
    return _last_centre(_most(y)).clamp(max=height - 1)


def _portions(counts: Int[Tensor, " n"], *, limit: int) -> Iterator[slice]:
    """Cuts a list where the sum of its counts passes `limit`; no portion is empty."""
    total = torch.cumsum(counts, 0)
    begin, done = 0, 0
    while begin < len(total):
        end = int(torch.searchsorted(total, done + limit, right=True))
        end = max(end, begin + 1)
        yield slice(begin, end)
        begin, done = end, int(total[end - 1])


def _spans(triangles: _Triangles, *, size: tuple[int, int]) -> _Spans:
    """The pixels each triangle covers, row by row.

    An edge from (x0, y0) to (x1, y1) has (x1 - x0) (y - y0) - (y1 - y0) (x - x0) >= 0 inside, and
    > 0 where the edge is neither top nor left; in one row that bounds the column from one side.
    """
    width, height = size
    x, y = triangles.x, triangles.y
    top, rows = _first_row(y), triangles.rows(height)
    each = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), rows)
    row = torch.arange(len(each), device=rows.device) - (torch.cumsum(rows, 0) - rows - top)[each]
    after = [1, 2, 0]
    dx, dy = x[:, after] - x, y[:, after] - y
    inclusive = (dy < 0) | ((dy == 0) & (dx > 0))
    start = dx * (_HALF - y) - dy * (_HALF - x) - (~inclusive).long()
    first = torch.zeros_like(row)
    last = torch.full_like(row, width - 1)
    for edge in range(3):
        value = start[:, edge][each] + (dx[:, edge] * _STEPS)[each] * row
        step = (-dy[:, edge] * _STEPS)[each]
        bound = torch.div(value, step.abs().clamp(min=1), rounding_mode="floor")
        first = torch.where(step > 0, torch.maximum(first, -bound), first)
        last = torch.where(step < 0, torch.minimum(last, bound), last)
        last = torch.where((step == 0) & (value < 0), -1, last)
    kept = torch.nonzero(last >= first)[:, 0]
    each, row, first, last = each[kept], row[kept], first[kept], last[kept]
    inverse, across, down = _plane(triangles)
    centre_x, centre_y = first * _STEPS + _HALF - x[each, 0], row * _STEPS + _HALF - y[each, 0]
    return _Spans(
        pixel=(triangles.frame[each] * height + row) * width + first,
        length=last - first + 1,
        face=triangles.face[each],
        inverse=(inverse[each] + across[each] * centre_x + down[each] * centre_y).float(),
        slope=(across[each] * _STEPS).float(),
        least=_least(triangles.inverse)[each].float(),
        most=_most(triangles.inverse)[each].float(),
    )


def _plane(triangles: _Triangles) -> tuple[Tensor, Tensor, Tensor]:
    """1 / z, which is linear on the screen: at the first corner, and its slopes along x and y."""
    x, y, inverse = triangles.x.double(), triangles.y.double(), triangles.inverse
    x1, x2 = x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]
    y1, y2 = y[:, 1] - y[:, 0], y[:, 2] - y[:, 0]
    u1, u2 = inverse[:, 1] - inverse[:, 0], inverse[:, 2] - inverse[:, 0]
    area = x1 * y2 - x2 * y1
    return inverse[:, 0], (u1 * y2 - u2 * y1) / area, (u2 * x1 - u1 * x2) / area


def _offer(nearest: Int[Tensor, " p"], spans: _Spans) -> None:
    """Lets every pixel of the spans keep the nearest face, as bits of 1 / z over the face."""
    for chunk in _portions(spans.length, limit=_CHUNK_PIXELS):
        part = _Spans(*(each[chunk] for each in spans))
        number = torch.arange(len(part.length), device=nearest.device)
        entry = torch.repeat_interleave(number, part.length)
        along = torch.arange(len(entry), device=nearest.device)
        along -= (torch.cumsum(part.length, 0) - part.length).index_select(0, entry)
        inverse = part.inverse.index_select(0, entry)
        inverse += part.slope.index_select(0, entry) * along
        # A sliver's plane may be steep; no point of it lies beyond its corners.
        inverse = torch.maximum(inverse, part.least.index_select(0, entry))
        inverse = torch.minimum(inverse, part.most.index_select(0, entry))
        key = (inverse.view(torch.int32).long() << 32) | (_LOW_BITS - part.face).index_select(
            0, entry
        )
        nearest.scatter_reduce_(0, part.pixel.index_select(0, entry) + along, key, "amax")
