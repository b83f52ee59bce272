"""The number type that networks compute in while they learn."""

import torch


def autocast(device: torch.device, *, bf16: bool) -> torch.autocast:
    """Mixed precision, or none.

    Without a cache of cast weights: one that was first cast in a pass without gradient would be
    reused without a gradient in the student's pass.

    Args:
        device: where the networks are.
        bf16: whether products are computed in bfloat16.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16, cache_enabled=False)
