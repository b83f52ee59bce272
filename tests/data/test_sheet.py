import numpy as np
import pytest

from quickstep.data.sheet import compare_frames, contact_sheet, moments, side_by_side


def picture(value, width=6):
    return np.full((4, width, 3), value, np.uint8)


def test_pictures_stand_in_order():
    row = side_by_side([picture(10), picture(20), picture(30)])
    assert row.shape == (4, 22, 3)
    assert [int(row[0, x, 0]) for x in (0, 7, 8, 21)] == [10, 255, 20, 30]


def test_a_compare_video_ends_with_its_shortest_column():
    frames = list(compare_frames(picture(1), [picture(2)] * 3, iter([picture(3)] * 2)))
    assert len(frames) == 2


@pytest.mark.parametrize("num_frames", [1, 2, 7, 8, 200])
def test_moments_rise_and_stay_inside(num_frames):
    chosen = moments(num_frames)
    assert chosen == sorted(set(chosen))
    assert chosen[0] == 0
    assert chosen[-1] == num_frames - 1
    assert len(chosen) == min(8, num_frames)


def test_a_sheet_holds_every_picture():
    sheet = contact_sheet([("one", [picture(10), picture(20)]), ("two", [picture(30)] * 2)])
    values = set(sheet[:, -7:-2, 0].ravel().tolist())
    assert {20, 30} <= values


def test_ragged_rows_are_refused():
    with pytest.raises(ValueError, match="same number"):
        contact_sheet([("one", [picture(1)]), ("two", [])])
