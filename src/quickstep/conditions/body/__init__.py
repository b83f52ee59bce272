"""Bodies as meshes: files, skinning, and the maps that a camera sees of them."""

from quickstep.conditions.body.maps import (
    Backend,
    MeshMaps,
    chosen_rasteriser,
    mesh_maps,
    pose_maps_of_mesh,
)
from quickstep.conditions.body.mesh import BodyMesh
from quickstep.conditions.body.stored import BodyError

__all__ = [
    "Backend",
    "BodyError",
    "BodyMesh",
    "MeshMaps",
    "mesh_maps",
    "pose_maps_of_mesh",
    "chosen_rasteriser",
]
