"""UniAnimate's network (Wang et al., 2024): the facts of the public checkpoint, our own code."""

from quickstep.networks.unianimate.conditions import UniAnimateConditions, UniAnimateFeatures
from quickstep.networks.unianimate.network import UniAnimateUNet, apply_head

__all__ = ["UniAnimateConditions", "UniAnimateFeatures", "UniAnimateUNet", "apply_head"]
