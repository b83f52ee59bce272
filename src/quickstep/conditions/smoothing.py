"""Poses made whole and calm over time: gaps filled, trembling smoothed, moments made even."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from quickstep.conditions.skeleton import Poses

FILLED_SCORE = 0.1
"""Score of interpolated points: they may be drawn, but nothing was seen there."""
_SLACK = 1e-3


def fill_gaps(
    places: Float[np.ndarray, "f j 2"], scores: Float[np.ndarray, "f j"], *, max_gap: int
) -> None:
    """Interpolates, in place, joints that are missing for at most `max_gap` frames."""
    for joint in range(places.shape[1]):
        known = np.flatnonzero(scores[:, joint] > 0)
        for first, last in zip(known[:-1], known[1:], strict=True):
            gap = last - first - 1
            if 0 < gap <= max_gap:
                share = np.arange(1, gap + 1)[:, None] / (gap + 1)
                between = places[first, joint] * (1 - share) + places[last, joint] * share
                places[first + 1 : last, joint] = between
                scores[first + 1 : last, joint] = FILLED_SCORE


def filled_poses(poses: Poses, *, max_gap: int) -> Poses:
    """The poses with points that are hidden for at most `max_gap` frames laid in between.

    Such points become visible with a score of `FILLED_SCORE`; longer gaps, and those at either
    end, stay as they are.
    """
    keypoints = poses.keypoints.copy()
    marks = poses.visible.astype(np.float32)
    fill_gaps(keypoints, marks, max_gap=max_gap)
    filled = (marks > 0) & ~poses.visible
    return replace(
        poses,
        keypoints=keypoints,
        scores=np.where(filled, np.float32(FILLED_SCORE), poses.scores),
        visible=poses.visible | filled,
    )


def smoothed_poses(poses: Poses, *, spread: float) -> Poses:
    """Each visible point moved to the Gaussian mean of its visible places near in time.

    A place counts by its nearness and by its score. Hidden points stay as they are and count
    nothing, so that a point does not drift where it appears.

    Args:
        poses: what to calm.
        spread: standard deviation in frames; 0 changes nothing.

    Raises:
        ValueError: `spread` is negative or not finite.
    """
    if not (np.isfinite(spread) and spread >= 0):
        raise ValueError(f"spread must be 0 frames or more: got {spread}")
    if spread == 0:
        return poses
    weights = poses.visible * np.maximum(poses.scores.astype(np.float64), FILLED_SCORE)
    total, mass = np.zeros(poses.keypoints.shape), np.zeros(weights.shape)
    reach = min(int(np.ceil(3 * spread)), len(poses) - 1)
    for step in range(-reach, reach + 1):
        nearness = np.exp(-0.5 * (step / spread) ** 2)
        to, source = (
            slice(max(-step, 0), len(poses) - max(step, 0)),
            slice(max(step, 0), len(poses) - max(-step, 0)),
        )
        weight = nearness * weights[source]
        total[to] += weight[..., None] * poses.keypoints[source]
        mass[to] += weight
    calm = total / np.maximum(mass, 1e-12)[..., None]
    keypoints = np.where(poses.visible[..., None], calm, poses.keypoints)
    return replace(poses, keypoints=keypoints.astype(np.float32))


def evenly_timed(poses: Poses, seconds: Float[np.ndarray, " f"], *, fps: float | int) -> Poses:
    """The poses at the ticks of an even clock that starts with the first of them.

    Between two moments a point lies on the line between its places, where it is visible in both;
    else it is as in the nearer one, and so are all scores.

    Args:
        poses: the dance.
        seconds: when each of its frames is shown; it must grow.
        fps: ticks a second.

    Raises:
        ValueError: there are not as many moments as frames, or they do not grow.
    """
    if len(seconds) != len(poses) or (np.diff(seconds) <= 0).any():
        raise ValueError(f"seconds must grow, one for each of {len(poses)} frames: got {seconds}")
    if len(poses) == 1:
        return replace(poses, fps=float(fps))
    count = int((seconds[-1] - seconds[0]) * fps + _SLACK) + 1
    due = seconds[0] + np.arange(count) / fps
    after = np.searchsorted(seconds, due).clip(1, len(poses) - 1)
    before = after - 1
    share = ((due - seconds[before]) / (seconds[after] - seconds[before])).clip(0, 1)
    nearer = np.where(share > 0.5, after, before)
    both = (poses.visible[before] & poses.visible[after])[..., None]
    way = share[:, None, None]
    between = poses.keypoints[before] * (1 - way) + poses.keypoints[after] * way
    return replace(
        poses,
        keypoints=np.where(both, between, poses.keypoints[nearer]).astype(np.float32),
        scores=poses.scores[nearer],
        visible=poses.visible[nearer],
        fps=float(fps),
    )
