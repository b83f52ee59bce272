"""The dance: what every joint is asked to do at a time, on a beat, drawn from one seed.

Movements are key values on beats, joined by smooth steps (the velocity is zero on each key), over
a groove of sines in time with the beat: bounce, sway, twist, nod.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quickstep.data.dancer.arm_poses import ARM_POSES
from quickstep.data.dancer.seeds import stream

LEAD_IN = 8.0
"""Seconds of dance before time 0, from which references of another moment are taken."""

_KEY_WIDTH = 40


@dataclass(frozen=True)
class Pose:
    """What the body is asked to do in each of n moments.

    Angles in radians; lengths in leg lengths, so that a dance fits any body. Sides are (left,
    right). Arm directions are unit vectors in the chest's frame (x to the person's left, y up,
    z to the front). `foot` is relative to the place under the pelvis in rest, turned with it.
    """

    yaw: Float[np.ndarray, " n"]
    shift: Float[np.ndarray, "n 3"]
    pelvis: Float[np.ndarray, "n 3"]
    spine: Float[np.ndarray, "n 3"]
    head: Float[np.ndarray, "n 3"]
    shrug: Float[np.ndarray, "n 2"]
    upper_arm: Float[np.ndarray, "n 2 3"]
    forearm: Float[np.ndarray, "n 2 3"]
    wrist: Float[np.ndarray, "n 2"]
    curl: Float[np.ndarray, "n 2"]
    foot: Float[np.ndarray, "n 2 3"]
    foot_yaw: Float[np.ndarray, "n 2"]
    mouth: Float[np.ndarray, " n"]
    blink: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Motion:
    """A dance of any length: style numbers, and a key row for every beat drawn as needed."""

    seed: int
    tempo: float
    phase: float
    hold: int
    energy: float
    bounce: float
    sway: float
    twist: float
    mirror: float
    turn: float
    stance: float
    step: float
    lift: float
    catwalk: bool

    def pose_at(self, times: Float[np.ndarray, " n"]) -> Pose:
        """The pose at each time, in seconds; from -`LEAD_IN` on.

        Raises:
            ValueError: a time lies before the dance begins.
        """
        if len(times) and times.min() < -LEAD_IN:
            raise ValueError(f"times must be -{LEAD_IN:g} s or later: got {times.min():g}")
        beats = (times + LEAD_IN) * self.tempo + self.phase
        last = int(beats.max()) + 10 if len(beats) else 10
        keys = stream(self.seed + 1_000_003, role="motion").random((last, _KEY_WIDTH))
        return _pose(self, keys, beats=beats, times=times)


def draw_motion(seed: int, *, catwalk: bool = False) -> Motion:
    """The dance of a motion seed; `catwalk` makes it one slow turn on the spot."""
    rng = stream(seed, role="motion")
    return Motion(
        seed=seed,
        tempo=float(rng.uniform(1.4, 2.1)),
        phase=float(rng.uniform(0.0, 8.0)),
        hold=int(rng.choice((1, 2), p=(0.65, 0.35))),
        energy=float(rng.uniform(0.75, 1.15)),
        bounce=float(rng.uniform(0.02, 0.075)),
        sway=float(rng.uniform(0.02, 0.09)),
        twist=float(rng.uniform(0.05, 0.30)),
        mirror=float(rng.random()),
        turn=float(rng.choice((0.35, 0.9, 1.7, 3.1), p=(0.4, 0.3, 0.2, 0.1))),
        stance=float(rng.uniform(0.13, 0.26)),
        step=float(rng.uniform(0.0, 0.22)),
        lift=float(rng.uniform(0.0, 0.22)),
        catwalk=catwalk,
    )


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * x * (x * (6.0 * x - 15.0) + 10.0)


def _between(
    keys: np.ndarray, beats: np.ndarray, *, every: int = 1, share: float = 0.9
) -> np.ndarray:
    """Key values joined by smooth steps: one key every `every` beats, moving for `share` of it."""
    place = beats / every
    index = np.floor(place).astype(int)
    weight = _smooth((place - index) / share)
    weight = weight.reshape(-1, *([1] * (keys.ndim - 1)))
    return keys[index * every] * (1 - weight) + keys[(index + 1) * every] * weight


def _signed(keys: np.ndarray) -> np.ndarray:
    return 2.0 * keys - 1.0


def _yaw(motion: Motion, keys: np.ndarray, *, beats: np.ndarray, times: np.ndarray) -> np.ndarray:
    if motion.catwalk:
        direction = 1.0 if motion.mirror < 0.5 else -1.0
        return direction * 2 * np.pi * (times / (5.0 + 2.0 * motion.energy) + motion.phase / 8.0)
    targets = _signed(keys[:, 0]) ** 3 * motion.turn + 0.25 * _signed(keys[:, 1])
    return _between(targets, beats, every=4, share=0.6)


def _arms(motion: Motion, keys: np.ndarray, beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Directions (n, 2, 6): upper arm and forearm of each side, and hand curls (n, 2)."""
    picks = (keys[:, 2:4] * len(ARM_POSES)).astype(int)
    same = keys[:, 4] < motion.mirror
    picks[:, 1] = np.where(same, picks[:, 0], picks[:, 1])
    if motion.catwalk:
        picks = (keys[:, 2:4] * 2).astype(int)
    poses = ARM_POSES[picks] + 0.16 * _signed(keys[:, 5:17]).reshape(-1, 2, 6)
    values = _between(poses, beats, every=motion.hold)
    swing = np.sin(np.pi * beats)[:, None]
    amount = 0.05 if motion.catwalk else 0.13 * motion.energy
    values[:, 0] += amount * swing * np.array((0.0, 0.4, 1.0, 0.5, 0.8, 0.6))
    values[:, 1] -= amount * swing * np.array((0.0, 0.4, 1.0, 0.5, 0.8, 0.6))
    values[:, 1, 0::3] *= -1.0  # the table is for the left arm
    curls = _between(keys[:, 17:19] ** 1.5, beats, every=motion.hold)
    return values, curls


