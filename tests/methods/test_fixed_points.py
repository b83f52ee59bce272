"""Invariant 6 out of the real training loop: what it converges to is the published recursion.

A student with one gain for each time, trained by `quickstep.training.trainer.train` on unit
Gaussian data, by a teacher that denoises it perfectly. Its jumps should keep the standard
deviation 1; how much they lose is known to four digits.
"""

import copy

import pytest
import torch

from quickstep.diffusion.solver import ddim_step
from quickstep.methods.consistency import Consistency, ConsistencyConfig
from quickstep.teachers.protocol import Denoiser
from quickstep.training.trainer import TrainConfig, train


class UnitGaussians:
    """Batches of single numbers."""

    def __init__(self, count: int):
        self.count = count

    def batch(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {
            "latents": torch.randn(self.count, 1, 1, 1, 1, generator=generator),
            "shift": torch.zeros(self.count),
        }


@pytest.mark.parametrize(
    ("settings", "num_steps", "expected", "tolerance"),
    [
        ({"num_segments": 2, "target": "student"}, 300, [0.9941, 0.9762], 1e-3),
        ({"num_segments": 2, "pair": "uniform", "target": "student"}, 200, [0.9368, 0.7755], 6e-3),
        pytest.param(
            {"num_segments": 2, "target": "ema", "target_decay": 0.5},
            *(300, [0.9941, 0.9762], 5e-3),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"num_segments": 1, "target": "student"},
            *(450, [0.9705], 2e-3),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["skip", "uniform", "skip-ema", "one-segment"],
)
def test_6_training_reaches_the_published_fixed_point(
    gain_network, schedule, tmp_path, settings, num_steps, expected, tolerance
):
    """Invariant 6: K=2 lists [499, 999], then [0, 499]."""
    config = ConsistencyConfig(anchor="first", guidance=1.0, distance="squared", **settings)
    student = copy.deepcopy(gain_network)
    method = Consistency(
        student,
        Denoiser(gain_network, schedule, "clean"),
        config,
        conditions=lambda batch: batch["shift"],
    )
    train(
        method,
        UnitGaussians(2048 if config.pair == "uniform" else 128),
        TrainConfig(
            num_steps=num_steps,
            learning_rate=0.02,
            betas=(0.5, 0.99),
            decay_fraction=1.0,
            clip_norm=0.0,
            ema_decay=0.0,
            log_every=1000,
            checkpoint_minutes=0.0,
        ),
        folder=tmp_path / "run",
        report=lambda line: None,
    )
    tops = method.segments.edges[1:].flip(0)
    noisy = torch.ones(len(tops), 1)
    clean = student.gain.detach()[tops][:, None] * noisy
    edges = method.segments.edge_below(tops)
    kept = ddim_step(clean, noisy, t_from=tops, t_to=edges, schedule=schedule)
    assert kept[:, 0].tolist() == pytest.approx(expected, abs=tolerance)
