"""A dance brought to another body: the reference's place, size and proportions."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.order import (
    FACE,
    LEFT_ANKLE,
    LEFT_EAR,
    LEFT_ELBOW,
    LEFT_EYE,
    LEFT_FOOT,
    LEFT_HAND,
    LEFT_HIP,
    LEFT_KNEE,
    LEFT_SHOULDER,
    LEFT_WRIST,
    NOSE,
    NUM_KEYPOINTS,
    RIGHT_ANKLE,
    RIGHT_EAR,
    RIGHT_ELBOW,
    RIGHT_EYE,
    RIGHT_FOOT,
    RIGHT_HAND,
    RIGHT_HIP,
    RIGHT_KNEE,
    RIGHT_SHOULDER,
    RIGHT_WRIST,
)
from quickstep.conditions.skeleton import Poses

NECK = NUM_KEYPOINTS
HIP = NUM_KEYPOINTS + 1
"""Two derived points after the 133: the middles of the shoulders and of the hips."""

BONES: dict[str, tuple[tuple[int, int], ...]] = {
    "shoulders": ((NECK, LEFT_SHOULDER), (NECK, RIGHT_SHOULDER)),
    "upper arm": ((LEFT_SHOULDER, LEFT_ELBOW), (RIGHT_SHOULDER, RIGHT_ELBOW)),
    "forearm": ((LEFT_ELBOW, LEFT_WRIST), (RIGHT_ELBOW, RIGHT_WRIST)),
    "torso": ((NECK, HIP),),
    "hips": ((HIP, LEFT_HIP), (HIP, RIGHT_HIP)),
    "thigh": ((LEFT_HIP, LEFT_KNEE), (RIGHT_HIP, RIGHT_KNEE)),
    "shin": ((LEFT_KNEE, LEFT_ANKLE), (RIGHT_KNEE, RIGHT_ANKLE)),
    "neck": ((NECK, NOSE),),
    "head": ((NOSE, LEFT_EYE), (NOSE, RIGHT_EYE), (NOSE, LEFT_EAR), (NOSE, RIGHT_EAR)),
}
"""Bones from the neck outwards, left and right of a kind together."""

_CARRIED = {
    NOSE: range(FACE.start, FACE.stop),
    LEFT_WRIST: range(LEFT_HAND.start, LEFT_HAND.stop),
    RIGHT_WRIST: range(RIGHT_HAND.start, RIGHT_HAND.stop),
    LEFT_ANKLE: range(LEFT_FOOT.start, LEFT_FOOT.stop),
    RIGHT_ANKLE: range(RIGHT_FOOT.start, RIGHT_FOOT.stop),
}
_MEASURED = sorted({end for bones in BONES.values() for pair in bones for end in pair} - {HIP})
_MOST_CHANGE = 1.33
_LEAST_COSINE = 0.82


def align_poses(dance: Poses, reference: Poses) -> Poses:
    """Gives a dance the place, the size and the proportions of the person in the reference.

    Lengths in a picture depend on how a limb points, so like is compared with like: the dance's
    moments whose pose is nearest to the reference's. There, the summed lengths of all bones
    visible in both give one scale, and each kind of bone its own ratio, where it points the
    same way in both (within 35 degrees) and at most a third from the scale. All frames get the
    same ratios. At last everything is moved so that the first neck seen (or else hip) lies on
    the reference's.

    This departs from UniAnimate's alignment (`upstream_alignment.align_upstream`), which trusts
    the first frame's every joint and measures x and y in different units.

    Args:
        dance: the driving poses.
        reference: the pose in the reference picture; its first frame counts.

    Returns:
        The dance in the reference's picture. Visibility is the dance's own. Without two points
        visible in both, only the picture's size changes and the poses stay where they are.
    """
    points, known, visible = _with_middles(dance)
    target, _, target_visible = _with_middles(reference[0])
    moments = _nearest_moments(points, visible, target[0], target_visible[0])
    if len(moments) == 0:
        return replace(dance, size=reference.size)
    seen = visible[moments] & target_visible
    scale = _scale(points[moments], target[0], seen)
    ratios = {kind: _ratio(kind, points[moments], target[0], seen, scale=scale) for kind in BONES}
    moved = points * scale + _displacement(points, known, ratios=ratios, scale=scale)
    moved += _anchor(moved, visible, target[0], target_visible[0], moments)
    keypoints = np.where(known[..., None], moved, 0.0)[:, :NUM_KEYPOINTS]
    return replace(dance, keypoints=keypoints.astype(np.float32), size=reference.size)


def nearest_moments(dance: Poses, reference: Poses) -> list[int]:
    """Frames of a dance whose pose, moved and scaled at best, is nearest to the reference's.

    The best comes first. Without two joints visible in both there is none.
    """
    points, _, visible = _with_middles(dance)
    target, _, target_visible = _with_middles(reference[0])
    misfits = _misfits(points, visible, target[0], target_visible[0])
    return sorted(_near(misfits), key=misfits.__getitem__)


def body_scale(dance: Poses, reference: Poses) -> float | None:
    """Size of the reference's body in sizes of the dancer's, each in the picture's own pixels.

    It is the scale that `align_poses` applies; None without two joints visible in both.
    """
    points, _, visible = _with_middles(dance)
    target, _, target_visible = _with_middles(reference[0])
    moments = _nearest_moments(points, visible, target[0], target_visible[0])
    if not moments:
        return None
    return _scale(points[moments], target[0], visible[moments] & target_visible)


def fit_to_frame(poses: Poses, size: tuple[int, int], *, margin: float = 0.03) -> Poses:
    """Places poses in a frame of another aspect ratio, in proportion, the person kept whole.

    The frame is filled as far as the person's points of all frames, and a margin, stay inside;
    the picture is never made smaller than whole.

    Args:
        poses: what to place.
        size: (width, height) of the frame.
        margin: free space round the person, as a share of the frame's sides.

    Raises:
        ValueError: `margin` is not between 0 and 0.4.
    """
    if not 0 <= margin <= 0.4:
        raise ValueError(f"margin must be between 0 and 0.4: got {margin}")
    outer, inner = np.array(size, dtype=np.float64), np.array(poses.size, dtype=np.float64)
    whole, filled = float((outer / inner).min()), float((outer / inner).max())
    seen = poses.keypoints[poses.visible].astype(np.float64)
    if len(seen) == 0:
        seen = np.array([[0.0, 0.0], inner])
    low, high = seen.min(axis=0), seen.max(axis=0)
    room = outer * (1 - 2 * margin)
    scale = float(np.clip((room / np.maximum(high - low, 1.0)).min(), whole, filled))
    offset = (outer - inner * scale) / 2
    if scale > whole:
        least, most = outer * margin - low * scale, outer * (1 - margin) - high * scale
        offset = np.clip(offset, np.minimum(least, most), np.maximum(least, most))
    return poses.moved(scale=scale, offset=(float(offset[0]), float(offset[1])), size=size)


def _with_middles(
    poses: Poses,
) -> tuple[Float[np.ndarray, "f p 2"], Bool[np.ndarray, "f p"], Bool[np.ndarray, "f p"]]:
    """Points with neck and hip added, whether their places are known, and whether seen."""
    (neck, neck_seen), (hip, hip_seen) = poses.neck(), poses.hip()
    points = np.concatenate([poses.keypoints, neck[:, None], hip[:, None]], axis=1)
    visible = np.concatenate([poses.visible, neck_seen[:, None], hip_seen[:, None]], axis=1)
    known = visible.copy()
    known[:, :NUM_KEYPOINTS] |= (poses.keypoints > 0).any(axis=2)
    known[:, NECK] = known[:, LEFT_SHOULDER] & known[:, RIGHT_SHOULDER]
    known[:, HIP] = known[:, LEFT_HIP] & known[:, RIGHT_HIP]
    return points.astype(np.float64), known, visible


def _nearest_moments(
    points: Float[np.ndarray, "f p 2"],
    visible: Bool[np.ndarray, "f p"],
    target: Float[np.ndarray, "p 2"],
    target_visible: Bool[np.ndarray, " p"],
) -> list[int]:
    """Frames whose visible joints, moved and scaled at best, lie nearest to the reference's."""
    return sorted(_near(_misfits(points, visible, target, target_visible)))


