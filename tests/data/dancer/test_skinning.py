"""The dancer is solids on bones, not a skinned mesh; but what is rigid in it, skinning moves."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quickstep.conditions.body import BodyMesh, BodyModel, mesh_maps
from quickstep.data.dancer import DancerClip, DancerSeeds, render_clip
from quickstep.data.dancer.body import body_solids
from quickstep.data.dancer.mesh import body_mesh
from quickstep.data.dancer.skeleton import JOINT, Skeleton, solve

PARENTS = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21)
RIGID = (
    "left_ankle right_ankle spine3 left_foot right_foot head left_shoulder right_shoulder "
    "left_elbow right_elbow left_wrist right_wrist"
).split()
FRAMES = 6


@pytest.fixture(scope="module")
def clip() -> DancerClip:
    return render_clip(DancerSeeds.of(15), num_frames=FRAMES, size=96)


@pytest.fixture(scope="module")
def skeleton(clip: DancerClip) -> Skeleton:
    """The dance without shrugs, which lift shoulders off the bones that carry them."""
    show = clip.performance
    return solve(show.person.body, replace(show.pose, shrug=0 * show.pose.shrug))


@pytest.fixture(scope="module")
def mesh(clip: DancerClip, skeleton: Skeleton) -> BodyMesh:
    show = clip.performance
    solids = body_solids(show.person.body, show.person.face, skeleton).until(FRAMES)
    joints = skeleton.joints[:FRAMES]
    return body_mesh(solids, joints, camera=show.camera, size=96, fps=12.0)


@pytest.fixture(scope="module")
def posed(clip: DancerClip, skeleton: Skeleton, mesh: BodyMesh) -> BodyMesh:
    """The first frame's mesh as a body model, posed by the bones' frames of all."""
    assert mesh.joints is not None
    template, joints = torch.from_numpy(mesh.verts[0]), torch.from_numpy(mesh.joints[0])
    ones = torch.ones(1, len(template))
    # of all mixtures of vertices that give a joint, the smallest
    regressor = torch.linalg.pinv(torch.cat((template.T, ones))) @ torch.cat(
        (joints.T, ones[:, :24])
    )
    model = BodyModel(
        template=template,
        shape_directions=torch.zeros(len(template), 3, 1),
        pose_directions=torch.zeros(len(template), 3, 207),
        joint_regressor=regressor.T,
        weights=torch.nn.functional.one_hot(torch.from_numpy(mesh.part), 24).float(),
        parents=PARENTS,
        faces=torch.from_numpy(mesh.faces),
    )
    turned = clip.performance.camera.rotation @ skeleton.frames[:FRAMES]
    turned = torch.from_numpy(turned @ turned[:1].swapaxes(-1, -2)).float()
    relative = turned.clone()
    relative[:, 1:] = turned[:, list(PARENTS[1:])].mT @ turned[:, 1:]
    body = model.posed(relative, betas=torch.zeros(FRAMES, 1))
    return replace(mesh, verts=body.vertices.numpy(), joints=body.joints.numpy())


def test_joints_follow_the_bones(mesh: BodyMesh, posed: BodyMesh):
    assert mesh.joints is not None and posed.joints is not None
    assert np.ptp(mesh.joints[:, JOINT["left_hand"]], axis=0).max() > 0.05  # it does dance
    np.testing.assert_allclose(posed.joints, mesh.joints, atol=1e-5)


@pytest.mark.parametrize("part", RIGID)
def test_rigid_parts_are_moved_to_where_they_are(mesh: BodyMesh, posed: BodyMesh, part: str):
    on = mesh.part == JOINT[part]
    assert on.any()
    np.testing.assert_allclose(posed.verts[:, on], mesh.verts[:, on], atol=1e-5)


def test_the_posed_body_looks_like_the_dancer(mesh: BodyMesh, posed: BodyMesh):
    truth, found = mesh_maps(mesh).part > 0, mesh_maps(posed).part > 0
    assert (truth & found).sum() / (truth | found).sum() > 0.97
    still = mesh_maps(replace(mesh, verts=np.repeat(mesh.verts[:1], FRAMES, axis=0))).part > 0
    assert (truth & still).sum() / (truth | still).sum() < 0.95
