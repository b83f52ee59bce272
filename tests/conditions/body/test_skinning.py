from pathlib import Path

import numpy as np
import torch

from quickstep.conditions.body import BodyModel, read_smpl, rotation_matrices

LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST, LEFT_HAND = 16, 18, 20, 22


def standing(count: int = 1) -> torch.Tensor:
    return torch.eye(3).expand(count, 24, 3, 3).clone()


def box_of(vertices: torch.Tensor, joint: int) -> torch.Tensor:
    return vertices[:, 8 * joint : 8 * joint + 8]


def test_at_rest_it_is_the_template_and_its_shape(model_file: Path):
    model = read_smpl(model_file)
    rest = model.posed(standing(), betas=torch.zeros(1, 2))
    torch.testing.assert_close(rest.vertices[0], model.template, atol=1e-6, rtol=0)
    larger = model.posed(standing(), betas=torch.tensor([[2.0]]))  # 2 tenths
    torch.testing.assert_close(larger.vertices, 1.2 * rest.vertices, atol=1e-6, rtol=0)
    torch.testing.assert_close(larger.joints, 1.2 * rest.joints, atol=1e-6, rtol=0)


def test_the_root_turns_all_about_the_root_joint(model_file: Path):
    model = read_smpl(model_file)
    turned = standing(2)
    turned[:, 0] = rotation_matrices(torch.tensor([[0.3, -1.0, 0.7], [torch.pi, 0, 0]]))
    betas = torch.tensor([[0.5, 0.0], [-1.0, 0.0]])
    rest, posed = model.shaped(betas), model.posed(turned, betas=betas)
    root = rest.joints[:, :1]
    for before, after in zip(rest, posed, strict=True):
        expected = root + (before - root) @ turned[:, 0].mT
        torch.testing.assert_close(after, expected, atol=2e-6, rtol=0)


def test_an_elbow_bent_by_hand(model_file: Path):
    """The left arm runs along x; a quarter turn about z lets the forearm point up (y)."""
    model = read_smpl(model_file)
    bent = standing()
    bent[:, LEFT_ELBOW] = rotation_matrices(torch.tensor([[0.0, 0.0, torch.pi / 2]]))
    rest, posed = model.shaped(torch.zeros(1, 2)), model.posed(bent, betas=torch.zeros(1, 2))
    moved = {LEFT_ELBOW, LEFT_WRIST, LEFT_HAND}
    for joint in range(24):
        if joint not in moved:
            torch.testing.assert_close(posed.joints[:, joint], rest.joints[:, joint])
            torch.testing.assert_close(box_of(posed.vertices, joint), box_of(rest.vertices, joint))
    elbow = rest.joints[0, LEFT_ELBOW]
    torch.testing.assert_close(posed.joints[0, LEFT_ELBOW], elbow)
    up = torch.tensor([0.0, 1.0, 0.0])
    torch.testing.assert_close(posed.joints[0, LEFT_WRIST], elbow + 0.25 * up)
    torch.testing.assert_close(posed.joints[0, LEFT_HAND], elbow + 0.35 * up)
    before = box_of(rest.vertices, LEFT_HAND)[0] - elbow
    after = torch.stack((-before[:, 1], before[:, 0], before[:, 2]), -1)
    torch.testing.assert_close(box_of(posed.vertices, LEFT_HAND)[0] - elbow, after)


def test_a_vertex_between_two_joints_moves_half_with_each():
    half = torch.tensor([[0.5, 0.5]])
    model = BodyModel(
        template=torch.tensor([[1.0, 0.0, 0.0]]),
        shape_directions=torch.zeros(1, 3, 1),
        pose_directions=torch.zeros(1, 3, 9),
        joint_regressor=torch.zeros(2, 1),  # both joints at the origin
        weights=half,
        parents=(-1, 0),
        faces=torch.zeros(1, 3, dtype=torch.long),
    )
    turn = torch.stack((torch.eye(3), rotation_matrices(torch.tensor([0.0, 0.0, torch.pi / 2]))))
    posed = model.posed(turn[None], betas=torch.zeros(1, 1))
    torch.testing.assert_close(posed.vertices[0, 0], torch.tensor([0.5, 0.5, 0.0]))
    assert model.parts().tolist() == [0]


def test_offsets_of_the_pose_are_added_before_the_motion(model_file: Path):
    model = read_smpl(model_file)
    # entry (0, 1) of R - 1 of the elbow moves the hand's vertices along z
    entry = 9 * (LEFT_ELBOW - 1) + 1
    model.pose_directions[8 * LEFT_HAND : 8 * LEFT_HAND + 8, 2, entry] = 0.5
    bent = standing()
    bent[:, LEFT_ELBOW] = rotation_matrices(torch.tensor([[0.0, 0.0, torch.pi / 2]]))
    posed = model.posed(bent, betas=torch.zeros(1, 2))
    model.pose_directions.zero_()
    plain = model.posed(bent, betas=torch.zeros(1, 2))
    moved = box_of(posed.vertices - plain.vertices, LEFT_HAND)
    torch.testing.assert_close(moved, torch.tensor([0.0, 0.0, -0.5]).expand_as(moved))
    torch.testing.assert_close(posed.joints, plain.joints)


def test_axis_angles_turn_by_their_length():
    torch.manual_seed(0)
    vectors = torch.randn(50, 3, dtype=torch.float64)
    matrices = rotation_matrices(vectors)
    torch.testing.assert_close(matrices @ matrices.mT, torch.eye(3).double().expand(50, 3, 3))
    torch.testing.assert_close((matrices @ vectors[..., None])[..., 0], vectors)  # its own axis
    trace = matrices.diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(trace, 1 + 2 * vectors.norm(dim=-1).cos())
    torch.testing.assert_close(rotation_matrices(-vectors), matrices.mT)
    tiny = rotation_matrices(torch.tensor([[0.0, 0, 0], [1e-9, 0, 0]], dtype=torch.float64))
    assert torch.equal(tiny[0], torch.eye(3).double())
    np.testing.assert_allclose(tiny[1, 2, 1], 1e-9, rtol=1e-12)
