import numpy as np
import pytest
import torch

from quickstep.data.motion_planes import motion_planes, moving_at
from quickstep.losses.motion import moving_cells


@pytest.fixture
def frames() -> np.ndarray:
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (1, 16, 24, 3), dtype=np.uint8), 9, axis=0)
    for frame in frames:  # each changes a few pixels, by more or less than the threshold
        for _ in range(3):
            y, x = rng.integers(16), rng.integers(24)
            frame[y, x] = np.clip(frame[y, x].astype(int) + rng.integers(-60, 60, 3), 0, 255)
    return frames


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("cell", [4, 8])
def test_any_stride_moves_where_the_pictures_do(frames, stride, cell):
    planes = motion_planes(frames, cell=cell, num_strides=3)
    moments = np.arange(1, len(frames), stride)
    truth = moving_cells(torch.from_numpy(frames[moments])[None], cell=cell)[0]
    found = moving_at(planes, moments)
    np.testing.assert_array_equal(found, truth.numpy())
    assert 0 < found.mean() < 1


def test_the_threshold_is_passed_by_more_than_itself():
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    frames[1, 0, 0] = (76, 0, 0)  # .2 of [-1, 1] is 25.5 levels, 76.5 summed over the colours
    assert not motion_planes(frames, cell=8, num_strides=1).any()
    frames[1, 0, 0, 1] = 1
    assert motion_planes(frames, cell=8, num_strides=1)[0].all()
    frames[1, 0, 0] = 255
    assert motion_planes(frames, cell=8, num_strides=1)[0].all()


def test_one_frame_never_moves(frames):
    planes = motion_planes(frames, cell=8, num_strides=1)
    assert not moving_at(planes, np.array([3])).any()


@pytest.mark.parametrize("changes", [{"num_strides": 0}, {"num_strides": 9}, {"cell": 5}])
def test_numbers_out_of_range(frames, changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        motion_planes(frames, **{"cell": 8, "num_strides": 1, **changes})
