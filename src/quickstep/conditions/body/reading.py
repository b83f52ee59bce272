"""A body sequence out of any file that holds one: vertices, or SMPL parameters and a model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from quickstep.conditions.body.mesh import EXTRA_FIELDS, BodyMesh, positive_number
from quickstep.conditions.body.motion import BodyMotion, CameraOf, read_camera
from quickstep.conditions.body.skinning import BodyModel
from quickstep.conditions.body.stored import BodyError, StoredArrays

_PARAMETERS = {"body_pose", "poses", "smpl"}


def is_body(path: str | Path) -> bool:
    """Whether a file is a ``.npz`` that holds a body sequence of any form, usable or not."""
    try:
        stored = StoredArrays(path, what="a body sequence")
    except BodyError:
        return False
    return "verts" in stored or bool(_PARAMETERS & set(stored.names))


def read_body(
    path: str | Path,
    *,
    model: BodyModel | None = None,
    reference: BodyMotion | None = None,
    camera: CameraOf = "driving",
) -> BodyMesh:
    """Reads a body sequence as a mesh.

    Args:
        path: a ``.npz`` with vertices (see `BodyMesh`; HMR2's names of camera fields are known,
            too), or with SMPL parameters (see `BodyMotion.read`).
        model: the body model that parameters need; it also tells faces, parts and joints of
            vertices whose file lacks them.
        reference: the person whose shape, and picture size, a motion is transferred to.
        camera: whose camera sees the transferred motion, see `BodyMotion.transferred`.

    Raises:
        BodyError: the file is missing, is of another kind or holds unusable numbers, parameters
            without a model, or vertices with a reference; the message names the file.
    """
    stored = StoredArrays(path, what="a body sequence")
    if "verts" in stored:
        if reference is not None:
            raise BodyError(
                f"{path}: only SMPL parameters can be transferred to a reference: the file holds "
                f"vertices"
            )
        return _read_vertices(stored, model)
    if not _PARAMETERS & set(stored.names):
        raise BodyError(
            f"{path}: a body sequence has verts, faces, part, cam_t, focal and size, or SMPL "
            f"parameters: the file holds {', '.join(sorted(stored.names)) or 'nothing'}"
        )
    motion = BodyMotion.read(path)
    if model is None:
        raise BodyError(
            f"{path}: SMPL parameters need a body model: quickstep maps {path} --smpl SMPL.npz "
            "-o MAPS, with your own SMPL file, makes maps of them, by which animate goes"
        )
    try:
        if reference is not None:
            motion = motion.transferred(reference, camera=camera)
        return motion.mesh(model)
    except BodyError as error:
        raise BodyError(f"{path}: {error}") from error


def _read_vertices(stored: StoredArrays, model: BodyModel | None) -> BodyMesh:
    values: dict[str, Any] = {name: stored[name] for name in ("verts", "cam_t")}
    values |= {name: stored[name] for name in EXTRA_FIELDS if name in stored}
    known = {} if model is None else {"faces": model.faces, "part": model.parts()}
    for name in ("faces", "part"):
        if name not in stored and model is None:
            raise BodyError(
                f"{stored.path}: {stored.what} needs the field {name}, or a body model that knows "
                f"it (quickstep maps --smpl): the file holds {', '.join(sorted(stored.names))}"
            )
        values[name] = stored[name] if name in stored else known[name].cpu().numpy()
    try:
        if "fps" in values:
            values["fps"] = positive_number("fps", values["fps"])
        focal, size = read_camera(stored)
        mesh = BodyMesh(**values, focal=focal, size=size)
        if model is None or mesh.joints is not None:
            return mesh
        return replace(mesh, joints=_regressed(mesh.verts, model))
    except BodyError as error:
        if str(error).startswith(str(stored.path)):
            raise
        raise BodyError(f"{stored.path}: {error}") from error


def _regressed(verts: Float[np.ndarray, "f v 3"], model: BodyModel) -> Float[np.ndarray, "f j 3"]:
    """Joints of posed vertices by the model's regressor, as tools do that have no pose."""
    regressor = model.joint_regressor.cpu().numpy()
    if verts.shape[1] != regressor.shape[1]:
        raise BodyError(
            f"verts must have the body model's {regressor.shape[1]} vertices: got {verts.shape[1]}"
        )
    return np.einsum("jv,fvc->fjc", regressor, verts)
