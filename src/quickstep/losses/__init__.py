"""Losses as pure functions: elementwise or per sample; the method weighs and reduces them."""

from quickstep.losses.distance import euclidean, pseudo_huber, squared
from quickstep.losses.motion import (
    MotionNorm,
    cells_with,
    motion_mask,
    motion_weight,
    moving_cells,
)

__all__ = [
    "MotionNorm",
    "cells_with",
    "euclidean",
    "motion_mask",
    "motion_weight",
    "moving_cells",
    "pseudo_huber",
    "squared",
]
