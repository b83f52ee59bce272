"""Losses as pure functions: elementwise or per sample; the method weighs and reduces them."""

from quickstep.losses.contrastive import (
    negative_sampling,
    sample_distance,
    target_aggregation,
)
from quickstep.losses.distance import euclidean, pseudo_huber, squared
from quickstep.losses.motion import (
    MotionNorm,
    cells_with,
    motion_mask,
    motion_weight,
    moving_cells,
)
from quickstep.losses.temporal import Center, self_dependency, temporal_aggregation

__all__ = [
    "Center",
    "MotionNorm",
    "cells_with",
    "euclidean",
    "motion_mask",
    "motion_weight",
    "moving_cells",
    "negative_sampling",
    "pseudo_huber",
    "sample_distance",
    "self_dependency",
    "squared",
    "target_aggregation",
    "temporal_aggregation",
]
