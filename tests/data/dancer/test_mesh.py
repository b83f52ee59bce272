import cv2
import numpy as np
import pytest
import torch

from quickstep.data.dancer import DancerSeeds, render_clip


@pytest.fixture(scope="module")
def clip():
    return render_clip(DancerSeeds.of(14), num_frames=2, size=96)


def test_the_mesh_covers_the_body_it_stands_for(clip):
    mesh = clip.mesh()
    for frame, points in enumerate(mesh.projected()):
        outline = np.zeros((96, 96), np.uint8)
        # Pixel centres are at half coordinates here and at whole ones in OpenCV; 4 binary digits.
        corners = np.round((points[mesh.faces] - 0.5) * 16).astype(np.int32)
        for triangle in corners:
            cv2.fillConvexPoly(outline, triangle, 1, shift=4)
        body = clip.part[frame].numpy() > 0
        overlap = (outline & body).sum() / (outline | body).sum()
        assert overlap > 0.9


def test_the_mesh_is_as_the_design_lays_it_out(clip):
    mesh = clip.mesh()
    assert mesh.verts.shape == (2, len(mesh.part), 3) and mesh.verts.dtype == np.float32
    assert mesh.faces.min() == 0 and mesh.faces.max() == len(mesh.part) - 1
    assert set(mesh.part) == set(range(24))
    assert mesh.size == (96, 96)
    assert np.abs(mesh.verts).max() < 1.5  # round the pelvis
    placed = mesh.verts + mesh.cam_t[:, None]
    assert (placed[..., 2] > 0.5).all()


def test_mesh_depth_is_the_depth_map(clip):
    mesh = clip.mesh()
    placed = (mesh.verts + mesh.cam_t[:, None])[0]
    pixel = np.floor(mesh.projected()[0]).astype(int)
    inside = ((pixel >= 0) & (pixel < 96)).all(-1)
    depth = clip.depth[0].numpy()[pixel[inside, 1], pixel[inside, 0]]
    gap = placed[inside, 2] - depth
    gap = gap[np.isfinite(gap)]
    assert (gap > -0.06).mean() > 0.97  # nothing of the mesh floats before the surface
    assert torch.isfinite(clip.depth).any()