def _feet(motion: Motion, keys: np.ndarray, *, beats: np.ndarray) -> np.ndarray:
    """Feet: a stance, one of them stepping on every beat, left and right in turn."""
    count = len(keys)
    side = np.array((1.0, -1.0))
    place = np.zeros((count, 2, 3))
    place[:, :, 0] = side * motion.stance
    still = 0.15 if motion.catwalk else 1.0
    for foot in range(2):
        turn = (np.arange(count) + foot) // 2 * 2 - foot  # a foot keeps its key for two beats
        chosen = keys[np.clip(turn, 0, count - 1)]
        place[:, foot, 0] += side[foot] * motion.step * still * (chosen[:, 19] - 0.3)
        place[:, foot, 2] += motion.step * still * 0.8 * _signed(chosen[:, 20])
    foot = _between(place, beats, share=0.8)
    cycle = beats % 2.0
    for index, start in enumerate((0.0, 1.0)):
        swing = np.clip((cycle - start) % 2.0, 0.0, 1.0)
        foot[:, index, 1] = motion.lift * still * np.sin(np.pi * swing) ** 2
    return foot


def _pose(motion: Motion, keys: np.ndarray, *, beats: np.ndarray, times: np.ndarray) -> Pose:
    calm = 0.3 if motion.catwalk else motion.energy
    arms, curls = _arms(motion, keys, beats)
    beat, half = np.cos(2 * np.pi * beats), np.sin(np.pi * beats)
    dip = motion.bounce * calm * (0.5 + 0.5 * beat)
    lean = _between(_signed(keys[:, 21:24]), beats, every=2)
    hips = _between(_signed(keys[:, 24:27]), beats, every=2)
    look = _between(_signed(keys[:, 27:30]), beats, every=2)
    shift = np.stack(
        (motion.sway * calm * half + 0.02 * hips[:, 0], -dip, 0.03 * calm * hips[:, 1]), axis=-1
    )
    pelvis = np.stack(
        (0.06 * hips[:, 2] * calm, 0.5 * motion.twist * calm * half, -0.10 * calm * half), axis=-1
    )
    spine = np.stack(
        (
            0.10 + 0.16 * lean[:, 0] * calm + 0.04 * calm * beat,
            -motion.twist * calm * half + 0.25 * calm * lean[:, 1],
            0.14 * calm * half + 0.12 * calm * lean[:, 2],
        ),
        axis=-1,
    )
    head = np.stack(
        (0.12 * look[:, 0] + 0.08 * calm * beat - 0.04, 0.45 * look[:, 1], 0.16 * look[:, 2]),
        axis=-1,
    )
    blink_at = _between(keys[:, 30], beats, every=2, share=1.0)
    return Pose(
        yaw=_yaw(motion, keys, beats=beats, times=times),
        shift=shift,
        pelvis=pelvis,
        spine=spine,
        head=head,
        shrug=0.10 * calm * np.stack((beat + half, beat - half), axis=-1),
        upper_arm=arms[:, :, :3],
        forearm=arms[:, :, 3:],
        wrist=_between(_signed(keys[:, 31:33]), beats, every=motion.hold) * 0.5,
        curl=curls,
        foot=_feet(motion, keys, beats=beats),
        foot_yaw=0.18 + 0.25 * _between(keys[:, 33:35], beats, every=2),
        mouth=np.clip(_between(keys[:, 35], beats) * 1.6 - 0.7, 0.0, 1.0),
        blink=(np.abs((beats % 4.0) - 3.7 * blink_at) < 0.12).astype(float),
    )
