"""The bare body as triangles: the surface of every solid, one joint to each vertex."""

import numpy as np
from jaxtyping import Float

from quickstep.conditions.body import BodyMesh
from quickstep.data.dancer.camera import Camera
from quickstep.data.dancer.solids import Solids


def body_mesh(
    solids: Solids,
    joints: Float[np.ndarray, "t 24 3"],
    *,
    camera: Camera,
    size: int,
    fps: float,
    around: int = 12,
    rings: int = 4,
) -> BodyMesh:
    """Triangles of the solids, seen by the camera, placed relative to the pelvis.

    Args:
        solids: the bare body.
        joints: SMPL's, metres, world axes.
        camera: which sees them.
        size: pixels a side.
        fps: frames per second.
        around: corners of each ring.
        rings: of each of a solid's two spheres, poles included.
    """
    local = _vertices(solids, around=around, rings=rings)
    stretch = np.stack(
        (solids.stretch[..., 0], np.ones(solids.length.shape), solids.stretch[..., 1]), axis=-1
    )
    world = np.einsum("tpij,tpvj->tpvi", solids.frame, local * stretch[:, :, None])
    world += solids.base[:, :, None]
    frames, count, each, _ = world.shape
    viewed = camera.view(joints)
    origin = viewed[:, 0]
    verts = camera.view(world.reshape(frames, -1, 3)) - origin[:, None]
    triangles = _triangles(around=around, rings=rings)
    offsets = each * np.arange(count)[:, None, None]
    return BodyMesh(
        verts=verts,
        faces=(triangles + offsets).reshape(-1, 3),
        part=np.repeat(solids.part, each),
        cam_t=origin,
        focal=camera.focal * size,
        size=(size, size),
        joints=viewed - origin[:, None],
        fps=fps,
    )


def _vertices(solids: Solids, *, around: int, rings: int) -> np.ndarray:
    """Rings from the start's pole to the end's, in each solid's own axes: (t, p, v, 3).

    The two spheres meet the tangent cone at the same latitude, whose sine is the taper over the
    length; below it rings lie on the first sphere, above it on the second.
    """
    slope = (solids.radii[..., 0] - solids.radii[..., 1]) / solids.length
    seam = np.arcsin(np.clip(slope, -1.0, 1.0))[..., None]
    steps = np.linspace(0.0, 1.0, rings)
    low = -np.pi / 2 + (seam + np.pi / 2) * steps
    high = seam + (np.pi / 2 - seam) * steps
    latitude = np.concatenate((low, high), axis=-1)
    radius = np.repeat(solids.radii, rings, axis=-1)
    lift = np.repeat(np.stack((0 * solids.length, solids.length), axis=-1), rings, axis=-1)
    # A polygon with the area of the circle, so that outlines neither shrink nor grow.
    angle = 2 * np.pi * np.arange(around) / around
    wider = np.sqrt(2 * np.pi / around / np.sin(2 * np.pi / around))
    across = (radius * np.cos(latitude) * wider)[..., None]
    height = np.broadcast_to((lift + radius * np.sin(latitude))[..., None], across.shape)
    placed = np.stack(
        np.broadcast_arrays(across * np.cos(angle), height, across * np.sin(angle)), axis=-1
    )
    return placed.reshape(*placed.shape[:2], -1, 3)


def _triangles(*, around: int, rings: int) -> np.ndarray:
    ring, step = np.meshgrid(np.arange(2 * rings - 1), np.arange(around), indexing="ij")
    after = (step + 1) % around
    a, b = ring * around + step, ring * around + after
    c, d = a + around, b + around
    return np.concatenate((np.stack((a, c, b), -1), np.stack((b, c, d), -1))).reshape(-1, 3)
