"""Which family a model is of, and how it is told of a batch."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from quickstep.networks.folder import Settings
from quickstep.teachers.champ import champ_conditions
from quickstep.teachers.unianimate import unianimate_conditions


def conditions_of(settings: Settings) -> Callable[[Mapping[str, Tensor]], Any]:
    """How a model of these settings is told of a batch."""
    if settings.family == "champ":
        return partial(champ_conditions, is_still=settings.frames == 1)
    return partial(unianimate_conditions, reference_everywhere=settings.reference_everywhere)
