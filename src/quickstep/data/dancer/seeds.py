"""Seeds of a clip: who dances, how, seen from where, and in which room, each drawn on its own."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Split = Literal["train", "validation", "test"]
Role = Literal["identity", "motion", "camera", "scene"]

VALIDATION_START = 1_000_000
"""Identity seeds below this are for training; from here on they are for choosing settings."""
TEST_START = 2_000_000
"""Identity seeds from here on are for the final tables only: no recipe may train on them."""

_ROLE_KEYS: dict[Role, int] = {"identity": 11, "motion": 23, "camera": 37, "scene": 53}


@dataclass(frozen=True)
class DancerSeeds:
    """The four seeds of a clip. Changing one changes only what it names.

    Attributes:
        identity: the person: body, face, hair, clothes. Decides the split, see `split_of`.
        motion: the dance.
        camera: framing and point of view.
        scene: background and light.

    Raises:
        ValueError: a seed is negative.
    """

    identity: int
    motion: int
    camera: int
    scene: int

    def __post_init__(self) -> None:
        for role in _ROLE_KEYS:
            if (value := getattr(self, role)) < 0:
                raise ValueError(f"DancerSeeds.{role} must be 0 or more: got {role}={value}")

    @classmethod
    def of(cls, seed: int) -> "DancerSeeds":
        """The same number in all four roles, which draw from unrelated streams all the same."""
        return cls(identity=seed, motion=seed, camera=seed, scene=seed)


def split_of(identity_seed: int) -> Split:
    """The split that an identity belongs to, by its seed alone.

    Raises:
        ValueError: the seed is negative.

    Example:
        >>> [split_of(seed) for seed in (999_999, 1_000_000, 2_000_000)]
        ['train', 'validation', 'test']
    """
    if identity_seed < 0:
        raise ValueError(f"identity_seed must be 0 or more: got {identity_seed}")
    if identity_seed < VALIDATION_START:
        return "train"
    return "validation" if identity_seed < TEST_START else "test"


def stream(seed: int, *, role: Role) -> np.random.Generator:
    """Random numbers of one role: a Philox counter stream keyed by the role and the seed."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence((_ROLE_KEYS[role], seed))))
