import numpy as np
import pytest

from quickstep.conditions.body import BodyMesh, MeshMaps, mesh_maps
from quickstep.data.dancer import DancerClip, DancerSeeds, render_clip
from quickstep.data.dancer.mesh import body_mesh

SIZE = 128


@pytest.fixture(scope="module")
def clip() -> DancerClip:
    return render_clip(DancerSeeds.of(14), num_frames=2, size=SIZE)


def finer(clip: DancerClip) -> BodyMesh:
    """The same body in fifteen times as many triangles."""
    show, count = clip.performance, len(clip.rgb)
    solids, joints = show.body_solids.until(count), show.skeleton.joints[:count]
    return body_mesh(
        solids, joints, camera=show.camera, size=SIZE, fps=clip.fps, around=48, rings=14
    )


def agreement(clip: DancerClip, seen: MeshMaps) -> dict[str, float]:
    """How far what is seen of a mesh is from the exact truth of the solids it stands for."""
    truth, found = clip.part.numpy(), seen.part
    both = (truth > 0) & (found > 0)
    depth = np.abs(seen.depth[both] - clip.depth.numpy()[both])
    cosine = (seen.normal[both] * clip.normal.numpy()[both]).sum(-1).clip(-1, 1)
    return {
        "overlap": both.sum() / ((truth > 0) | (found > 0)).sum(),
        "depth": float(np.median(depth)),
        "angle": float(np.degrees(np.median(np.arccos(cosine)))),
        "part": float((truth == found)[both].mean()),
    }


def test_a_mesh_looks_like_the_body_it_stands_for(clip: DancerClip):
    seen = agreement(clip, mesh_maps(clip.mesh()))
    assert seen["overlap"] > 0.98 and seen["part"] > 0.95
    assert seen["depth"] < 0.0015 and seen["angle"] < 4  # metres, degrees


def test_a_finer_mesh_comes_nearer_to_the_exact_maps(clip: DancerClip):
    coarse, fine = agreement(clip, mesh_maps(clip.mesh())), agreement(clip, mesh_maps(finer(clip)))
    assert fine["overlap"] > 0.997 and fine["part"] > 0.99
    assert fine["depth"] < coarse["depth"] / 8 and fine["angle"] < coarse["angle"] / 5


def test_the_mesh_is_as_the_design_lays_it_out(clip: DancerClip):
    mesh = clip.mesh()
    assert mesh.verts.shape == (2, len(mesh.part), 3) and mesh.verts.dtype == np.float32
    assert mesh.faces.min() == 0 and mesh.faces.max() == len(mesh.part) - 1
    assert set(mesh.part) == set(range(24))
    assert (mesh.size, mesh.fps) == ((SIZE, SIZE), clip.fps)
    assert np.abs(mesh.verts).max() < 1.5  # round the pelvis
    assert (mesh.placed()[..., 2] > 0.5).all()


def test_its_joints_are_where_the_keypoints_are(clip: DancerClip):
    mesh = clip.mesh()
    assert mesh.joints is not None and not mesh.joints[:, 0].any()  # the pelvis
    shoulders = mesh.joints[:, 16:18] + mesh.cam_t[:, None]
    pixels = shoulders[..., :2] / shoulders[..., 2:] * mesh.focal + SIZE / 2
    np.testing.assert_allclose(pixels, clip.keypoints[:, 5:7].numpy(), atol=1e-3)
