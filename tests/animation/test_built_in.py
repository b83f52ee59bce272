"""Every model that is shipped runs."""

import numpy as np
import pytest

from quickstep.animation.animator import Animator
from quickstep.data.clip import read_clip
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.networks.folder import built_in_models


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_dancer_clips(folder, num_clips=1, num_frames=2, size=128, seed=1_000_500)
    return folder / "00000"


def test_both_families_are_shipped():
    assert {"dancer", "dancer-champ", "dancer-champ-teacher", "dancer-unianimate-teacher"} <= {
        *built_in_models()
    }


@pytest.mark.parametrize("name", built_in_models())
def test_a_shipped_model_draws_the_person(name, clip):
    """Nearer to the truth by half than the truth's mean colour is."""
    animator = Animator.from_pretrained(name)
    animation = animator(clip / "reference.png", clip, num_inference_steps=2)
    truth = read_clip(clip).frames.astype(float)
    plain = truth.mean(axis=(0, 1, 2))
    assert animation.frames.shape == truth.shape
    assert np.abs(animation.frames - truth).mean() < 0.5 * np.abs(plain - truth).mean()
