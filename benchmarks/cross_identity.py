"""Another person's dance: each of some test persons dances what the next one danced.

    python benchmarks/cross_identity.py --model dancer --pairs 3

The driving keypoints are those of the other body, in the other camera; quickstep fits them to the
reference's body. The truth is the same person rendered with the other's dance in its own camera.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from quickstep.animation.animator import Animator
from quickstep.data.dancer import TEST_START, DancerSeeds, render_clip
from quickstep.data.dancer_folders import clip_of_dancer
from quickstep.data.image import write_image
from quickstep.data.sheet import contact_sheet, moments
from quickstep.evaluation.frames import absolute_error


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    animator = Animator.from_pretrained(options.model)
    size, fps = min(animator.settings.size), animator.settings.fps
    rows: list[tuple[str, list[np.ndarray]]] = []
    for number in range(options.pairs):
        own = DancerSeeds.of(options.first + number)
        other = DancerSeeds.of(options.first + number + 1)
        driving, truth = (
            clip_of_dancer(render_clip(seeds, num_frames=options.frames, size=size, fps=fps))
            for seeds in (other, replace(own, motion=other.motion))
        )
        made = animator(
            truth.reference,
            driving.poses,
            reference_pose=truth.reference_pose,
            num_inference_steps=options.steps,
            generator=torch.Generator().manual_seed(0),
        )
        errors = [error(frames, truth.frames) for frames in (made.frames, still(truth))]
        print(f"person {own.identity}, dance {other.motion}: mean error {errors[0]:.3f} of the")
        print(f"  full range, copying the reference {errors[1]:.3f}")
        chosen = moments(options.frames)
        rows += [
            ("reference", [truth.reference] * len(chosen)),
            ("driving", [driving.frames[moment] for moment in chosen]),
            ("result", [made.frames[moment] for moment in chosen]),
            ("truth", [truth.frames[moment] for moment in chosen]),
        ]
    write_image(options.out, contact_sheet(rows))
    print(options.out)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="dancer")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--first", type=int, default=TEST_START + 20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/results/cross-identity.png"))
    return parser.parse_args()


def still(clip) -> np.ndarray:
    return np.broadcast_to(clip.reference, clip.frames.shape)


def error(frames: np.ndarray, truth: np.ndarray) -> float:
    made, true = (
        torch.from_numpy(np.array(each)).movedim(-1, -3).float().div(255)
        for each in (frames, truth)
    )
    return float(absolute_error(made, true).mean())


if __name__ == "__main__":
    main()
