"""Times UniAnimate's network at small sizes on CPU: python benchmarks/unianimate.py.

Each row is one training step (encode, forward, backward) of some configuration. Wall time is what
a user waits; processor time is disturbed less by a busy machine. `--compare` sets fused attention
against the plain products that the network prefers on CPU, and float32 against bf16, as ratios
from one run, the variants taking turns.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from quickstep.networks.unianimate import (
    UniAnimateConditions,
    UniAnimateFeatures,
    UniAnimateUNet,
)
from quickstep.networks.unianimate import attention as attention_module

HEADS: dict[str, Any] = dict(head_dim=32, num_first_heads=2)
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "64x(1,2) everywhere": dict(width=64, multipliers=(1, 2), attn_scales=(1.0, 0.5), **HEADS),
    "64x(1,2,2) everywhere": dict(
        width=64, multipliers=(1, 2, 2), attn_scales=(1.0, 0.5, 0.25), **HEADS
    ),
    "64x(1,2,2) below the top": dict(
        width=64, multipliers=(1, 2, 2), attn_scales=(0.5, 0.25), **HEADS
    ),
    "64x(1,2,3) below the top": dict(
        width=64, multipliers=(1, 2, 3), attn_scales=(0.5, 0.25), **HEADS
    ),
}
SHARED: dict[str, Any] = dict(
    in_channels=8,
    out_channels=8,
    num_res_blocks=1,
    context_width=128,
    num_text_tokens=0,
    resolution=(128, 128),
    dropout=0.0,
)

Clip = tuple[UniAnimateConditions, Tensor, Tensor]


def clip(*, batch: int, frames: int, channels: int = 8, cells: int = 16) -> Clip:
    """Random conditions, noisy latents and times."""
    pixels = 8 * cells
    conditions = UniAnimateConditions(
        image=torch.randn(batch, 1, 128),
        reference=torch.randn(batch, channels, cells, cells),
        pose=torch.rand(batch, frames, 3, pixels, pixels),
        reference_pose=torch.rand(batch, 3, pixels, pixels),
    )
    noisy = torch.randn(batch, frames, channels, cells, cells)
    return conditions, noisy, torch.randint(0, 1000, (batch,))


def training_step(network: UniAnimateUNet, inputs: Clip, *, bf16: bool) -> None:
    """Encode, forward, backward."""
    conditions, noisy, t = inputs
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        prediction = network(noisy, t, network.encode(conditions))
    (prediction.float() - noisy).square().mean().backward()


@torch.no_grad()
def denoising_step(
    network: UniAnimateUNet, inputs: Clip, features: UniAnimateFeatures, *, bf16: bool
) -> None:
    """One forward pass, as in sampling."""
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        network(inputs[1], inputs[2], features)


def seconds(*actions: Callable[[], None], rounds: int) -> list[tuple[float, float]]:
    """Least wall and processor seconds of each action, which take turns."""
    best = [(float("inf"), float("inf"))] * len(actions)
    for number in range(rounds + 1):
        for index, action in enumerate(actions):
            wall, processor = time.perf_counter(), time.process_time()
            action()
            spent = (time.perf_counter() - wall, time.process_time() - processor)
            if number:  # The first round warms up.
                best[index] = (min(best[index][0], spent[0]), min(best[index][1], spent[1]))
    return best


@contextmanager
def fused_attention() -> Iterator[None]:
    """Lets the network use torch's fused attention alone."""
    ours = attention_module.attention
    attention_module.attention = functional.scaled_dot_product_attention
    try:
        yield
    finally:
        attention_module.attention = ours


def fused_step(network: UniAnimateUNet, inputs: Clip) -> None:
    """A training step in bf16 with fused attention."""
    with fused_attention():
        training_step(network, inputs, bf16=True)


def configurations(*, batch: int, frames: list[int], threads: list[int], rounds: int) -> None:
    """Prints a row for every configuration, clip length and number of threads."""
    print("| configuration | parameters | frames | threads | wall s | processor s | forward s |")
    print("|---|---|---|---|---|---|---|")
    for name, shape in CONFIGURATIONS.items():
        network = UniAnimateUNet(**SHARED, **shape)
        for length in frames:
            inputs = clip(batch=batch, frames=length)
            with torch.no_grad():
                features = network.encode(inputs[0])
            for count in threads:
                torch.set_num_threads(count)
                (wall, processor), (forward, _) = seconds(
                    lambda network=network, inputs=inputs: training_step(
                        network, inputs, bf16=True
                    ),
                    lambda network=network, inputs=inputs, features=features: denoising_step(
                        network, inputs, features, bf16=True
                    ),
                    rounds=rounds,
                )
                size = f"{network.num_parameters() / 1e6:.1f} M"
                times = (f"{value:.2f}" for value in (wall, processor, forward))
                row = (name, size, str(length), str(count), *times)
                print("| " + " | ".join(row) + " |", flush=True)


def comparison(*, batch: int, frames: list[int], rounds: int) -> None:
    """Prints how much longer a step takes in float32, and with fused attention."""
    network = UniAnimateUNet(**SHARED, **CONFIGURATIONS["64x(1,2,2) everywhere"])
    torch.set_num_threads(1)
    print("| frames | bf16, plain | float32 | bf16, fused attention |")
    print("|---|---|---|---|")
    for length in frames:
        inputs = clip(batch=batch, frames=length)
        times = seconds(
            lambda inputs=inputs: training_step(network, inputs, bf16=True),
            lambda inputs=inputs: training_step(network, inputs, bf16=False),
            lambda inputs=inputs: fused_step(network, inputs),
            rounds=rounds,
        )
        ours = times[0][1]
        ratios = " | ".join(f"{processor / ours:.2f} x" for _, processor in times)
        print(f"| {length} | {ratios} |", flush=True)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, nargs="+", default=[5, 16])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compare", action="store_true")
    chosen = parser.parse_args()
    if chosen.compare:
        comparison(batch=chosen.batch, frames=chosen.frames, rounds=chosen.rounds)
        return
    configurations(
        batch=chosen.batch, frames=chosen.frames, threads=chosen.threads, rounds=chosen.rounds
    )


if __name__ == "__main__":
    main()
