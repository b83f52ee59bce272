"""What each pixel sees of a mesh: the exact point of the face that is first along its ray."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

FirstFaces = Callable[..., Tensor]
"""A rasteriser: `rasteriser.first_faces`, or another of the same arguments and result."""


@dataclass(frozen=True)
class Surface:
    """Points of a mesh in the order of the pixels that see them.

    Attributes:
        pixel: frame * H * W + row * W + column.
        frame: the frame's number.
        corners: the face's three vertices.
        weights: how much of each corner there is in the point (barycentric in space, so that what
            is mixed by them is correct in perspective); none below 0, their sum 1.
        depth: metres along the camera's axis.
        outside: whether the face shows the side from which its corners run anticlockwise to the
            eye: the outside of a mesh whose normals point outwards.
        shape: frames, height, width.
    """

    pixel: Int[Tensor, " p"]
    frame: Int[Tensor, " p"]
    corners: Int[Tensor, "p 3"]
    weights: Float[Tensor, "p 3"]
    depth: Float[Tensor, " p"]
    outside: Bool[Tensor, " p"]
    shape: tuple[int, int, int]

    def mixed(self, values: Float[Tensor, "v c"] | Float[Tensor, "f v c"]) -> Float[Tensor, "p c"]:
        """Vertices' values, of all frames or of each, at every point."""
        parts = []
        for number in range(3):
            corner = self.corners[:, number]
            value = values[corner] if values.ndim == 2 else values[self.frame, corner]
            parts.append(value * self.weights[:, number, None])
        return parts[0] + parts[1] + parts[2]

    def nearest_corner(self) -> Int[Tensor, " p"]:
        """The vertex with the largest share in each point."""
        return self.corners.gather(1, self.weights.argmax(1, keepdim=True))[:, 0]

    def picture(self, values: Tensor, *, background: float = 0.0) -> Tensor:
        """Values of the points (p, ...) laid out as frames, rows and columns: (f, H, W, ...)."""
        frames, height, width = self.shape
        rest = values.shape[1:]
        laid = values.new_full((frames * height * width, *rest), background)
        laid[self.pixel] = values
        return laid.view(frames, height, width, *rest)


def seen_surface(
    vertices: Float[Tensor, "f v 3"],
    faces: Int[Tensor, "g 3"],
    face: Int[Tensor, "f H W"],
    *,
    focal: float,
) -> Surface:
    """The points that pixels see, given the face of each.

    With d the pixel's ray (z = 1) and a, b, c the corners, a's weight is d . (b x c) over the sum
    of all three such volumes: true in space, whatever the perspective, and also for a face that
    reaches behind the camera. Computed in float64: the volumes are differences of large numbers.

    Args:
        vertices: metres, camera axes.
        faces: vertex numbers of each triangle.
        face: of each pixel, -1 for none (`rasteriser.first_faces`).
        focal: pixels.
    """
    frames, height, width = face.shape
    flat = face.reshape(-1)
    pixel = torch.nonzero(flat >= 0)[:, 0]
    frame = pixel // (height * width)
    corners = faces[flat[pixel]]
    column, row = pixel % width, pixel // width % height
    across = (column.double() + (0.5 - 0.5 * width)) / focal
    down = (row.double() + (0.5 - 0.5 * height)) / focal
    a, b, c = (vertices[frame, corners[:, number]].double() for number in range(3))
    volumes = []
    for pair in ((b, c), (c, a), (a, b)):
        x, y, z = torch.linalg.cross(*pair).unbind(-1)
        volumes.append(across * x + down * y + z)
    total = volumes[0] + volumes[1] + volumes[2]
    # A face seen edge on has no inside; a centre just off a rounded edge is moved onto it.
    shares = [torch.where(total != 0, each / total, 1 / 3).clamp(min=0) for each in volumes]
    whole = shares[0] + shares[1] + shares[2]
    weights = [share / whole for share in shares]
    depth = weights[0] * a[:, 2] + weights[1] * b[:, 2] + weights[2] * c[:, 2]
    return Surface(
        pixel=pixel,
        frame=frame,
        corners=corners,
        weights=torch.stack(weights, dim=-1).float(),
        depth=depth.float(),
        outside=total < 0,
        shape=(frames, height, width),
    )


def vertex_normals(
    vertices: Float[Tensor, "f v 3"], faces: Int[Tensor, "g 3"]
) -> Float[Tensor, "f v 3"]:
    """Unit normals of a smooth surface: at each vertex the mean of its faces', weighted by area.

    They point to the side from which corners run anticlockwise. A vertex of no face has zero.
    """
    a, b, c = vertices[:, faces].unbind(2)
    across = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(1, faces[:, corner], across)
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-20)
