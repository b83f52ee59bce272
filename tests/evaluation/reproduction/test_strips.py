"""What the pictures of studies show: changes between frames, by hand."""

import numpy as np
import pytest

from quickstep.evaluation.reproduction.strips import changes, heat_maps


def test_changes_are_mean_grey_levels_from_the_frame_before():
    frames = np.zeros((3, 2, 2, 3), np.uint8)
    frames[1, 0, 1] = (30, 60, 90)
    frames[2, 0, 1] = (0, 60, 90)
    found = changes(frames)
    assert found.shape == (3, 2, 2) and not found[0].any()
    assert found[1, 0, 1] == pytest.approx(60) and found[2, 0, 1] == pytest.approx(10)
    assert found.sum() == pytest.approx(70)
    # Bytes are not subtracted as bytes.
    falling = np.stack([np.full((1, 1, 3), 200, np.uint8), np.zeros((1, 1, 3), np.uint8)])
    assert changes(falling)[1, 0, 0] == 200


def test_heat_grows_from_black_to_white():
    values = np.array([[[0.0, 2.0, 4.0, 40.0]]], np.float32)
    maps = heat_maps(values, most=4.0)
    light = maps[0, 0].astype(int).sum(axis=-1)
    assert maps.shape == (1, 1, 4, 3)
    assert light[0] < 40 and light[2] == light[3] == 3 * 255
    assert light[0] < light[1] < light[2]
    assert maps[0, 0, 1, 0] > maps[0, 0, 1, 2], "red before white, in RGB order"
    still = heat_maps(np.zeros((1, 1, 1), np.float32), most=0.0)
    assert still.sum() < 40
