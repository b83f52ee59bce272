from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickstep.conditions.body import BodyError, read_smpl


def test_a_model_is_read_as_it_is(model_file: Path, smpl_fields: dict[str, Any]):
    model = read_smpl(model_file)
    assert model.parents[:5] == (-1, 0, 0, 0, 1) and len(model.faces) == 24 * 12
    np.testing.assert_array_equal(model.parts(), np.repeat(np.arange(24), 8))
    np.testing.assert_array_equal(model.template, smpl_fields["v_template"])


def edited(name: str, place: tuple[int, ...] | int, value: float):
    """A change to one number of one field."""

    def change(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        array = fields[name].copy()
        array[place] = value
        return {name: array}

    return change


MISTAKES: list[tuple[str, Any]] = [
    (r"J_regressor is pickled: .*never read; docs/body", {"J_regressor": np.array({"sparse": 1})}),
    (r"needs the field posedirs: the file holds J_regressor, f,", {"posedirs": None}),
    (
        r"posedirs must have the shape \(192, 3, 207\): got \(192, 3, 486\)",
        {"posedirs": np.zeros((192, 3, 486))},
    ),
    (r"shapedirs must have the shape \(192, 3, S\)", {"shapedirs": np.zeros((7, 3, 10))}),
    (r"f must be between 0 and 191 .*: got 192", {"f": np.array([[0, 1, 192]])}),
    (
        r"kintree_table must name an earlier joint as each parent: got 9 for 4",
        edited("kintree_table", (0, 4), 9),
    ),
    (
        r"weights must be .* sum to 1 at each vertex: got the sum 2 and the least 0.08333 at 17",
        edited("weights", 17, 2 / 24),
    ),
    (r"v_template must be finite: got inf", {"v_template": np.full((192, 3), np.inf)}),
]


@pytest.mark.parametrize(("message", "change"), MISTAKES, ids=lambda one: str(one)[:20])
def test_mistakes_name_file_and_field(
    tmp_path: Path, smpl_fields: dict[str, Any], message: str, change: Any
):
    fields = smpl_fields | (change if isinstance(change, dict) else change(smpl_fields))
    path = tmp_path / "mine.npz"
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})
    with pytest.raises(BodyError, match=message) as caught:
        read_smpl(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_the_original_pickle_is_refused(tmp_path: Path):
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(BodyError, match=r"SMPL_NEUTRAL\.pkl: .* is read from a \.npz: got \.pkl"):
        read_smpl(tmp_path / "SMPL_NEUTRAL.pkl")
