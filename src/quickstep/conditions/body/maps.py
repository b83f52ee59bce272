"""From a body mesh to truth maps and to Champ's pose maps."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8

from quickstep.conditions.body.mesh import BodyMesh
from quickstep.conditions.body.rasteriser import first_faces
from quickstep.conditions.body.stored import BodyError
from quickstep.conditions.body.surface import FirstFaces, seen_surface, vertex_normals
from quickstep.conditions.pose_maps import SEMANTIC_COLOURS, depth_map, mask_map, normal_map

Backend = Literal["torch", "moderngl", "auto"]


@dataclass(frozen=True)
class MeshMaps:
    """What pixels' centres see of a mesh.

    Attributes:
        depth: metres along the camera's axis; infinite off the body.
        normal: of the smooth surface, OpenCV axes, unit length, towards the camera's side of the
            face; zero off the body.
        part: 0 off the body, else 1 + the joint that carries the nearest corner.
        colour: the parts' colours as Champ's renderer mixes them; black off the body.
    """

    depth: Float[np.ndarray, "f H W"]
    normal: Float[np.ndarray, "f H W 3"]
    part: UInt8[np.ndarray, "f H W"]
    colour: UInt8[np.ndarray, "f H W 3"]

    def pictures(self) -> dict[str, UInt8[np.ndarray, "f H W 3"]]:
        """Champ's ``depth``, ``normal``, ``semantic_map`` and ``mask``."""
        return {
            "depth": depth_map(self.depth),
            "normal": normal_map(self.normal),
            "semantic_map": self.colour,
            "mask": mask_map(self.part > 0),
        }


def chosen_rasteriser(backend: str = "torch") -> FirstFaces:
    """The rasteriser of a name; keep it for many calls, a driver is slow to start.

    Args:
        backend: ``torch`` runs anywhere; ``moderngl`` needs the extra `render` and OpenGL 3.3;
            ``auto`` takes moderngl where it works.

    Raises:
        BodyError: moderngl was asked for and does not work here, or there is no such backend.
    """
    if backend not in get_args(Backend):
        raise BodyError(f"backend must be one of {', '.join(get_args(Backend))}: got {backend!r}")
    if backend == "torch":
        return first_faces
    from quickstep.conditions.body.opengl import OpenGlFaces

    try:
        return OpenGlFaces()
    except BodyError:
        if backend == "auto":
            return first_faces
        raise


def mesh_maps(
    mesh: BodyMesh,
    *,
    rasterise: FirstFaces = first_faces,
    device: str | torch.device = "cpu",
) -> MeshMaps:
    """Depth, normals and parts of every frame, one sample at each pixel's centre.

    Normals are those of a smooth surface (corners' normals mixed over the face) and always show
    the side of the face that the camera sees, whichever way the mesh is wound.

    Champ colours vertices and lets its renderer mix the colours over each face, in linear light,
    so that parts run into each other where a face has corners of two: `colour` does the same.
    `part` names the nearest corner's.

    Args:
        mesh: the body. Each frame stands for itself, so that a part of a sequence gives the same
            maps as the whole.
        rasterise: see `chosen_rasteriser`.
        device: where to compute.

    Example:
        >>> mesh = BodyMesh(
        ...     np.array([[[-1.0, -1, 0], [1, -1, 0], [-1, 1, 1]]]),
        ...     faces=np.array([[0, 1, 2]]),
        ...     part=np.array([0, 0, 0]),
        ...     cam_t=np.array([[0, 0, 1.0]]),
        ...     focal=2.0,
        ...     size=(4, 4),
        ... )
        >>> maps = mesh_maps(mesh).pictures()
        >>> maps["mask"][0, :, :, 0].tolist()[0], maps["semantic_map"][0, 0, 0].tolist()
        ([255, 255, 255, 0], [68, 1, 84])
    """
    vertices = torch.from_numpy(mesh.placed()).to(device)
    faces = torch.from_numpy(mesh.faces).to(device)
    part = torch.from_numpy(mesh.part).to(device)
    face = rasterise(vertices, faces, focal=mesh.focal, size=mesh.size)
    seen = seen_surface(vertices, faces, face, focal=mesh.focal)
    normal = torch.nn.functional.normalize(seen.mixed(vertex_normals(vertices, faces)), dim=-1)
    normal = torch.where(seen.outside[:, None], normal, -normal)
    light = linear_light(torch.from_numpy(SEMANTIC_COLOURS[1:]).to(device))[part]
    colour = (255 * display_values(seen.mixed(light))).round().byte()
    return MeshMaps(
        depth=seen.picture(seen.depth, background=torch.inf).cpu().numpy(),
        normal=seen.picture(normal).cpu().numpy(),
        part=seen.picture((part[seen.nearest_corner()] + 1).byte()).cpu().numpy(),
        colour=seen.picture(colour).cpu().numpy(),
    )


def linear_light(colour: UInt8[torch.Tensor, "*n 3"]) -> Float[torch.Tensor, "*n 3"]:
    """Light of sRGB bytes, 0 to 1 (IEC 61966-2-1)."""
    value = colour.float() / 255
    return torch.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def display_values(light: Float[torch.Tensor, "*n 3"]) -> Float[torch.Tensor, "*n 3"]:
    """The inverse of `linear_light`, as fractions of 255."""
    light = light.clamp(0, 1)
    bright = 1.055 * light.clamp(min=1e-9) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, 12.92 * light, bright)