def _misfits(
    points: Float[np.ndarray, "f p 2"],
    visible: Bool[np.ndarray, "f p"],
    target: Float[np.ndarray, "p 2"],
    target_visible: Bool[np.ndarray, " p"],
) -> dict[int, float]:
    """How far each frame's joints lie from the reference's at best, for frames that tell."""
    misfits: dict[int, float] = {}
    for frame in range(len(points)):
        both = [one for one in _MEASURED if visible[frame, one] and target_visible[one]]
        if len(both) < 2:
            continue
        here, there = points[frame, both], target[both]
        here, there = here - here.mean(axis=0), there - there.mean(axis=0)
        spread = float((here**2).sum())
        if spread == 0.0 or not there.any():
            continue
        rest = there - here * max((here * there).sum() / spread, 0.0)
        share = float((rest**2).sum() / (there**2).sum())
        misfits[frame] = np.sqrt(share) + 1.0 / len(both) ** 2
    return misfits


def _near(misfits: dict[int, float]) -> list[int]:
    """The frames that fit about as well as the best one, at most nine."""
    if not misfits:
        return []
    best = min(misfits.values())
    near = sorted((one for one in misfits if misfits[one] <= 1.2 * best), key=misfits.__getitem__)
    exact = [one for one in near if misfits[one] <= best + 1e-3]
    return exact if best < 0.02 else near[:9]


