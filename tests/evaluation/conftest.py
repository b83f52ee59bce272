"""Clips and a tiny model for the evaluation's tests."""

from pathlib import Path

import numpy as np
import pytest

from borrowed import borrowed
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.evaluation.sample import Sample

_FIXTURES = borrowed("animation/conftest.py")

model_folders = _FIXTURES.model_folders
dance = _FIXTURES.dance


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> Path:
    """Three clip folders of 64 px and 7 frames: longer than the tiny model's window."""
    folder = tmp_path_factory.mktemp("data") / "clips"
    write_dancer_clips(folder, num_clips=3, num_frames=7, size=64, seed=1_000_000)
    return folder


@pytest.fixture
def sample(dance) -> Sample:
    """A clip of smooth colours that drift but at the left, everything known of it."""
    x = np.linspace(0, 1, 64)
    drift = np.arange(3)[:, None, None] * 0.1
    red = np.sin(6 * (x[None, None] + drift)) * np.ones((1, 64, 1))
    green = np.cos(5 * (x[None, :, None] - drift)) * np.ones((1, 1, 64))
    frames = (127 + 60 * np.stack([red, green, red * green], axis=-1)).astype(np.uint8)
    frames[:, :, :16] = frames[0, :, :16]
    mask = np.zeros((3, 64, 64), dtype=bool)
    mask[:, 10:50, 20:40] = True
    poses = dance(3)
    return Sample(
        name="drift",
        frames=frames,
        reference=frames[0][::-1].copy(),
        fps=12.0,
        poses=poses,
        reference_pose=poses[0],
        mask=mask,
        face_boxes=np.tile(np.array([24, 10, 40, 26], np.float32), (3, 1)),
    )
