"""Linear blend skinning: a body model of SMPL's form, given a shape and a pose, as vertices.

The formulas are those of SMPL (Loper et al., 2015): a template, offsets linear in the shape, joints
regressed from the shaped body, offsets linear in the pose, and a mixture of the joints' rigid
motions at every vertex.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Posed(NamedTuple):
    """A posed body: vertices and joints, metres."""

    vertices: Float[Tensor, "f v 3"]
    joints: Float[Tensor, "f j 3"]


@dataclass(frozen=True)
class BodyModel:
    """A body that can be shaped and posed.

    Attributes:
        template: vertices of the mean shape in the rest pose, metres.
        shape_directions: how each shape coefficient moves each vertex.
        pose_directions: how each entry of R - 1 of each joint but the root, row by row, moves it.
        joint_regressor: joints as mixtures of the shaped body's vertices.
        weights: how much of each joint's motion a vertex takes; rows sum to 1.
        parents: the joint that carries each joint, always an earlier one; -1 for the first, the
            root.
        faces: vertex numbers of each triangle.
    """

    template: Float[Tensor, "v 3"]
    shape_directions: Float[Tensor, "v 3 s"]
    pose_directions: Float[Tensor, "v 3 p"]
    joint_regressor: Float[Tensor, "j v"]
    weights: Float[Tensor, "v j"]
    parents: tuple[int, ...]
    faces: Int[Tensor, "g 3"]

    def to(self, device: str | torch.device) -> "BodyModel":
        """The same model on another device."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def parts(self) -> Int[Tensor, " v"]:
        """The joint that each vertex takes most of its motion from."""
        return self.weights.argmax(1)

    def shaped(self, betas: Float[Tensor, "f s"]) -> Posed:
        """The body of some shape coefficients in the rest pose; coefficients left out are 0."""
        directions = self.shape_directions[..., : betas.shape[1]]
        vertices = self.template + torch.einsum("vcs,fs->fvc", directions, betas)
        return Posed(vertices, torch.einsum("jv,fvc->fjc", self.joint_regressor, vertices))

    def posed(self, rotations: Float[Tensor, "f j 3 3"], *, betas: Float[Tensor, "f s"]) -> Posed:
        """The shaped body with every joint turned relative to its parent.

        Args:
            rotations: of each joint; the root's turns the whole body about the root joint.
            betas: shape coefficients, at most as many as the model has.

        Returns:
            Vertices and joints, where the root joint stays where the shaped body has it.
        """
        rest = self.shaped(betas)
        turn = rotations[:, 1:] - torch.eye(3, dtype=rotations.dtype, device=rotations.device)
        vertices = rest.vertices + torch.einsum(
            "vcp,fp->fvc", self.pose_directions, turn.flatten(1)
        )
        turned, joints = joint_motions(rotations, rest.joints, parents=self.parents)
        shift = joints - torch.einsum("fjab,fjb->fja", turned, rest.joints)
        motion = torch.cat((turned, shift[..., None]), dim=-1).flatten(2)
        mixed = torch.einsum("vj,fjm->fvm", self.weights, motion).unflatten(-1, (3, 4))
        placed = torch.einsum("fvab,fvb->fva", mixed[..., :3], vertices) + mixed[..., 3]
        return Posed(placed, joints)


def joint_motions(
    rotations: Float[Tensor, "f j 3 3"],
    rest: Float[Tensor, "f j 3"],
    *,
    parents: tuple[int, ...],
) -> tuple[Float[Tensor, "f j 3 3"], Float[Tensor, "f j 3"]]:
    """Forward kinematics: each joint's turn in the world and where it comes to lie.

    Args:
        rotations: of each joint relative to its parent.
        rest: joints in the rest pose.
        parents: see `BodyModel`.
    """
    turned, placed = [rotations[:, 0]], [rest[:, 0]]
    for joint, parent in enumerate(parents[1:], start=1):
        bone = (rest[:, joint] - rest[:, parent])[..., None]
        placed.append(placed[parent] + (turned[parent] @ bone)[..., 0])
        turned.append(turned[parent] @ rotations[:, joint])
    return torch.stack(turned, 1), torch.stack(placed, 1)


def rotation_matrices(axis_angle: Float[Tensor, "*n 3"]) -> Float[Tensor, "*n 3 3"]:
    """Rodrigues' formula: turns about an axis by its length in radians, exact at 0 too.

    Example:
        >>> quarter = rotation_matrices(torch.tensor([0.0, 0.0, torch.pi / 2]))
        >>> (quarter @ torch.tensor([1.0, 0.0, 0.0])).round().int().tolist()
        [0, 1, 0]
    """
    angle = torch.linalg.vector_norm(axis_angle, dim=-1)[..., None, None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    rows = (zero, -z, y, z, zero, -x, -y, x, zero)
    across = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
    sine = torch.sinc(angle / torch.pi)  # sin(a) / a
    cosine = 0.5 * torch.sinc(angle / (2 * torch.pi)) ** 2  # (1 - cos(a)) / a**2
    identity = torch.eye(3, dtype=across.dtype, device=across.device)
    return identity + sine * across + cosine * (across @ across)
