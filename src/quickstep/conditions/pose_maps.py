"""Champ's pose maps as pictures: what its guidance encoders are shown.

Champ renders a body mesh with one sample a pixel: depth from
each frame's own nearest to its own farthest point, camera-space normals, a colour for each part
of the body, and a mask. Off the body everything is black. Arrays here are truth (metres, unit
normals, part numbers); how clip folders store truth so that it can be read back is `data.maps`.
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8

SEMANTIC_COLOURS: UInt8[np.ndarray, "25 3"] = np.array(
    [
        *[(0, 0, 0), (68, 1, 84), (71, 15, 98), (72, 29, 111), (71, 42, 121), (69, 54, 129)],
        *[(65, 66, 134), (60, 77, 138), (55, 88, 140), (50, 98, 141), (46, 108, 142)],
        *[(42, 118, 142), (38, 127, 142), (35, 137, 141), (31, 146, 140), (30, 155, 137)],
        *[(32, 165, 133), (40, 174, 127), (53, 183, 120), (69, 191, 111), (89, 199, 100)],
        *[(112, 206, 86), (136, 213, 71), (162, 218, 55), (189, 222, 38)],
    ],
    dtype=np.uint8,
)
"""Champ's colours of body parts: black off the body, then entry 10 k of matplotlib's viridis (256
entries) for SMPL's joint k."""


def depth_map(depth: Float[np.ndarray, "f H W"]) -> UInt8[np.ndarray, "f H W 3"]:
    """Metres as Champ's grey: 1 - (z - nearest) / (farthest - nearest) of each frame by itself.

    Args:
        depth: along the camera's axis; infinite (or not above 0) where nothing is.

    Returns:
        255 at the frame's nearest point, 0 at its farthest and where nothing is. A body of one
        depth is white.
    """
    on = np.isfinite(depth) & (depth > 0)
    nearest = np.where(on, depth, np.inf).min(axis=(1, 2), keepdims=True)
    farthest = np.where(on, depth, -np.inf).max(axis=(1, 2), keepdims=True)
    reach = np.where(farthest > nearest, farthest - nearest, 1)
    nearest = np.where(np.isfinite(nearest), nearest, 0)
    share = np.where(on, 1 - (np.where(on, depth, nearest) - nearest) / reach, 0)
    grey = np.round(255 * share).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def normal_map(normal: Float[np.ndarray, "f H W 3"]) -> UInt8[np.ndarray, "f H W 3"]:
    """Normals in OpenCV axes as colours: red right, green up, blue towards the camera.

    A surface facing the camera is (128, 128, 255). Black where the normal is zero.
    """
    on = (normal[..., 0] != 0) | (normal[..., 1] != 0) | (normal[..., 2] != 0)
    picture = np.zeros(normal.shape, np.uint8)
    turned = normal[on] * np.array([1, -1, -1], dtype=np.float32)
    picture[on] = np.round((turned + 1) * 127.5).clip(0, 255)
    return picture


def semantic_map(part: UInt8[np.ndarray, "f H W"]) -> UInt8[np.ndarray, "f H W 3"]:
    """Part numbers (0 off the body, else 1 + SMPL's joint) in `SEMANTIC_COLOURS`."""
    return SEMANTIC_COLOURS[part]


def mask_map(mask: Bool[np.ndarray, "f H W"]) -> UInt8[np.ndarray, "f H W 3"]:
    """A mask as white on black."""
    return np.repeat(mask[..., None].astype(np.uint8) * np.uint8(255), 3, axis=-1)
