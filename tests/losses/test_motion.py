"""The motion-focused loss (invariant 20): which cells move, and what they count."""

import pytest
import torch

from quickstep.losses.distance import pseudo_huber
from quickstep.losses.motion import cells_with, motion_mask, motion_weight, moving_cells


def moving_square(*, frames=4, size=32, side=6, step=3):
    """A white square on black that moves to the right, as 8-bit pictures."""
    pictures = torch.zeros(1, frames, size, size, 3, dtype=torch.uint8)
    for frame in range(frames):
        left = 2 + frame * step
        pictures[0, frame, 9 : 9 + side, left : left + side] = 255
    return pictures


def as_video(pictures):
    return pictures.movedim(-1, -3).float().div(127.5).sub(1)


def test_20_a_still_clip_has_no_motion_and_the_plain_loss(generator):
    """Invariant 20: static clip: empty mask, the loss equals the plain one bit for bit."""
    pictures = torch.randint(256, (2, 1, 16, 24, 3), generator=generator).byte()
    moving = moving_cells(pictures.expand(2, 5, 16, 24, 3), cell=8)
    assert moving.shape == (2, 5, 2, 3) and not moving.any()
    a, b = torch.randn(2, 2, 5, 4, 2, 3, generator=generator)
    plain = pseudo_huber(a, b)
    for norm in ("mean", "masked-mean"):
        weight = motion_weight(moving, strength=0.5, norm=norm)
        assert torch.equal((plain * weight).mean(), plain.mean())


def test_20_no_strength_is_the_plain_loss():
    """Invariant 20: lambda_1 = 0."""
    moving = moving_cells(moving_square())
    for norm in ("mean", "masked-mean"):
        assert (motion_weight(moving, strength=0.0, norm=norm) == 1).all()


def test_20_a_moving_square_marks_what_it_leaves_and_enters():
    """Invariant 20: columns it uncovers and covers, towards both neighbours, and their cells."""
    pictures = moving_square()
    mask = motion_mask(as_video(pictures))[0]
    rows = torch.zeros(32, dtype=torch.bool)
    rows[9:15] = True
    for frame, columns in enumerate(
        # Frame 0 stands at 2..7 and frame 1 at 5..10: 2..4 are left, 8..10 entered, and so on.
        [
            {2, 3, 4, 8, 9, 10},
            {2, 3, 4, 8, 9, 10} | {5, 6, 7, 11, 12, 13},
            {5, 6, 7, 11, 12, 13} | {8, 9, 10, 14, 15, 16},
            {8, 9, 10, 14, 15, 16},
        ]
    ):
        across = torch.zeros(32, dtype=torch.bool)
        across[list(columns)] = True
        assert torch.equal(mask[frame], rows[:, None] & across), frame
    cells = moving_cells(pictures, cell=8)[0]
    # Rows 9..14 lie in the second row of cells; columns 2..16 in the first, second and third.
    assert cells[0].nonzero().tolist() == [[1, 0], [1, 1]]
    assert cells[2].nonzero().tolist() == [[1, 0], [1, 1], [1, 2]]


def test_20_the_order_of_channels_is_nothing(generator):
    """Invariant 20: permuted colours, the same motion."""
    pictures = torch.randint(256, (1, 4, 16, 16, 3), generator=generator).byte()
    assert torch.equal(moving_cells(pictures), moving_cells(pictures[..., [2, 0, 1]]))


def test_pictures_and_video_agree(generator):
    """The 8-bit form finds what Eq. 6 finds on pixels in [-1, 1], for every threshold."""
    base = torch.randint(256, (2, 1, 16, 16, 3), generator=generator)
    change = torch.randint(-40, 41, (2, 6, 16, 16, 3), generator=generator)
    pictures = (base + change).clamp(0, 255).byte()
    for threshold in (0.05, 0.2, 0.31):
        mask = motion_mask(as_video(pictures), threshold=threshold)
        assert 0 < mask.float().mean() < 1
        for cell in (1, 4, 8):
            found = moving_cells(pictures, cell=cell, threshold=threshold)
            assert torch.equal(found, cells_with(mask, cell))


def test_the_threshold_is_a_tenth_of_the_range():
    """0.2 of [-1, 1] is 25.5 grey levels, averaged over the colours: 76 in sum is not, 77 is."""
    for total, moves in ((76, False), (77, True)):
        pictures = torch.zeros(1, 2, 8, 8, 3, dtype=torch.uint8)
        pictures[0, 1, 3, 3, 0] = total
        assert moving_cells(pictures).any().item() is moves


def test_a_picture_never_moves(generator):
    pictures = torch.randint(256, (1, 1, 8, 8, 3), generator=generator).byte()
    assert not moving_cells(pictures).any()


def test_weights_by_hand():
    """Eq. 7 on two of eight cells: 1.5 there; or what makes the mean over them count half."""
    moving = torch.zeros(1, 2, 2, 2)
    moving[0, 0, 0] = 1
    distance = torch.arange(8.0).reshape(1, 2, 1, 2, 2)
    weight = motion_weight(moving, strength=0.5)
    assert weight.shape == (1, 2, 1, 2, 2)
    assert (distance * weight).sum().item() == 28 + 0.5 * (0 + 1)
    masked = (distance * motion_weight(moving, strength=0.5, norm="masked-mean")).mean()
    assert masked.item() == pytest.approx(28 / 8 + 0.5 * (0 + 1) / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: moving_cells(moving_square(), cell=5), "32 x 32: got cell=5"),
        (lambda: moving_cells(moving_square(), threshold=0.0), "threshold must be positive"),
        (lambda: motion_mask(torch.zeros(1, 2, 3, 4, 4), threshold=-0.1), "got -0.1"),
        (lambda: motion_weight(torch.zeros(1, 1, 2, 2), strength=-0.5), "got -0.5"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