def _scale(
    points: Float[np.ndarray, "m p 2"],
    target: Float[np.ndarray, "p 2"],
    seen: Bool[np.ndarray, "m p"],
) -> float:
    """Summed length of the reference's bones over the same bones' in the dance; median frame."""
    pairs = np.array([pair for bones in BONES.values() for pair in bones])
    here = np.hypot(*np.moveaxis(points[:, pairs[:, 1]] - points[:, pairs[:, 0]], -1, 0))
    there = np.hypot(*(target[pairs[:, 1]] - target[pairs[:, 0]]).T)
    both = seen[:, pairs[:, 0]] & seen[:, pairs[:, 1]]
    lengths, wanted = (here * both).sum(axis=1), (there * both).sum(axis=1)
    usable = (lengths > 0) & (wanted > 0)
    if usable.any():
        return float(np.median(wanted[usable] / lengths[usable]))
    spread = [np.ptp(points[0][seen[0]], axis=0).max(), np.ptp(target[seen[0]], axis=0).max()]
    return float(spread[1] / spread[0]) if min(spread) > 0 else 1.0


def _ratio(
    kind: str,
    points: Float[np.ndarray, "m p 2"],
    target: Float[np.ndarray, "p 2"],
    seen: Bool[np.ndarray, "m p"],
    *,
    scale: float,
) -> float:
    """By how much one kind of bone is to be lengthened; the scale when it cannot be compared."""
    lengths, wanted = np.zeros(len(points)), np.zeros(len(points))
    for start, end in BONES[kind]:
        here, there = points[:, end] - points[:, start], target[end] - target[start]
        length, other = np.hypot(*here.T), float(np.hypot(*there))
        alike = here @ there > _LEAST_COSINE * length * other
        both = seen[:, start] & seen[:, end] & alike
        lengths += length * both
        wanted += other * both
    usable = lengths > 0
    if not usable.any():
        return scale
    change = float(np.median(wanted[usable] / lengths[usable])) / scale
    return scale * float(np.clip(change, 1 / _MOST_CHANGE, _MOST_CHANGE))


def _displacement(
    points: Float[np.ndarray, "f p 2"],
    known: Bool[np.ndarray, "f p"],
    *,
    ratios: dict[str, float],
    scale: float,
) -> Float[np.ndarray, "f p 2"]:
    """How far each point goes beyond the common scale, from the neck outwards.

    A point whose bone cannot be followed goes along with the point that the bone hangs on.
    """
    extra = np.zeros_like(points)
    for kind, bones in BONES.items():
        for start, end in bones:
            both = (known[:, start] & known[:, end])[:, None]
            bone = np.where(both, points[:, end] - points[:, start], 0.0)
            extra[:, end] = extra[:, start] + (ratios[kind] - scale) * bone
    for carrier, carried in _CARRIED.items():
        ratio = ratios["head"] if carrier == NOSE else scale
        for point in carried:
            both = (known[:, carrier] & known[:, point])[:, None]
            bone = np.where(both, points[:, point] - points[:, carrier], 0.0)
            extra[:, point] = extra[:, carrier] + (ratio - scale) * bone
    return extra


def _anchor(
    moved: Float[np.ndarray, "f p 2"],
    visible: Bool[np.ndarray, "f p"],
    target: Float[np.ndarray, "p 2"],
    target_visible: Bool[np.ndarray, " p"],
    moments: list[int],
) -> Float[np.ndarray, " 2"]:
    """The way from the first neck (or hip) seen to the reference's."""
    for point in (NECK, HIP):
        frames = np.flatnonzero(visible[:, point])
        if target_visible[point] and len(frames):
            return target[point] - moved[frames[0], point]
    both = visible[moments[0]] & target_visible
    return (target[both] - moved[moments[0], both]).mean(axis=0)
