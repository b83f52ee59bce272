"""Arm poses that dances move between: directions of the left upper arm and forearm.

In the chest's frame: x to the person's left, y up, z to the front. The first two hang down and
are the calm ones.
"""

import numpy as np

_POSES = (
    ((0.22, -0.95, 0.05), (0.15, -0.95, 0.25)),  # hanging
    ((0.35, -0.90, 0.00), (0.10, -0.80, 0.55)),  # hanging, elbow loose
    ((0.70, -0.65, -0.20), (-0.65, -0.45, 0.55)),  # hand on hip
    ((0.95, 0.05, 0.10), (0.95, 0.10, 0.20)),  # straight to the side
    ((0.80, -0.45, 0.15), (0.85, 0.35, 0.30)),  # low, hand out
    ((0.85, 0.10, 0.15), (0.15, 0.95, 0.20)),  # goalpost, hand up
    ((0.85, 0.05, 0.20), (0.25, -0.90, 0.30)),  # goalpost, hand down
    ((0.50, 0.85, 0.10), (0.35, 0.92, 0.10)),  # raised in a V
    ((0.35, 0.90, 0.15), (-0.45, 0.85, 0.10)),  # arch over the head
    ((0.75, 0.55, -0.15), (-0.60, 0.60, -0.15)),  # hand behind the head
    ((0.30, -0.15, 0.92), (0.05, 0.15, 0.95)),  # pointing to the front
    ((0.45, -0.60, 0.60), (-0.55, 0.30, 0.70)),  # hand before the chest
    ((0.45, -0.75, 0.30), (0.20, 0.75, 0.60)),  # fist up, elbow low
    ((0.30, 0.10, 0.85), (-0.80, 0.15, 0.35)),  # across the chest
    ((0.80, 0.35, 0.25), (0.90, 0.45, 0.20)),  # diagonal up
    ((0.75, -0.60, 0.05), (0.80, -0.55, 0.25)),  # diagonal down
    ((0.45, -0.80, -0.40), (0.25, -0.75, -0.15)),  # drawn back
    ((0.60, 0.25, 0.60), (0.10, 0.90, 0.30)),  # wave
    ((0.35, -0.85, 0.25), (-0.15, -0.15, 0.95)),  # forearm to the front
    ((0.65, -0.70, 0.15), (0.65, 0.10, 0.70)),  # palms offered
)

ARM_POSES = np.array(_POSES).reshape(len(_POSES), 6)
"""(pose, 6): upper arm direction and forearm direction, each near unit length."""
