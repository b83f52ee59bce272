"""Bodies as meshes: files, skinning, and the maps that a camera sees of them.

`data.body_maps` adds the skeleton and writes folders.
"""

from quickstep.conditions.body.keypoints import mesh_poses
from quickstep.conditions.body.maps import (
    Backend,
    MeshMaps,
    chosen_rasteriser,
    mesh_maps,
)
from quickstep.conditions.body.mesh import BodyMesh
from quickstep.conditions.body.motion import BodyMotion, CameraOf
from quickstep.conditions.body.reading import is_body, read_body
from quickstep.conditions.body.skinning import BodyModel, rotation_matrices
from quickstep.conditions.body.smpl import read_smpl
from quickstep.conditions.body.stored import BodyError

__all__ = [
    "Backend",
    "BodyError",
    "BodyMesh",
    "BodyModel",
    "BodyMotion",
    "CameraOf",
    "MeshMaps",
    "chosen_rasteriser",
    "is_body",
    "mesh_maps",
    "mesh_poses",
    "read_body",
    "read_smpl",
    "rotation_matrices",
]
