"""Losses as pure functions: elementwise or per sample; the method weighs and reduces them."""

from quickstep.losses.distance import pseudo_huber, squared

__all__ = ["pseudo_huber", "squared"]
