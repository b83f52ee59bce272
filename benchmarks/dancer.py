"""Frames a second of the procedural dancer, every map included: python benchmarks/dancer.py.

The CPU is timed with 1 and 2 threads, by wall time and by processor time (which a busy machine
disturbs less); an accelerator, where there is one, with more clips at once.
"""

import argparse
import time

import torch

from quickstep.data.dancer import DancerSeeds, render_clips

SIZES = (128, 256)


def measure(*, device: str, size: int, clips: int, frames: int, preset: str) -> tuple[float, float]:
    """Wall and processor milliseconds for one frame, references counted as frames."""
    seeds = [DancerSeeds.of(index) for index in range(clips)]

    def once() -> None:
        render_clips(seeds, num_frames=frames, size=size, preset=preset, device=device)
        if device != "cpu":
            torch.accelerator.synchronize()

    once()
    wall, processor, runs = time.perf_counter(), time.process_time(), 0
    while runs < 2 or time.perf_counter() - wall < 3.0:
        once()
        runs += 1
    count = runs * clips * (frames + 1) / 1e3
    return (time.perf_counter() - wall) / count, (time.process_time() - processor) / count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="plain")
    parser.add_argument("--frames", type=int, default=16)
    chosen = parser.parse_args()
    places = [("cpu", 1, 8), ("cpu", 2, 8)]
    if torch.accelerator.is_available():
        name = torch.accelerator.current_accelerator()
        places.append((str(name), torch.get_num_threads(), 64))
    print("| device | threads | size | ms a frame | frames a second | processor ms a frame |")
    print("|---|---|---|---|---|---|")
    for device, threads, clips in places:
        torch.set_num_threads(threads)
        for size in SIZES:
            wall, processor = measure(
                device=device, size=size, clips=clips, frames=chosen.frames, preset=chosen.preset
            )
            row = (device, threads, size, f"{wall:.1f}", f"{1e3 / wall:.0f}", f"{processor:.1f}")
            print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


if __name__ == "__main__":
    main()
