"""What is wrong with poses before hours are spent on them, each with advice."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.alignment import body_scale, nearest_moments
from quickstep.conditions.order import (
    BODY,
    FACE,
    LEFT_EAR,
    LEFT_EYE,
    LEFT_FOOT,
    LEFT_HAND,
    LEFT_SHOULDER,
    NOSE,
    RIGHT_EAR,
    RIGHT_EYE,
    RIGHT_FOOT,
    RIGHT_HAND,
    RIGHT_SHOULDER,
)
from quickstep.conditions.skeleton import Poses

PARTS = {
    "head": (NOSE, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR),
    "left arm": (5, 7, 9),
    "right arm": (6, 8, 10),
    "left leg": (11, 13, 15),
    "right leg": (12, 14, 16),
    "left hand": tuple(range(LEFT_HAND.start, LEFT_HAND.stop)),
    "right hand": tuple(range(RIGHT_HAND.start, RIGHT_HAND.stop)),
    "left foot": tuple(range(LEFT_FOOT.start, LEFT_FOOT.stop)),
    "right foot": tuple(range(RIGHT_FOOT.start, RIGHT_FOOT.stop)),
}
"""Parts of the body that are looked for, by their keypoints."""

_HALF = 0.5
_MOST_SCALE = 1.5
_TREMBLE = 0.03
_SMALL = 0.25
_LEAST_JOINTS = 4
_SURE = 0.6


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what, in one or two words.
        good: whether it is as it should be.
        seen: what was found.
        advice: what to do about it; empty when it is good.
        numbers: the same for programs.
    """

    name: str
    good: bool
    seen: str
    advice: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """One line for a person to read."""
        mark = "ok  " if self.good else "look"
        return f"{mark} {self.name}: {self.seen}" + (f"; {self.advice}" if self.advice else "")


def check_poses(poses: Poses, reference: Poses | None = None) -> list[Finding]:
    """Looks at poses as someone would who has seen many animations fail.

    Args:
        poses: the dance.
        reference: the pose in the picture that is to be animated, one frame, if it is known.
    """
    shown = shown_frames(poses)
    if not shown.any():
        advice = "choose another detector or footage that shows a person"
        seen = f"in none of {len(poses)} frames"
        return [Finding("person", False, seen, advice, {"share": 0.0, "frames": len(poses)})]
    checks: list[Callable[[Poses], Finding]] = [
        _person, _gaps, _certainty, _parts, _face, _size, _edges, _calm
    ]  # fmt: skip
    findings = [check(poses) for check in checks]
    findings.append(_first_frame(poses, reference))
    if reference is not None:
        findings.append(_scale(poses, reference))
    return findings


def shown_frames(poses: Poses) -> Bool[np.ndarray, " f"]:
    """Frames that show a person: at least four of the body's joints."""
    return poses.visible[:, BODY].sum(axis=1) >= _LEAST_JOINTS


def gaps(shown: Bool[np.ndarray, " f"]) -> list[tuple[int, int]]:
    """First and last frame of each run of frames without a person.

    Example:
        >>> gaps(np.array([False, True, True, False, False, True]))
        [(0, 0), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], ~shown, [0]]).astype(int)))
    return [(int(start), int(stop) - 1) for start, stop in edges.reshape(-1, 2)]


def best_first_frame(poses: Poses, reference: Poses | None = None) -> int:
    """Where a dance best begins: nearest to the reference's pose, or else whole and frontal."""
    if reference is not None:
        moments = nearest_moments(poses, reference)
        if moments:
            return moments[0]
    return int(_readiness(poses).argmax())


def _readiness(poses: Poses) -> Float[np.ndarray, " f"]:
    """How much of the body each frame shows, and how squarely; 0 to 1."""
    whole = poses.visible[:, BODY].mean(axis=1)
    neck, hip = poses.neck()[0], poses.hip()[0]
    torso = np.hypot(*(neck - hip).T)
    across = poses.keypoints[:, LEFT_SHOULDER, 0] - poses.keypoints[:, RIGHT_SHOULDER, 0]
    known = poses.neck()[1] & poses.hip()[1] & (torso > 0)
    width = np.where(known, across / np.maximum(torso, 1e-6), 0.0)
    widest = float(width.max())
    square = width / widest if widest > 0 else np.zeros_like(width)
    eyes = poses.visible[:, [LEFT_EYE, RIGHT_EYE]].all(axis=1)
    return 0.5 * whole + 0.3 * square.clip(0, 1) + 0.2 * eyes


def _person(poses: Poses) -> Finding:
    shown = shown_frames(poses)
    share = float(shown.mean())
    good = share >= 0.95
    advice = "" if good else "cut the footage to where the person is, or choose another person"
    return Finding(
        "person",
        good,
        f"in {int(shown.sum())} of {len(poses)} frames",
        advice,
        {"share": share, "frames": len(poses)},
    )


def _gaps(poses: Poses) -> Finding:
    found = gaps(shown_frames(poses))
    numbers = {"gaps": [list(one) for one in found]}
    if not found:
        return Finding("gaps", True, "none", numbers=numbers)
    named = ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    advice = "short ones are filled with --fill SECONDS; cut long ones out"
    return Finding("gaps", False, f"frames {named}{more}", advice, numbers)


