"""Nose and eyes of a DWPose skeleton, which its own white face points hide."""

import cv2
import numpy as np
from jaxtyping import Float

from quickstep.conditions.candidates import END_QUALITY, Candidates
from quickstep.conditions.colours import Layers
from quickstep.conditions.order import NECK

# Places in the box of the white points of a face seen from the front: shares of its width from
# the middle of the white pixels, shares of its height from the top.
_NOSE_DOWN = 0.48
_EYE_ASIDE, _EYE_DOWN = 0.22, 0.2
_EAR_ASIDE, _EAR_DOWN = 0.52, 0.3
_EAR_CLASSES = (16, 17)
_LEAST_EAR_PIXELS = 4
_CLEAR = 0.45
_QUALITY = 0.4
_LEAST_PIXELS = 30

_NOSE, _RIGHT_EYE, _LEFT_EYE, _RIGHT_EAR, _LEFT_EAR = 0, 14, 15, 16, 17
_NECK_LIMB = 12


def with_hidden_head(
    layers: Layers, candidates: list[Candidates], *, radius: float
) -> list[Candidates]:
    """Adds places for nose, eyes and ears where the white face points say they are.

    Args:
        layers: the picture.
        candidates: places found for each joint by colour.
        radius: of the joints' discs, pixels.

    Returns:
        The candidates with one more for nose and eyes each, and for ears that peep out, at a
        quality of 0.4, below a disc that is half seen; unchanged without a face.
    """
    face = _face_pixels(layers, radius=radius)
    if len(face) < _LEAST_PIXELS:
        return candidates
    (left, top), (right, bottom) = np.percentile(face, (1, 99), axis=0)
    width, height = float(right - left), float(bottom - top)
    middle = np.array([face[:, 0].mean(), top])
    across, down = _axes(_clear(candidates[_RIGHT_EAR]), _clear(candidates[_LEFT_EAR]))
    eyes = middle + _EYE_DOWN * height * down
    guesses = {
        _NOSE: middle + _NOSE_DOWN * height * down,
        _RIGHT_EYE: eyes - _EYE_ASIDE * width * across,
        _LEFT_EYE: eyes + _EYE_ASIDE * width * across,
    }
    neck = _clear(candidates[NECK])
    if neck is not None:
        guesses[_NOSE] = _on_neck(layers, guesses[_NOSE], neck)
    for joint, side in ((_RIGHT_EAR, -1), (_LEFT_EAR, 1)):
        expected = middle + _EAR_DOWN * height * down + side * _EAR_ASIDE * width * across
        ear = _ear(layers, expected, reach=max(0.2 * width, 2 * radius))
        if ear is not None:
            guesses[joint] = ear
    return [
        _with(one, guesses[joint]) if joint in guesses else one
        for joint, one in enumerate(candidates)
    ]


def _with(candidates: Candidates, place: Float[np.ndarray, " 2"]) -> Candidates:
    """One more place; ends of limbs are left out, since limbs end where the face begins."""
    discs = candidates.quality > END_QUALITY
    return Candidates(
        places=np.concatenate([candidates.places[discs], place[None]]),
        quality=np.append(candidates.quality[discs], _QUALITY),
    )


def _ear(
    layers: Layers, expected: Float[np.ndarray, " 2"], *, reach: float
) -> Float[np.ndarray, " 2"] | None:
    """Where something bright and pink peeps out beside the face, if anything does."""
    left, top = np.maximum(expected - reach, 0).astype(int)
    right, bottom = np.maximum(expected + reach, 0).astype(int) + 1
    rows, columns = np.nonzero(np.isin(layers.joint[top:bottom, left:right], _EAR_CLASSES))
    if len(rows) < _LEAST_EAR_PIXELS:
        return None
    return np.array([columns.mean() + left + 0.5, rows.mean() + top + 0.5])


def _clear(candidates: Candidates) -> Float[np.ndarray, " 2"] | None:
    """The best place, when its disc is well seen."""
    if len(candidates.quality) == 0 or candidates.quality.max() < _CLEAR:
        return None
    return candidates.places[int(candidates.quality.argmax())]


def _face_pixels(layers: Layers, *, radius: float) -> Float[np.ndarray, "n 2"]:
    """White pixels that lie together, the largest group: codecs whiten a few others."""
    white = (layers.bright & layers.unsaturated).astype(np.uint8)
    reach = 2 * int(np.ceil(1.5 * radius)) + 1
    joined = cv2.dilate(white, np.ones((reach, reach), np.uint8))
    count, labels = cv2.connectedComponents(joined)
    rows, columns = np.nonzero(white)
    if len(rows) == 0:
        return np.zeros((0, 2))
    which = labels[rows, columns]
    largest = which == np.bincount(which, minlength=count).argmax()
    return np.stack([columns[largest], rows[largest]], axis=1) + 0.5


def _axes(
    right_ear: Float[np.ndarray, " 2"] | None, left_ear: Float[np.ndarray, " 2"] | None
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    """The head's own right and down, from its ears when both are clear, else the picture's."""
    upright = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    if right_ear is None or left_ear is None:
        return upright
    between = left_ear - right_ear
    length = float(np.hypot(*between))
    if length < 1 or between[0] < 0.7 * length:  # in profile, from behind, or lying down
        return upright
    across = between / length
    return across, np.array([-across[1], across[0]])


def _on_neck(
    layers: Layers, guess: Float[np.ndarray, " 2"], neck: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, " 2"]:
    """The point nearest to the guess on the line that begins with the part of the neck seen."""
    rows, columns = np.nonzero(layers.limb == _NECK_LIMB)
    towards = guess - neck
    length = float(np.hypot(*towards))
    if length < 1:
        return guess
    seen = np.stack([columns + 0.5, rows + 0.5], axis=1) - neck
    along, aside = seen @ towards / length, seen @ (towards[1], -towards[0]) / length
    near = (along > 0) & (along < length) & (np.abs(aside) < 0.35 * along + 2)
    if near.sum() < 10:
        return guess
    line = seen[near].mean(axis=0)
    line /= np.hypot(*line)
    return neck + line * (towards @ line)
