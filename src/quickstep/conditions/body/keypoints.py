"""A body's keypoints as a detector would mark them, from its joints."""

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.body.mesh import BodyMesh, pixels_of
from quickstep.conditions.body.stored import BodyError
from quickstep.conditions.order import NUM_KEYPOINTS
from quickstep.conditions.skeleton import Poses

DEFAULT_FPS = 30.0
FRAME_MARGIN = 0.1
"""Joints this far outside, as a share of the longer side, are still marked."""

SMPL_VERTICES = 6890
_JOINTS = {
    **{5: 16, 6: 17, 7: 18, 8: 19, 9: 20, 10: 21},
    **{11: 1, 12: 2, 13: 4, 14: 5, 15: 7, 16: 8},
}
"""COCO-WholeBody's number of shoulders to ankles -> SMPL's."""
_SKIN = {
    **{0: 332, 1: 2800, 2: 6260, 3: 583, 4: 4071},
    **{17: 3216, 18: 3226, 19: 3387, 20: 6617, 21: 6624, 22: 6787},
}
"""COCO-WholeBody's nose, eyes, ears, toes and heels -> vertex of SMPL's mesh."""
_SKIN_DEPTH = 0.03


def mesh_poses(mesh: BodyMesh, *, depth: Float[np.ndarray, "f H W"] | None = None) -> Poses:
    """Keypoints of a mesh with joints: limbs, and on SMPL's 6,890 vertices head and feet, too.

    Champ runs its detector on the rendered normals; this marks what such a detector finds. Hands
    and the face's outline are not known from SMPL's joints and stay hidden. Shoulders, hips and
    limbs are marked when they are in the picture or a little outside, seen or not, as detectors
    guess them; points of the head and feet only where nothing is before them.

    Args:
        mesh: the body.
        depth: metres that its picture shows (`maps.mesh_maps`); without it nothing hides a point.

    Raises:
        BodyError: the mesh has no joints.
    """
    if mesh.joints is None:
        raise BodyError(
            "the mesh has no joints (T, 24, 3), so that no skeleton can be drawn: make its maps "
            "by quickstep maps with --skeleton or --smpl"
        )
    frames = len(mesh)
    points = np.zeros((frames, NUM_KEYPOINTS, 3), dtype=np.float32)
    known = np.zeros(NUM_KEYPOINTS, dtype=bool)
    joints = mesh.joints + mesh.cam_t[:, None]
    points[:, list(_JOINTS)] = joints[:, list(_JOINTS.values())]
    known[list(_JOINTS)] = True
    on_skin = np.zeros(NUM_KEYPOINTS, dtype=bool)
    if mesh.verts.shape[1] == SMPL_VERTICES:
        points[:, list(_SKIN)] = mesh.placed()[:, list(_SKIN.values())]
        on_skin[list(_SKIN)] = True
    before = (points[..., 2] > 0) & (known | on_skin)
    points[..., 2] = np.where(before, points[..., 2], 1)
    pixels = pixels_of(points, focal=mesh.focal, size=mesh.size)
    margin = FRAME_MARGIN * max(mesh.size)
    marked = before & _within(pixels, mesh.size, margin=margin)
    if depth is not None:
        marked &= ~on_skin | _uncovered(pixels, points[..., 2], depth)
    return Poses(
        np.where(marked[..., None], pixels, 0),
        scores=marked.astype(np.float32),
        visible=marked,
        size=mesh.size,
        fps=mesh.fps or DEFAULT_FPS,
    )


def _within(
    pixels: Float[np.ndarray, "f k 2"], size: tuple[int, int], *, margin: float
) -> Bool[np.ndarray, "f k"]:
    return np.asarray(((pixels >= -margin) & (pixels < np.asarray(size) + margin)).all(axis=-1))


def _uncovered(
    pixels: Float[np.ndarray, "f k 2"],
    distance: Float[np.ndarray, "f k"],
    depth: Float[np.ndarray, "f H W"],
) -> Bool[np.ndarray, "f k"]:
    """In the picture, and no surface lies before the point by more than a little."""
    height, width = depth.shape[1:]
    inside = _within(pixels, (width, height), margin=0.0)
    column = np.clip(pixels[..., 0], 0, width - 1).astype(np.int64)
    row = np.clip(pixels[..., 1], 0, height - 1).astype(np.int64)
    surface = depth[np.arange(len(depth))[:, None], row, column]
    return inside & (surface > distance - _SKIN_DEPTH)
