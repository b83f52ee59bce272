"""When two matrix products are sooner than torch's fused attention on a CPU.

A table of ratios, products over fused, least of several turns in one run::

    python benchmarks/attention.py --threads 1
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SHAPES = (
    (1024, 4, 16, 16, 16),
    (256, 4, 16, 16, 16),
    (16, 4, 64, 64, 32),
    (16, 4, 64, 81, 32),
    (16, 4, 64, 128, 32),
    (16, 4, 256, 17, 16),
    (16, 4, 256, 81, 16),
    (16, 4, 256, 128, 16),
    (16, 4, 256, 256, 16),
    (16, 4, 256, 512, 16),
)
"""(clips or frames, heads, tokens that ask, tokens asked, width) of the built-in networks."""

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def products(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention as two matrix products."""
    query, keys, values = (part.flatten(0, 1) for part in (query, key, value))
    logits = torch.bmm(query * query.shape[-1] ** -0.5, keys.transpose(1, 2))
    return torch.bmm(logits.softmax(-1).to(value.dtype), values)


def seconds(attention: Attention, parts: list[Tensor], *, gradients: bool) -> float:
    """Wall seconds of one evaluation, with its gradients if asked for."""
    begin = time.perf_counter()
    if gradients:
        attention(*(part.requires_grad_() for part in parts)).sum().backward()
    else:
        with torch.no_grad():
            attention(*parts)
    return time.perf_counter() - begin


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bfloat16", action="store_true", help="slow where the CPU has none")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    dtype = torch.bfloat16 if chosen.bfloat16 else torch.float32
    print(f"| batch, heads, queries, keys, width | {dtype}, training | without gradients |")
    print("|---|---|---|")
    for *batch, asking, asked, width in SHAPES:
        ratios = []
        for gradients in (True, False):
            best = [float("inf")] * 2
            for _ in range(chosen.rounds):
                for index, way in enumerate((products, functional.scaled_dot_product_attention)):
                    lengths = (asking, asked, asked)
                    parts = [torch.randn(*batch, n, width, dtype=dtype) for n in lengths]
                    best[index] = min(best[index], seconds(way, parts, gradients=gradients))
            ratios.append(f"{best[0] / best[1]:.2f} x")
        shape = ", ".join(map(str, (*batch, asking, asked, width)))
        print(f"| {shape} | {' | '.join(ratios)} |", flush=True)


if __name__ == "__main__":
    main()
