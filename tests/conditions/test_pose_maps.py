import cv2
import numpy as np

from quickstep.conditions.pose_maps import (
    SEMANTIC_COLOURS,
    depth_map,
    mask_map,
    normal_map,
    semantic_map,
)


def test_depth_runs_from_white_to_black_in_each_frame():
    depth = np.array([[[2.0, 3.0, 2.2, np.inf]], [[9.0, np.inf, 8.0, 0.0]]], dtype=np.float32)
    grey = depth_map(depth)
    assert grey.shape == (2, 1, 4, 3) and (grey == grey[..., :1]).all()
    assert grey[..., 0].reshape(2, 4).tolist() == [[255, 0, 204, 0], [0, 0, 255, 0]]


def test_depth_of_one_plane_is_white_and_of_nothing_black():
    plane = np.array([[[5.0, 5.0, np.inf]]], dtype=np.float32)
    assert depth_map(plane)[..., 0].ravel().tolist() == [255, 255, 0]
    assert not depth_map(np.full((1, 2, 2), np.inf, dtype=np.float32)).any()


def test_normals_are_red_to_the_right_green_up_and_blue_to_the_camera():
    axes = np.array([(1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 0)], dtype=np.float32)
    colours = normal_map(axes.reshape(1, 1, 4, 3))[0, 0].tolist()
    assert colours == [[255, 128, 128], [128, 255, 128], [128, 128, 255], [0, 0, 0]]


def test_parts_have_every_tenth_colour_of_viridis():
    part = np.arange(25, dtype=np.uint8).reshape(1, 5, 5)
    colours = semantic_map(part).reshape(25, 3)
    assert colours[0].tolist() == [0, 0, 0] and colours[1].tolist() == [68, 1, 84]
    table = cv2.applyColorMap(np.arange(0, 240, 10, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)
    # matplotlib cuts its floats to bytes, OpenCV rounds them
    assert np.abs(SEMANTIC_COLOURS[1:].astype(int) - table[:, 0, ::-1]).max() <= 1


def test_masks_are_white_on_black():
    assert mask_map(np.array([[[True, False]]])).tolist() == [[[[255] * 3, [0] * 3]]]
