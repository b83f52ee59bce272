"""The bare body as triangles: the surface of every solid, one joint to each vertex."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from quickstep.data.dancer.camera import Camera
from quickstep.data.dancer.solids import Solids

_AROUND = 12
_RINGS = 4


@dataclass(frozen=True)
class BodyMesh:
    """A body in every frame, as `design.md` lays meshes out.

    Attributes:
        verts: metres, OpenCV camera axes, relative to the pelvis.
        faces: vertex indices of each triangle, the same in all frames.
        part: joint index (0 to 23, SMPL's order) of each vertex.
        cam_t: the pelvis in camera axes; `verts + cam_t` projects with the principal point at the
            picture's centre.
        focal: pixels.
        size: width and height, pixels.
    """

    verts: Float[np.ndarray, "t v 3"]
    faces: Int[np.ndarray, "g 3"]
    part: Int[np.ndarray, " v"]
    cam_t: Float[np.ndarray, "t 3"]
    focal: float
    size: tuple[int, int]

    def projected(self) -> Float[np.ndarray, "t v 2"]:
        """Pixels of every vertex."""
        placed = self.verts + self.cam_t[:, None]
        centre = 0.5 * np.asarray(self.size)
        return placed[..., :2] / placed[..., 2:] * self.focal + centre


def body_mesh(
    solids: Solids, pelvis: Float[np.ndarray, "t 3"], *, camera: Camera, size: int
) -> BodyMesh:
    """Triangles of the solids, seen by the camera; `pelvis` in world axes."""
    local = _vertices(solids)
    stretch = np.stack(
        (solids.stretch[..., 0], np.ones(solids.length.shape), solids.stretch[..., 1]), axis=-1
    )
    world = np.einsum("tpij,tpvj->tpvi", solids.frame, local * stretch[:, :, None])
    world += solids.base[:, :, None]
    frames, count, each, _ = world.shape
    origin = camera.view(pelvis)
    verts = camera.view(world.reshape(frames, -1, 3)) - origin[:, None]
    triangles = _triangles()
    offsets = each * np.arange(count)[:, None, None]
    return BodyMesh(
        verts=verts.astype(np.float32),
        faces=(triangles + offsets).reshape(-1, 3).astype(np.int64),
        part=np.repeat(solids.part, each).astype(np.int64),
        cam_t=origin.astype(np.float32),
        focal=camera.focal * size,
        size=(size, size),
    )


def _vertices(solids: Solids) -> np.ndarray:
    """Rings from the start's pole to the end's, in each solid's own axes: (t, p, v, 3).

    The two spheres meet the tangent cone at the same latitude, whose sine is the taper over the
    length; below it rings lie on the first sphere, above it on the second.
    """
    slope = (solids.radii[..., 0] - solids.radii[..., 1]) / solids.length
    seam = np.arcsin(np.clip(slope, -1.0, 1.0))[..., None]
    steps = np.linspace(0.0, 1.0, _RINGS)
    low = -np.pi / 2 + (seam + np.pi / 2) * steps
    high = seam + (np.pi / 2 - seam) * steps
    latitude = np.concatenate((low, high), axis=-1)
    radius = np.repeat(solids.radii, _RINGS, axis=-1)
    lift = np.repeat(np.stack((0 * solids.length, solids.length), axis=-1), _RINGS, axis=-1)
    # A polygon with the area of the circle, so that outlines neither shrink nor grow.
    angle = 2 * np.pi * np.arange(_AROUND) / _AROUND
    wider = np.sqrt(2 * np.pi / _AROUND / np.sin(2 * np.pi / _AROUND))
    across = (radius * np.cos(latitude) * wider)[..., None]
    height = np.broadcast_to((lift + radius * np.sin(latitude))[..., None], across.shape)
    rings = np.stack(
        np.broadcast_arrays(across * np.cos(angle), height, across * np.sin(angle)), axis=-1
    )
    return rings.reshape(*rings.shape[:2], -1, 3)


def _triangles() -> np.ndarray:
    ring, step = np.meshgrid(np.arange(2 * _RINGS - 1), np.arange(_AROUND), indexing="ij")
    after = (step + 1) % _AROUND
    a, b = ring * _AROUND + step, ring * _AROUND + after
    c, d = a + _AROUND, b + _AROUND
    return np.concatenate((np.stack((a, c, b), -1), np.stack((b, c, d), -1))).reshape(-1, 3)
