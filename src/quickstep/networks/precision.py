"""The number type that networks compute in."""

from functools import cache
from typing import Literal, TypeAlias

import torch

Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
"""`auto` is bf16 on machines that multiply it faster than float32, and fp32 on all others."""

_PRODUCTS = ("avx512_bf16", "amx_bf16", "bf16")
"""What processors call their products of bfloat16: x86's two, and ARM's."""


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Mixed precision, or none.

    Without a cache of cast weights: one that was first cast in a pass without gradient would be
    reused without a gradient in the student's pass.

    Args:
        device: where the networks are.
        precision: of their products.
    """
    bf16 = is_bf16(precision, device)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16, cache_enabled=False)


def is_bf16(precision: Precision, device: torch.device) -> bool:
    """Whether products are computed in bfloat16 on a device.

    Args:
        precision: as it was asked for.
        device: where the networks are.
    """
    return precision == "bf16" or (precision == "auto" and _multiplies_bfloat16(device.type))


@cache
def _multiplies_bfloat16(device: str) -> bool:
    # Where products are emulated, they are slower than float32's: eight times on an AMD of 2021.
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    if capabilities is None:  # an older torch
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
    known = capabilities()
    return any(known.get(name, False) for name in _PRODUCTS)
