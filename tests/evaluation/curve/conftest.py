"""A made-up report: numbers of no model, pictures of a ball that swings."""

import numpy as np
import pytest

from quickstep.evaluation.curve.points import Baseline, Made, Point, Report, Score, Showcase

METRICS = ("psnr", "psnr_moved", "ssim", "motion_energy", "dancer_video_distance")
TEACHER, STUDENT = "dancer-unianimate-teacher", "dancer-unianimate"


def ball(num_frames: int, *, size: int = 64, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """A ball swinging over a quiet ground, with noise in grey levels."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    frames = []
    for number in range(num_frames):
        swing = 0.5 + 0.3 * np.sin(2 * np.pi * number / num_frames)
        inside = (x - swing) ** 2 + (y - 0.55) ** 2 < 0.03
        ground = np.stack([150 + 60 * y, 160 + 40 * x, 190 - 30 * y], axis=-1)
        frame = np.where(inside[..., None], (205, 84, 60), ground)
        frames.append(frame + draw.normal(0, noise, frame.shape) if noise else frame)
    return np.clip(frames, 0, 255).astype(np.uint8)


def point(role: str, steps: int, *, model: str, quality: float, scale: float = 1.0) -> Point:
    """A point whose seconds and scores follow from its steps."""
    guided = role == "teacher"
    evaluations = steps * (2 if guided else 1)
    quality = float(quality)
    values = {
        "psnr": quality,
        "psnr_moved": quality - 4.2,
        "ssim": 0.4 + quality / 60,
        "motion_energy": 1.0 + 3 / steps,
        "dancer_video_distance": 420 / quality,
    }
    return Point(
        model=model,
        role="teacher" if guided else "student",
        steps=steps,
        guidance=1.5 if guided else 1.0,
        trained=guided or steps in (1, 2, 4, 8),
        best=steps == (50 if guided else 4),
        evaluations=float(evaluations),
        scores={name: Score(value, value * 0.985, value * 1.015) for name, value in values.items()},
        seconds={
            "load": 1.3,
            "conditions": 0.21,
            "denoise": 0.18 * evaluations * scale,
            "decode": 0.24,
            "write": 0.05,
        },
        memory=int((1.1 + 0.1 * guided) * 2**30),
    )


@pytest.fixture(scope="session")
def report() -> Report:
    """A teacher at 1, 2, 4, 8, 50 steps and two students."""
    points = [
        *(
            point("teacher", steps, model=TEACHER, quality=15 + 1.9 * np.log2(steps))
            for steps in (1, 2, 4, 8, 50)
        ),
        *(
            point("student", steps, model=STUDENT, quality=21 + 1.2 * np.log2(steps))
            for steps in (1, 2, 4, 8)
        ),
        *(
            point("student", steps, model="runs/videolcm", quality=20 + 0.9 * np.log2(steps))
            for steps in (2, 4, 16)
        ),
    ]
    showcases = [
        Showcase(
            name=f"200000{number}",
            fps=12.0,
            reference=ball(1, seed=number)[0],
            skeletons=255 - ball(12, seed=number),
            truth=ball(12, seed=number),
            ceiling=ball(12, noise=4, seed=number),
            made=[
                Made(
                    point=each,
                    frames=ball(
                        12, noise=300 / each.scores["psnr"].value - 9, seed=number + each.steps
                    ),
                )
                for each in points
            ],
        )
        for number in range(2)
    ]
    return Report(
        points=points,
        metrics=METRICS,
        scope="dancer protocol · 16 clips of 12 frames, 64×64",
        baselines=[
            Baseline(name="copying the reference", scores={"psnr": Score(17.1)}),
            Baseline(name="the autoencoder alone", scores={"psnr": Score(27.8)}),
        ],
        showcases=showcases,
        comparisons={
            "psnr": "the teacher is better by 2.3 dB (1.9 to 2.7, 95 %), p < .001, 16 clips",
            "ssim": "no difference shown: the student over the teacher by 0.004, p = .610",
        },
        facts=[("Protocol", "dancer, version 1"), ("Command", "quickstep curve a b -o c")],
        notes=["These numbers are made up."],
    )
