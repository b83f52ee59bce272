import pytest
import torch

from quickstep.evaluation.finished import FolderMaker
from quickstep.evaluation.makers import ModelMaker
from quickstep.evaluation.rows import Entry, RowsError, compared, open_rows, read_entry

FIRST = Entry(model="dancer", steps=(8, 4), guidance=1.5)


def names(makers):
    return [maker.name for maker in makers]


def test_what_a_text_does_not_say_is_as_with_the_first():
    assert read_entry("other", FIRST) == Entry(model="other", steps=(8, 4), guidance=1.5)
    assert read_entry(" a folder/mine  steps=50 times=upstream ", FIRST) == Entry(
        model="a folder/mine", steps=(50,), guidance=1.5, times="upstream"
    )


@pytest.mark.parametrize(
    "text",
    ["a step=2", "a steps=", "a steps=2,x", "a guidance=much", "a times=late", "a steps=2 steps=3"],
)
def test_a_setting_that_cannot_be_is_one_line_with_the_text(text):
    with pytest.raises(RowsError, match=f"^'{text}': .*") as caught:
        read_entry(text, FIRST)
    assert "\n" not in str(caught.value)


def test_finished_videos_take_no_settings(tmp_path):
    assert read_entry(str(tmp_path), FIRST) == Entry(model=str(tmp_path))
    with pytest.raises(RowsError, match="finished videos are judged as they are: steps=2"):
        read_entry(f"{tmp_path} steps=2", FIRST)


def test_a_model_is_loaded_once_and_has_one_round_trip(model_folders, tmp_path):
    student, teacher = (str(model_folders / name) for name in ("student", "teacher"))
    entries = [
        Entry(model=student, steps=(2, 4)),
        Entry(model=teacher, steps=(4, 50)),
        Entry(model=teacher, steps=(4,), guidance=1.5),
        Entry(model=str(tmp_path)),
    ]
    rows, groups = open_rows(entries, dtype=torch.bfloat16, sizes=[(64, 64)])
    assert len(set(names(rows))) == len(rows)
    assert names(rows)[0] == "copy"
    assert names(groups[0]) == ["student, 2 steps", "student, 4 steps"]
    assert names(groups[2]) == ["teacher, 4 steps, guidance 1.5"]
    plain, guided, finished = (group[0] for group in groups[1:])
    assert isinstance(plain, ModelMaker) and isinstance(guided, ModelMaker)
    assert plain.animator is guided.animator
    assert plain.settings()["dtype"] == "torch.bfloat16"
    assert isinstance(finished, FolderMaker)
    assert finished.sizes == ((64, 64),)
    assert len([name for name in names(rows) if "teacher, round trip" in name]) <= 1
    assert names(open_rows(entries, baselines=False)[0]) == [
        name for group in groups for name in names(group)
    ]


def test_rows_of_the_same_steps_or_a_single_one_stand_side_by_side(model_folders):
    student, teacher = (str(model_folders / name) for name in ("student", "teacher"))
    _, (two, same, other, one) = open_rows(
        [
            Entry(model=student, steps=(2, 4)),
            Entry(model=teacher, steps=(4, 2)),
            Entry(model=teacher, steps=(5, 6), guidance=1.5),
            Entry(model=teacher, steps=(7,)),
        ],
        baselines=False,
    )
    assert compared(two, same) == [
        ("student, 2 steps", "teacher, 2 steps"),
        ("student, 4 steps", "teacher, 4 steps"),
    ]
    assert compared(two, one) == [
        ("student, 2 steps", "teacher, 7 steps"),
        ("student, 4 steps", "teacher, 7 steps"),
    ]
    with pytest.raises(RowsError, match="no steps of student are those of teacher"):
        compared(two, other)
