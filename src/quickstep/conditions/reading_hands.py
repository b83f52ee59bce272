"""Hands of a skeleton picture: their points overlap, so a flat hand is laid over each."""

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.colours import Layers

SCORE = 0.3
"""How sure the points of a laid-over hand are."""

_POINT_CLASS = 12
_THUMB_CLASSES, _LITTLE_CLASSES = (1, 2), (15, 16)
_RIGHT, _LEFT = (3, 4), (6, 7)

# Along the hand: knuckle and tip of thumb, index, middle, ring and little finger; and how far
# each lies to the thumb's side.
_KNUCKLES = np.array([0.25, 0.52, 0.55, 0.52, 0.48])
_TIPS = np.array([0.72, 0.96, 1.0, 0.95, 0.85])
_ASIDE = np.array([1.0, 0.45, 0.05, -0.4, -0.85])


def read_hands(
    layers: Layers,
    places: Float[np.ndarray, "j 2"],
    scores: Float[np.ndarray, " j"],
    *,
    radius: float,
) -> tuple[Float[np.ndarray, "2 21 2"], Bool[np.ndarray, " 2"]]:
    """Left and right hand, and whether each was found.

    The points of a hand are of one colour and hide each other. What can be read is where the
    hand is, how long and wide it is, where it points and on which side its thumb lies (by the
    colours of its bones); an open hand of that shape is given.

    Args:
        layers: the picture.
        places: pixels of the joints; a hand hangs on its wrist.
        scores: 0 for joints that are missing.
        radius: of a joint's disc, pixels.
    """
    pixels = _hand_pixels(layers, places, scores, radius=radius)
    hands, found = np.zeros((2, 21, 2)), np.zeros(2, dtype=np.bool_)
    wrists = [places[wrist] if scores[wrist] > 0 else None for _, wrist in (_LEFT, _RIGHT)]
    reaches = [
        max(0.78 * float(np.hypot(*(places[wrist] - places[elbow]))), 8 * radius)
        for elbow, wrist in (_LEFT, _RIGHT)
    ]
    distances = np.full((2, len(pixels)), np.inf)
    for side, wrist in enumerate(wrists):
        if wrist is not None:
            distances[side] = np.hypot(*(pixels - wrist).T) / reaches[side]
    for side, wrist in enumerate(wrists):
        own = (distances[side] < 1) & (distances[side] <= distances[1 - side])
        if wrist is not None and own.sum() >= 3 * np.pi * radius**2:
            hands[side] = _open_hand(layers, wrist, pixels[own], radius=radius)
            found[side] = True
    return hands, found


def _hand_pixels(
    layers: Layers,
    places: Float[np.ndarray, "j 2"],
    scores: Float[np.ndarray, " j"],
    *,
    radius: float,
) -> Float[np.ndarray, "n 2"]:
    """Middles of the pixels in the colour of hand points, without the left knee's disc."""
    rows, columns = np.nonzero(layers.joint == _POINT_CLASS)
    pixels = np.stack([columns, rows], axis=1) + 0.5
    if scores[_POINT_CLASS] > 0:
        pixels = pixels[np.hypot(*(pixels - places[_POINT_CLASS]).T) > 1.5 * radius]
    return pixels


def _open_hand(
    layers: Layers,
    wrist: Float[np.ndarray, " 2"],
    pixels: Float[np.ndarray, "n 2"],
    *,
    radius: float,
) -> Float[np.ndarray, "21 2"]:
    root = pixels[np.hypot(*(pixels - wrist).T).argmin()]
    towards = pixels.mean(axis=0) - wrist
    towards /= max(float(np.hypot(*towards)), 1e-6)
    aside = np.array([-towards[1], towards[0]])
    if _thumb_side(layers, pixels, aside) < 0:
        aside = -aside
    along, across = (pixels - root) @ towards, (pixels - root) @ aside
    length = max(float(np.percentile(along, 98)) - radius, radius)
    low, high = np.percentile(across, (3, 97))
    half_width = float(np.clip((high - low) / 2 - radius, 0.15 * length, 0.5 * length))
    centre = float(np.clip((low + high) / 2, -0.2 * length, 0.2 * length))
    points = np.zeros((21, 2))
    points[0] = root
    for finger in range(5):
        for step in range(4):
            share = _KNUCKLES[finger] + (_TIPS[finger] - _KNUCKLES[finger]) * step / 3
            spread = (centre + half_width * _ASIDE[finger]) * min(1.0, 0.4 + share)
            place = root + length * share * towards + spread * aside
            points[1 + 4 * finger + step] = place
    return points


def _thumb_side(
    layers: Layers, pixels: Float[np.ndarray, "n 2"], aside: Float[np.ndarray, " 2"]
) -> float:
    """Positive when the thumb's colours lie further to `aside` than the little finger's."""
    low, high = pixels.min(axis=0).astype(int), pixels.max(axis=0).astype(int) + 1
    part = layers.joint[low[1] : high[1], low[0] : high[0]]
    sides = []
    for classes in (_THUMB_CLASSES, _LITTLE_CLASSES):
        rows, columns = np.nonzero(np.isin(part, classes))
        if len(rows) < 3:
            return 1.0
        sides.append(np.array([columns.mean(), rows.mean()]) @ aside)
    return float(sides[0] - sides[1])
