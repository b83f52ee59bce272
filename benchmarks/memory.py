"""Peak memory of ``quickstep animate`` for dances of several lengths, a process for each.

    python benchmarks/memory.py                                  # 32, 128 and 512 frames
    python benchmarks/memory.py --lengths 32 512 --options --vae-slicing
    python benchmarks/memory.py --json docs/results/memory.json

The peak is what the kernel says of the process at its end (``VmHWM``): Python, its libraries, the
weights and all that was made, from the first import to the written mp4. ``loaded`` is the same of a
process that imports what the command imports and loads the model, and does no more. ``changes`` are
what slices and tiles do to the bytes of 16 frames.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quickstep import Animator
from quickstep.data.dancer import TEST_START, DancerClip, DancerSeeds, render_clip
from quickstep.data.dancer_poses import dancer_poses
from quickstep.data.image import write_image
from quickstep.networks.folder import find_model, read_settings

TELL = """
import atexit, sys
def tell():
    lines = open("/proc/self/status").read().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    open(sys.argv[1], "w").write(peak.split()[1])
atexit.register(tell)
"""
"""Of a process itself, as the kernel counts a child's peak from its parent's size on."""

LOAD = """
from quickstep.animation.animator import Animator
from quickstep.apps import rendering
Animator.from_pretrained(sys.argv[2])
"""

ANIMATE = """
from quickstep.apps.cli import main
sys.exit(main(sys.argv[2:]))
"""


def main() -> None:
    options = parsed()
    longest, size = max(options.lengths), read_settings(find_model(options.model)).size[0]
    clip = render_clip(DancerSeeds.of(TEST_START), num_frames=longest, size=size)
    poses = dancer_poses(clip)
    with tempfile.TemporaryDirectory() as home:
        picture, out = Path(home, "person.png"), Path(home, "out.mp4")
        write_image(picture, clip.reference_rgb.numpy())
        peaks = {"loaded": peak_of(LOAD, [options.model], home=home)}
        for length in options.lengths:
            dance = Path(home, f"{length}.npz")
            poses[:length].write(dance)
            words = ["animate", str(picture), str(dance), "-o", str(out), "--model", options.model]
            words += ["--steps", str(options.steps), *options.options]
            peaks[f"{length} frames"] = peak_of(ANIMATE, words, home=home)
            print(f"{length} frames: {peaks[f'{length} frames'] / 1e6:.0f} MB", flush=True)
    print(f"loaded: {peaks['loaded'] / 1e6:.0f} MB")
    changes = changes_of(options.model, clip)
    print(changes)
    if options.json:
        result = {
            "model": options.model,
            "steps": options.steps,
            "options": options.options,
            "size": size,
            "peak bytes": peaks,
            "changes": changes,
        }
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="dancer-unianimate")
    parser.add_argument("--lengths", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="more of animate")
    return parser.parse_args()


def changes_of(model: str, clip: DancerClip) -> dict[str, dict[str, float]]:
    """Mean and largest change of a byte by each lever of the autoencoder."""
    animator = Animator.from_pretrained(model)
    picture, dance = clip.reference_rgb.numpy(), dancer_poses(clip)[:16]
    plain = animator(picture, dance).frames.astype(int)
    found = {}
    for name in ("slicing", "tiling"):
        getattr(animator, f"enable_vae_{name}")()
        apart = np.abs(animator(picture, dance).frames - plain)
        getattr(animator, f"disable_vae_{name}")()
        found[name] = {"mean": float(apart.mean()), "largest": int(apart.max())}
    return found


def peak_of(code: str, words: Sequence[str], *, home: str) -> int:
    """Bytes that a process with this code held at its peak.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    told = Path(home, "peak")
    subprocess.run([sys.executable, "-c", TELL + code, str(told), *words], check=True)
    return int(told.read_text()) * 1024


if __name__ == "__main__":
    main()
