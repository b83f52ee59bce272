"""Skeleton pictures back to keypoints, by the colours of joints and limbs."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from quickstep.conditions.candidates import (
    Candidates,
    joint_candidates,
    joint_radius,
    limb_support,
)
from quickstep.conditions.colours import Layers
from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.openpose import OpenPoses
from quickstep.conditions.order import (
    COCO_OF_JOINT,
    LEFT_HAND,
    LEFT_TOES,
    LIMBS,
    NECK,
    NUM_KEYPOINTS,
    RIGHT_HAND,
)
from quickstep.conditions.reading_hands import SCORE as HAND_SCORE
from quickstep.conditions.reading_hands import read_hands
from quickstep.conditions.reading_head import with_hidden_head
from quickstep.conditions.skeleton import PoseError, Poses
from quickstep.conditions.smoothing import fill_gaps

NUM_JOINTS = 20

_LEAST_QUALITY = 0.2
_ORPHAN_COST = 0.3
_FOOT_COST = 0.4
_LIMB_COST = 0.15
_JUMP_COST = 0.3
_BLACK_COST = 1.5
_HEAD_BLACK_COST = 0.3  # nose and eyes under a face are known roughly
_HEAD_LIMBS = range(13, 17)
_NUM_PROBES = 5
_COVER = 9


@dataclass(frozen=True)
class _Reading:
    """What is read from one picture; see `best_tree` and `read_hands`."""

    places: Float[np.ndarray, "j 2"]
    scores: Float[np.ndarray, " j"]
    fit: float
    hands: Float[np.ndarray, "2 21 2"]
    hands_found: Bool[np.ndarray, " 2"]

    @property
    def known(self) -> Float[np.ndarray, "j 2"]:
        """The places, not a number where a joint is missing."""
        return np.where(self.scores[:, None] > 0, self.places, np.nan)


@dataclass(frozen=True)
class _Reader:
    """What all frames of a clip share."""

    is_reversed: bool
    radius: float

    @classmethod
    def of(cls, probes: list[np.ndarray]) -> "_Reader":
        """Finds out the order of channels and the size of joints from a few pictures."""
        black = np.mean([Layers.of(picture).black.mean() for picture in probes])
        radii = [joint_radius(Layers.of(picture)) for picture in probes]
        radius = float(np.median([one for one in radii if one > 0] or [0.0]))
        if black < 0.5 or radius == 0.0:
            raise PoseError(
                "not a skeleton on black: "
                f"{black:.0%} of its pixels are black and {'no' if radius == 0.0 else 'some'} "
                "joint in DWPose's or UniAnimate's colours is seen"
            )
        readers = [cls(is_reversed=one, radius=radius) for one in (False, True)]
        fits = [sum(one.read(picture, None).fit for picture in probes) for one in readers]
        return readers[int(np.argmax(fits))]

    def read(
        self, picture: UInt8[np.ndarray, "H W 3"], before: Float[np.ndarray, "j 2"] | None
    ) -> "_Reading":
        """Joints and hands of one picture, near to where the joints were in the one before."""
        if self.is_reversed:
            picture = np.ascontiguousarray(picture[..., ::-1])
        layers, corner = _cropped(Layers.of(picture))
        candidates = joint_candidates(layers, radius=self.radius, num_joints=NUM_JOINTS)
        candidates = with_hidden_head(layers, candidates, radius=self.radius)
        if before is not None:
            candidates = [
                _with_memory(one, before[joint] - corner, reach=20 * self.radius)
                for joint, one in enumerate(candidates)
            ]
        places, scores, fit = best_tree(layers, candidates)
        hands, found = read_hands(layers, places, scores, radius=self.radius)
        return _Reading(
            places=places + corner, scores=scores, fit=fit, hands=hands + corner, hands_found=found
        )


def _cropped(layers: Layers) -> tuple[Layers, Float[np.ndarray, " 2"]]:
    """The part in which something is drawn, and where it begins."""
    rows = np.flatnonzero(~layers.black.all(axis=1))
    columns = np.flatnonzero(~layers.black.all(axis=0))
    if len(rows) == 0:
        return layers, np.zeros(2)
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cropped = Layers(
        joint=layers.joint[part],
        limb=layers.limb[part],
        bright=layers.bright[part],
        unsaturated=layers.unsaturated[part],
        black=layers.black[part],
    )
    return cropped, np.array([columns[0], rows[0]], dtype=np.float64)


def _with_memory(
    candidates: Candidates, before: Float[np.ndarray, " 2"], *, reach: float
) -> Candidates:
    """Counts it against a place to lie far from where the joint was in the frame before."""
    if np.isnan(before).any() or len(candidates.places) == 0:
        return candidates
    distance = np.hypot(*(candidates.places - before).T)
    jump = _JUMP_COST * np.minimum(distance / reach, 1.0)
    return replace(candidates, cost=jump)


def best_tree(
    layers: Layers, candidates: list[Candidates]
) -> tuple[Float[np.ndarray, "j 2"], Float[np.ndarray, " j"], float]:
    """Chooses one candidate, or none, for every joint so that discs and limbs fit best together.

    The limbs form a tree, so that the best choice is found exactly by dynamic programming from
    the outer joints to the neck.

    Returns:
        Places (0 where a joint is missing), scores from 0 (missing) to 1, and the total fit.
    """
    value = [np.append(one.quality - one.cost - _LEAST_QUALITY, 0.0) for one in candidates]
    choice: dict[int, np.ndarray] = {}
    support: dict[int, np.ndarray] = {}
    for limb in sorted(range(len(LIMBS)), key=lambda one: -_DEPTH[LIMBS[one][1]]):
        start, end = LIMBS[limb]
        pair = np.zeros((len(value[start]), len(value[end])))
        pair[-1, :-1] = -_ORPHAN_COST
        seen = limb_support(
            layers,
            limb,
            candidates[start].places,
            candidates[end].places,
            black_cost=_HEAD_BLACK_COST if limb in _HEAD_LIMBS else _BLACK_COST,
        )
        pair[:-1, :-1] = seen - (_FOOT_COST if end >= LEFT_TOES else _LIMB_COST)
        total = pair + value[end][None, :]
        choice[limb], support[limb] = total.argmax(axis=1), seen
        value[start] = value[start] + total.max(axis=1)
    places, scores = np.zeros((NUM_JOINTS, 2)), np.zeros(NUM_JOINTS)
    chosen = {NECK: int(value[NECK].argmax())}
    for limb in sorted(range(len(LIMBS)), key=lambda one: _DEPTH[LIMBS[one][1]]):
        start, end = LIMBS[limb]
        chosen[end] = int(choice[limb][chosen[start]])
    for joint, one in chosen.items():
        if one < len(candidates[joint].places):
            places[joint] = candidates[joint].places[one]
            scores[joint] = float(np.clip(candidates[joint].quality[one], 0.05, 1.0))
    return places, scores, float(value[NECK].max())


def _depths() -> dict[int, int]:
    """How many limbs lie between each joint and the neck."""
    depth = {NECK: 0}
    while len(depth) < NUM_JOINTS:
        for start, end in LIMBS:
            if start in depth:
                depth[end] = depth[start] + 1
    return depth


_DEPTH = _depths()


def shows_skeletons(pictures: list[UInt8[np.ndarray, "H W 3"]]) -> bool:
    """Whether pictures are skeletons on black rather than footage.

    They are when most of each is black, joints in the known colours form skeletons, and these,
    drawn again, cover most of what is not black. A person before a black wall is no skeleton.
    """
    try:
        poses = read_skeletons(pictures, fps=1.0)
    except PoseError:
        return False
    again = draw_skeletons(poses, style="dwpose") > 0
    covered = total = 0
    for picture, drawn in zip(pictures, again, strict=True):
        shown = ~Layers.of(picture).black
        reach = np.ones((_COVER, _COVER), np.uint8)
        near = cv2.dilate(drawn.any(axis=2).astype(np.uint8), reach) > 0
        covered += int((shown & near).sum())
        total += int(shown.sum())
    return covered > 0.5 * total


def read_skeletons(
    frames: Iterable[UInt8[np.ndarray, "H W 3"]],
    *,
    fps: float | int,
    report: Callable[[int, int], None] | None = None,
) -> Poses:
    """Finds the keypoints in pictures of a skeleton on black, DWPose's or UniAnimate's.

    The order of the colour channels is found out. In each frame every joint has candidates
    (discs in its colour, ends of its limbs), and the best tree of joints and limbs is chosen.
    Joints missing for a moment are interpolated. Of a hand only its place, direction and size
    can be read, and an open hand is given; face points are not read.

    Args:
        frames: RGB pictures of one size, lossless or from a video with half-resolution colours.
            They are gone through three times; what gives new ones each time is never held whole.
        fps: their rate.
        report: called with how many are read, and how many there are.

    Returns:
        Body, feet where drawn, and hands. Scores tell how clearly a joint was seen; those of
        hands are 0.3, of interpolated joints 0.1.

    Raises:
        PoseError: there is no frame, or these are not pictures of a skeleton on black.
    """
    pictures = list(frames) if isinstance(frames, Iterator) else frames
    count = sum(1 for _ in pictures)
    probes = _probes(pictures, count)
    if not probes:
        raise PoseError("a skeleton video must have at least one frame: got 0")
    height, width = probes[0].shape[:2]
    reader = _Reader.of(probes)
    readings: list[_Reading] = []
    for picture in pictures:
        readings.append(reader.read(picture, readings[-1].known if readings else None))
        if report is not None:
            report(len(readings), count)
    body = np.stack([one.places for one in readings])
    scores = np.stack([one.scores for one in readings])
    if (scores[:, :14] > 0).sum(axis=1).mean() < 3:
        raise PoseError("not a skeleton on black: its colours are not DWPose's or UniAnimate's")
    if (scores[:, LEFT_TOES:] > 0).mean() < 0.5:  # DWPose draws no feet
        scores[:, LEFT_TOES:] = 0.0
    fill_gaps(body, scores, max_gap=max(2, round(fps / 4)))
    hands = np.stack([one.hands for one in readings])
    found = np.stack([one.hands_found for one in readings])
    return _assembled(body, scores, hands, found, size=(width, height), fps=fps)


def _probes(pictures: Iterable[UInt8[np.ndarray, "H W 3"]], count: int) -> list[np.ndarray]:
    """A few pictures from all over a clip, its first and last among them."""
    which = set(np.linspace(0, count - 1, min(_NUM_PROBES, count)).astype(int).tolist())
    return [picture for number, picture in enumerate(pictures) if number in which]


def _assembled(
    body: Float[np.ndarray, "f j 2"],
    scores: Float[np.ndarray, "f j"],
    hands: Float[np.ndarray, "f 2 21 2"],
    found: Bool[np.ndarray, "f 2"],
    *,
    size: tuple[int, int],
    fps: float | int,
) -> Poses:
    num_frames = len(body)
    poses = OpenPoses(
        body=body,
        body_visible=scores > 0,
        hands=hands,
        hands_visible=np.repeat(found[:, :, None], 21, axis=2),
        face=np.zeros((num_frames, 68, 2)),
        face_visible=np.zeros((num_frames, 68), dtype=np.bool_),
        size=size,
        fps=fps,
    ).coco()
    coco_scores = np.zeros((num_frames, NUM_KEYPOINTS), dtype=np.float32)
    for joint, coco in enumerate(COCO_OF_JOINT):
        if coco >= 0:
            coco_scores[:, coco] = scores[:, joint]
    coco_scores[:, [17, 18]], coco_scores[:, [20, 21]] = scores[:, 18:19], scores[:, 19:20]
    coco_scores[:, LEFT_HAND] = HAND_SCORE * found[:, :1]
    coco_scores[:, RIGHT_HAND] = HAND_SCORE * found[:, 1:]
    return Poses(
        poses.keypoints, scores=coco_scores, visible=poses.visible, size=size, fps=float(fps)
    )
