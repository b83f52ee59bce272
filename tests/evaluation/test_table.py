import math

import numpy as np
import pytest
import torch

from quickstep.data.prepared import PreparedSet
from quickstep.evaluation.table import Row, clip_scores, copies, row_videos, table_scores


@pytest.fixture
def prepared(tmp_path) -> PreparedSet:
    rng = np.random.default_rng(0)
    frames = rng.integers(256, size=(2, 4, 16, 16, 3), dtype=np.uint8)
    np.save(tmp_path / "frames.npy", frames)
    np.save(tmp_path / "person.npy", np.full((2, 4, 2, 2), 255, dtype=np.uint8))
    np.save(tmp_path / "boxes.npy", np.zeros((2, 4, 4), dtype=np.float32))
    return PreparedSet(tmp_path)


def test_copying_the_reference_is_the_unit_of_moved_error(prepared):
    scores = table_scores(copies(prepared), prepared)
    assert len(scores) == 2
    for score in scores:
        assert score["moved_share"] == pytest.approx(1)
        assert score["motion_energy"] == 0
        assert score["psnr"] < 15


def test_the_truth_is_perfect(prepared):
    for frames in prepared.frames:
        video = torch.from_numpy(np.array(frames)).movedim(-1, 1).float() / 255
        person = torch.ones(3, 16, 16, dtype=torch.bool)
        score = clip_scores(video[1:], video[1:], video[0], person)
        assert score["moved_share"] == 0
        assert score["psnr"] == score["psnr_person"] == 100
        assert score["ssim"] == pytest.approx(1)
        assert score["motion_energy"] == score["sharpness"] == pytest.approx(1)


def test_a_dance_that_never_leaves_the_reference_has_no_moved_score():
    video = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))[:1]
    still = video.expand(3, -1, -1, -1)
    score = clip_scores(still, still, video[0], torch.ones(3, 16, 16, dtype=torch.bool))
    assert math.isnan(score["moved_share"])
    assert math.isnan(score["motion_energy"])


def test_a_row_without_a_model_is_refused(prepared):
    with pytest.raises(ValueError, match="row 'copy' has no model"):
        next(row_videos(Row(name="copy"), prepared))
