"""The self-dependency matrix by hand and by what must hold of it (invariant 23)."""

import pytest
import torch

from quickstep.losses.temporal import self_dependency, temporal_aggregation


@pytest.fixture
def video(generator):
    return torch.randn(2, 5, 4, 3, 3, generator=generator, dtype=torch.float64)


def test_by_hand():
    """Frames (3, 4), (4, 3), (0, 1): cosines 24/25, 4/5 and 3/5."""
    frames = torch.tensor([[3.0, 4.0], [4.0, 3.0], [0.0, 1.0]]).view(1, 3, 2, 1, 1)
    expected = [[1.0, 0.96, 0.8], [0.96, 1.0, 0.6], [0.8, 0.6, 1.0]]
    torch.testing.assert_close(self_dependency(frames)[0], torch.tensor(expected))


def test_23_unit_diagonal_symmetric_and_never_negative(video):
    matrix = self_dependency(video)
    assert matrix.shape == (2, 5, 5)
    torch.testing.assert_close(matrix, matrix.mT)
    torch.testing.assert_close(matrix.diagonal(dim1=1, dim2=2), torch.ones(2, 5).double())
    assert torch.linalg.eigvalsh(matrix).min() > -1e-12


def test_23_blind_to_the_length_of_frames_and_to_a_common_rotation(video, generator):
    matrix = self_dependency(video)
    lengths = 0.1 + torch.rand(2, 5, 1, 1, 1, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(self_dependency(video * lengths), matrix)
    rotation, _ = torch.linalg.qr(torch.randn(36, 36, generator=generator, dtype=torch.float64))
    turned = (video.flatten(2) @ rotation).view_as(video)
    torch.testing.assert_close(self_dependency(turned), matrix)


def test_23_a_static_clip_is_all_ones(video):
    still = video[:, :1].expand(-1, 5, -1, -1, -1)
    torch.testing.assert_close(self_dependency(still), torch.ones(2, 5, 5).double())
    # With the mean frame off, nothing is left of it to be like anything.
    assert self_dependency(still, center="time").abs().max() < 1e-12


def test_centring_takes_off_what_all_frames_share(video):
    """A background a hundred times as strong hides motion; centred it is not seen at all."""
    hidden = video + 100 * torch.ones_like(video[:, :1])
    assert self_dependency(hidden).min() > 0.99
    centred = self_dependency(hidden, center="time")
    torch.testing.assert_close(centred, self_dependency(video, center="time"))
    assert centred.min() < 0


def test_an_empty_frame_is_like_no_other():
    video = torch.zeros(1, 2, 1, 1, 1, requires_grad=True)
    matrix = self_dependency(video)
    assert matrix.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    matrix.sum().backward()
    assert video.grad is not None and torch.isfinite(video.grad).all()


def test_27_float32_under_autocast(video):
    half = video.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        matrix = self_dependency(half)
    assert matrix.dtype == torch.float32
    torch.testing.assert_close(matrix, self_dependency(half.float()))


def test_references_that_move_alike_cost_nothing(video):
    same = torch.stack([video, 2 * video], dim=1)
    torch.testing.assert_close(temporal_aggregation(same), torch.zeros(2).double())
    one_frame = torch.stack([video, -video], dim=1)[:, :, :1]
    torch.testing.assert_close(temporal_aggregation(one_frame), torch.zeros(2).double())


def test_eq_7_by_hand():
    """Two frames; one reference holds still, the other turns by a right angle: off-diagonal 1."""
    still = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    turning = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    clips = torch.stack([still, turning]).view(1, 2, 2, 2, 1, 1)
    # Two of four elements differ by 1: sqrt(1 + 9/16) - 3/4 = 1/2 each.
    assert temporal_aggregation(clips, scale=0.75).tolist() == pytest.approx([0.25])
