"""Truth maps as pictures that can be read back: depth in grey, normals and parts in colour.

Normals and masks are stored as Champ shows them (`conditions.pose_maps`); depth is one range for a
whole clip and parts have colours of their own, so that both can be told exactly.
"""

import colorsys

import numpy as np
from jaxtyping import Float, UInt8

NUM_PARTS = 24

PART_COLOURS: UInt8[np.ndarray, "25 3"] = np.array(
    [(0, 0, 0)]
    + [
        [round(255 * one) for one in colorsys.hsv_to_rgb(k * 7 % 24 / 24, 0.75 - 0.25 * (k % 2), 1)]
        for k in range(NUM_PARTS)
    ],
    dtype=np.uint8,
)
"""Colours of the semantic map: black off the body, then SMPL's 24 joints in their order.

Neighbouring numbers lie 105 degrees apart on the colour circle, so that joined parts differ.
"""


def depth_picture(
    depth: Float[np.ndarray, "f H W"], *, nearest: float, farthest: float
) -> UInt8[np.ndarray, "f H W 3"]:
    """Metres as grey: 255 at `nearest`, 1 at `farthest`, 0 where nothing is (not finite)."""
    on = np.isfinite(depth) & (depth > 0)
    share = (farthest - np.where(on, depth, farthest)) / max(farthest - nearest, 1e-6)
    grey = np.where(on, np.round(1 + 254 * share.clip(0, 1)), 0).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def depth_of(
    picture: UInt8[np.ndarray, "f H W 3"], *, nearest: float, farthest: float
) -> Float[np.ndarray, "f H W"]:
    """The inverse of `depth_picture`, to half a grey level; infinite where nothing is."""
    grey = picture[..., 0].astype(np.float32)
    metres = farthest - (grey - 1) / 254 * np.float32(max(farthest - nearest, 1e-6))
    return np.where(grey > 0, metres, np.float32(np.inf)).astype(np.float32)


def depth_range(depth: Float[np.ndarray, "f H W"]) -> tuple[float, float]:
    """The nearest and farthest metres in a clip; (0, 1) when there is nothing."""
    on = depth[np.isfinite(depth) & (depth > 0)]
    return (float(on.min()), float(on.max())) if on.size else (0.0, 1.0)


def normal_of(picture: UInt8[np.ndarray, "f H W 3"]) -> Float[np.ndarray, "f H W 3"]:
    """The inverse of `pose_maps.normal_map`, of unit length again; zero where nothing is."""
    turned = picture.astype(np.float32) / 127.5 - 1
    normal = turned * np.array([1, -1, -1], dtype=np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True).clip(1e-6)
    return np.where(picture.any(axis=-1, keepdims=True), normal, np.float32(0)).astype(np.float32)


def part_picture(part: UInt8[np.ndarray, "f H W"]) -> UInt8[np.ndarray, "f H W 3"]:
    """Part numbers (0 off the body, 1 to 24) in the colours of `PART_COLOURS`."""
    return PART_COLOURS[part]


def part_of(picture: UInt8[np.ndarray, "f H W 3"]) -> UInt8[np.ndarray, "f H W"]:
    """The inverse of `part_picture`.

    Raises:
        ValueError: a colour is none of `PART_COLOURS`: the map was not stored without loss.
    """
    weights = np.array([65536, 256, 1])
    codes, keys = picture.astype(np.int64) @ weights, PART_COLOURS.astype(np.int64) @ weights
    order = np.argsort(keys)
    place = np.searchsorted(keys[order], codes).clip(0, NUM_PARTS)
    part = order[place].astype(np.uint8)
    if not np.array_equal(keys[part], codes):
        raise ValueError("a semantic map holds a colour that stands for no part: stored with loss")
    return part
