import numpy as np
import pytest

from quickstep.conditions.detection.crops import Crop, normalised_crops, simcc_points

TALL = Crop.round_box(np.array([10.0, 20.0, 20.0, 60.0]), (24, 32))


def test_a_crop_keeps_the_shape_and_leaves_room():
    assert TALL.centre == (15.0, 40.0)
    assert TALL.sides == (37.5, 50.0)
    wide = Crop.round_box(np.array([0.0, 0.0, 48.0, 4.0]), (24, 32))
    assert wide.sides == (60.0, 80.0)


def test_points_go_in_and_come_out_again():
    crop = Crop((15.0, 40.0), (37.5, 50.0), (24, 32), turn=0.4)
    points = np.random.default_rng(0).uniform(-50, 90, (7, 2))
    np.testing.assert_allclose(crop.outside(crop.inside(points)), points, atol=1e-9)


def test_the_middle_and_the_corners_by_hand():
    np.testing.assert_allclose(TALL.inside(np.array([15.0, 40.0])), [12, 16])
    corner = np.array([15 - 37.5 / 2, 40 - 25])
    np.testing.assert_allclose(TALL.inside(corner), [0, 0], atol=1e-12)
    np.testing.assert_allclose(TALL.outside(np.array([24.0, 32.0])), [15 + 18.75, 65])


def test_pixels_go_where_points_go():
    picture = np.zeros((80, 40, 3), np.uint8)
    picture[38:43, 13:18] = 255  # round pixel (15, 40)
    cut = TALL.cut(picture)
    assert cut.shape == (32, 24, 3)
    weight = cut[..., 0].astype(float)
    down, across = np.mgrid[:32, :24]
    middle = [(weight * across).sum() / weight.sum(), (weight * down).sum() / weight.sum()]
    np.testing.assert_allclose(middle, TALL.inside(np.array([15.0, 40.0])), atol=0.05)


def test_outside_the_picture_it_is_black():
    cut = Crop.round_box(np.array([-8.0, -8.0, 4.0, 8.0]), (24, 32)).cut(
        np.full((20, 20, 3), 255, np.uint8)
    )
    assert (cut[:8, :8] == 0).all()
    assert (cut[-2:, -2:] == 255).all()


def test_a_turned_crop_turns_what_is_in_it():
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[40, 60:62] = 255  # to the right of the middle
    upright = Crop((40.0, 40.0), (60.0, 80.0), (60, 80), turn=np.pi / 2)
    row, column = np.argwhere(upright.cut(picture)[..., 0] > 100)[0]
    assert abs(column - 30) <= 1
    assert abs(row - 20) <= 1


def test_numbers_are_imagenets():
    crops = np.zeros((1, 2, 1, 3), np.uint8)
    crops[0, 1, 0] = 255, 0, 124
    values = normalised_crops(crops)
    assert values.shape == (1, 3, 2, 1)
    np.testing.assert_allclose(
        values[0, :, 1, 0],
        [(255 - 123.675) / 58.395, -116.28 / 57.12, (124 - 103.53) / 57.375],
        rtol=1e-6,
    )


def test_places_are_half_pixels_and_scores_the_smaller_maximum():
    across, down = np.zeros((1, 3, 8)), np.zeros((1, 3, 10))
    across[0, 0, 3], down[0, 0, 9] = 0.8, 0.6
    across[0, 1, 7], down[0, 1, 0] = 0.2, 0.9
    places, scores = simcc_points(across, down)
    assert places[0].tolist() == [[1.5, 4.5], [3.5, 0.0], [-1.0, -1.0]]
    np.testing.assert_allclose(scores[0], [0.6, 0.2, 0.0])


@pytest.mark.parametrize("box", [(5, 5, 5, 5), (9, 9, 3, 3)])
def test_a_box_round_nothing_gives_a_crop_all_the_same(box: tuple[float, ...]):
    crop = Crop.round_box(np.array(box, dtype=float), (24, 32))
    assert crop.cut(np.zeros((8, 8, 3), np.uint8)).shape == (32, 24, 3)
