"""Persons seen in several places, so that nothing but the person tells them apart."""

from dataclasses import dataclass

import numpy as np

from quickstep.data.dancer import DancerSeeds
from quickstep.data.prepared import DancerData


@dataclass(frozen=True, kw_only=True)
class PeopleData(DancerData):
    """Several clips of every person, each of another dance, camera, room and light.

    Attributes:
        scenes: clips of each person; they follow each other.
    """

    scenes: int = 3

    def seeds(self, index: int) -> DancerSeeds:
        """The person changes with every `scenes`-th clip, everything else with each."""
        number = self.first_seed + index
        return DancerSeeds(
            identity=self.first_seed + index // self.scenes,
            motion=number,
            camera=number,
            scene=number,
        )


def two_scenes(
    rng: np.random.Generator, *, count: int, clips: int, scenes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Clips of different persons, twice each: in two of the person's scenes.

    Args:
        rng: draws.
        count: persons.
        clips: clips of the set, `scenes` of each person in a row.
        scenes: clips of each person; with 1 both are the same clip.

    Returns:
        The clips' numbers, ``count`` of them each time.
    """
    persons = rng.choice(clips // scenes, size=count, replace=False)
    first = rng.integers(scenes, size=count)
    second = (first + rng.integers(1, max(scenes, 2), size=count)) % scenes
    return persons * scenes + first, persons * scenes + second
