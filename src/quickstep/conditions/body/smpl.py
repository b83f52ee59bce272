"""The user's own SMPL file, read from ``.npz`` without running any pickle."""

from pathlib import Path

import numpy as np
import torch

from quickstep.conditions.body.mesh import NUM_JOINTS
from quickstep.conditions.body.skinning import BodyModel
from quickstep.conditions.body.stored import BodyError, StoredArrays, check_range, checked_array

NUM_POSE_DIRECTIONS = 9 * (NUM_JOINTS - 1)
_WHAT = "a body model (SMPL)"
_WEIGHT_ERROR = 1e-3


def read_smpl(path: str | Path) -> BodyModel:
    """Reads a model of SMPL's form: 24 joints, any number of vertices and shape coefficients.

    Args:
        path: a ``.npz`` with plain arrays ``v_template (V, 3)``, ``shapedirs (V, 3, S)``,
            ``posedirs (V, 3, 207)``, ``J_regressor (24, V)``, ``weights (V, 24)``,
            ``kintree_table (2, 24)`` and ``f (F, 3)``, as SMPL names them.

    Raises:
        BodyError: a field is missing, pickled (a sparse ``J_regressor``, chumpy arrays), of
            another shape or holds unusable numbers; the message names file and field.
    """
    stored = StoredArrays(path, what=_WHAT)
    names = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
    raw = {name: stored[name] for name in names}
    sizes: dict[str, int] = {}
    try:
        floats = {
            name: torch.from_numpy(checked_array(name, raw[name], shape, sizes=sizes))
            for name, shape in (
                ("v_template", "V 3"),
                ("shapedirs", "V 3 S"),
                ("posedirs", f"V 3 {NUM_POSE_DIRECTIONS}"),
                ("J_regressor", f"{NUM_JOINTS} V"),
                ("weights", f"V {NUM_JOINTS}"),
            )
        }
        faces = checked_array("f", raw["f"], "F 3", kind="integers")
        check_range("f", faces, stop=sizes["V"], of="vertices")
        _check_weights(floats["weights"].numpy())
        parents = _parents(raw["kintree_table"])
    except BodyError as error:
        raise BodyError(f"{path}: {error}") from error
    return BodyModel(
        template=floats["v_template"],
        shape_directions=floats["shapedirs"],
        pose_directions=floats["posedirs"],
        joint_regressor=floats["J_regressor"],
        weights=floats["weights"],
        parents=parents,
        faces=torch.from_numpy(faces),
    )


def _check_weights(weights: np.ndarray) -> None:
    off = np.abs(weights.sum(axis=1) - 1)
    if (off > _WEIGHT_ERROR).any() or (weights < -_WEIGHT_ERROR).any():
        vertex = int(np.argmax(np.maximum(off, -weights.min(axis=1))))
        raise BodyError(
            f"weights must be 0 or more and sum to 1 at each vertex: got the sum "
            f"{weights[vertex].sum():.4g} and the least {weights[vertex].min():.4g} at {vertex}"
        )


def _parents(kintree: np.ndarray) -> tuple[int, ...]:
    """The first row of SMPL's table; its root's entry is a number that means none."""
    table = checked_array("kintree_table", kintree, f"2 {NUM_JOINTS}", kind="integers")
    parents = (-1, *(int(one) for one in table[0, 1:]))
    for joint, parent in enumerate(parents[1:], start=1):
        if not 0 <= parent < joint:
            raise BodyError(
                f"kintree_table must name an earlier joint as each parent: got {parent} for {joint}"
            )
    return parents