def _certainty(poses: Poses) -> Finding:
    shown = shown_frames(poses)
    scores, visible = poses.scores[shown][:, BODY], poses.visible[shown][:, BODY]
    mean = float(scores[visible].mean())
    good = mean >= _SURE
    advice = "" if good else "look at the overlay; people need --detector dwpose"
    seen = f"the body's points score {mean:.2f} in the mean"
    return Finding("certainty", good, seen, advice, {"score": mean})


def _parts(poses: Poses) -> Finding:
    shown = shown_frames(poses)
    shares = {
        name: float(poses.visible[shown][:, list(points)].mean()) for name, points in PARTS.items()
    }
    missing = [name for name, share in shares.items() if share < _HALF]
    numbers = {"shares": shares, "missing": missing}
    if not missing:
        return Finding("limbs", True, "all seen in most frames", numbers=numbers)
    advice = "they will not be driven: take a reference that does not show them, or other footage"
    return Finding("limbs", False, f"mostly missing: {', '.join(missing)}", advice, numbers)


def _face(poses: Poses) -> Finding:
    shown = shown_frames(poses)
    eyes = poses.visible[shown][:, [NOSE, LEFT_EYE, RIGHT_EYE]].all(axis=1)
    points = poses.visible[shown][:, FACE].mean(axis=1) >= _HALF
    share, detailed = float(eyes.mean()), float(points.mean())
    good = share >= _HALF
    seen = f"seen in {share:.0%} of the frames, its 68 points in {detailed:.0%}"
    advice = "" if good else "the person is turned away or too small: expect no expression"
    return Finding("face", good, seen, advice, {"share": share, "points": detailed})


def _size(poses: Poses) -> Finding:
    heights = []
    for frame in np.flatnonzero(shown_frames(poses)):
        seen = poses.keypoints[frame][poses.visible[frame]]
        heights.append(np.ptp(seen, axis=0).max() / max(poses.size))
    share = float(np.median(heights))
    good = share >= _SMALL
    advice = "" if good else "crop the footage round the person before"
    seen = f"the person fills {share:.0%} of the picture's longer side"
    return Finding("size", good, seen, advice, {"share": share})


def _edges(poses: Poses) -> Finding:
    shown = shown_frames(poses)
    points, visible = poses.keypoints[shown][:, BODY], poses.visible[shown][:, BODY]
    outside = ((points < 0) | (points >= poses.size)).any(axis=2) & visible
    share = float(outside.any(axis=1).mean())
    good = share < 0.2
    advice = "" if good else "the network sees a cut body there: use footage with more room"
    seen = f"the body leaves the picture in {share:.0%} of the frames"
    return Finding("edges", good, seen, advice, {"share": share})


def _calm(poses: Poses) -> Finding:
    """Median second difference of the body's joints, in torso lengths."""
    points, visible = poses.keypoints[:, BODY].astype(np.float64), poses.visible[:, BODY]
    torso = np.hypot(*(poses.neck()[0] - poses.hip()[0]).T)
    known = poses.neck()[1] & poses.hip()[1]
    length = float(np.median(torso[known])) if known.any() else float(max(poses.size)) / 4
    if len(poses) < 3:
        return Finding("trembling", True, "too short to tell", numbers={"torso_share": 0.0})
    bend = points[2:] - 2 * points[1:-1] + points[:-2]
    both = visible[2:] & visible[1:-1] & visible[:-2]
    size = np.hypot(bend[..., 0], bend[..., 1])[both]
    share = float(np.median(size)) / max(length, 1e-6) if len(size) else 0.0
    good = share < _TREMBLE
    advice = "" if good else "smooth it with --smooth SECONDS, unless the dance is that fast"
    seen = f"joints swerve by {share:.1%} of the torso from frame to frame"
    return Finding("trembling", good, seen, advice, {"torso_share": share})


def _first_frame(poses: Poses, reference: Poses | None) -> Finding:
    best = best_first_frame(poses, reference)
    numbers = {"best": best, "seconds": best / poses.fps}
    ready = _readiness(poses)
    near = nearest_moments(poses, reference) if reference is not None else []
    good = 0 in near if near else bool(ready[0] >= 0.9 * ready[best])
    if good:
        return Finding("first frame", True, "a good one to begin with", numbers=numbers)
    why = "nearest to the reference's pose" if near else "whole and facing the camera"
    advice = f"begin at frame {best} ({best / poses.fps:.2f} s), which is {why}"
    return Finding("first frame", False, "not a good one to begin with", advice, numbers)


def _scale(poses: Poses, reference: Poses) -> Finding:
    ratio = body_scale(poses.scaled_to(reference.size), reference)
    if ratio is None:
        advice = "give a reference that shows the same parts of the body"
        return Finding("scale", False, "no bone is seen in both dance and reference", advice)
    good = 1 / _MOST_SCALE <= ratio <= _MOST_SCALE
    larger = "larger" if ratio > 1 else "smaller"
    seen = f"the reference's person is {max(ratio, 1 / ratio):.2f} times {larger}"
    advice = "" if good else "keep the alignment on (animate does, when it knows both poses)"
    return Finding("scale", good, seen, advice, {"ratio": ratio})
