import numpy as np
import pytest

from quickstep.data.corruptions import (
    ORDER_CORRUPTIONS,
    PICTURE_CORRUPTIONS,
    TIME_CORRUPTIONS,
    corrupted,
    frame_order,
)

KINDS = (*PICTURE_CORRUPTIONS, *TIME_CORRUPTIONS)


@pytest.fixture
def frames() -> np.ndarray:
    """Eight smooth frames of 32 pixels whose pattern moves."""
    y, x = np.mgrid[0:32, 0:32].astype(float)
    waves = [
        np.stack([np.sin((x + 2 * t) / k + y / 9) for k in (3.0, 4.0, 5.0)], -1) for t in range(8)
    ]
    return (127 + 90 * np.stack(waves)).round().astype(np.uint8)


def spoil(frames: np.ndarray, kind: str, strength: float, seed: int = 0) -> np.ndarray:
    return corrupted(frames, kind, strength=strength, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_wrong_at_0_and_more_at_1(frames, kind):
    assert np.array_equal(spoil(frames, kind, 0.0), frames)
    assert np.array_equal(spoil(frames, kind, 0.7), spoil(frames, kind, 0.7))
    made = spoil(frames, kind, 1.0)
    assert made.shape == frames.shape
    assert made.dtype == np.uint8
    assert not np.array_equal(made, frames)


@pytest.mark.parametrize("kind", PICTURE_CORRUPTIONS)
def test_pictures_get_worse_with_strength(frames, kind):
    errors = [
        np.abs(spoil(frames, kind, strength).astype(int) - frames).mean()
        for strength in (0.25, 0.5, 1.0)
    ]
    assert errors == sorted(errors)


@pytest.mark.parametrize("kind", ORDER_CORRUPTIONS)
def test_order_corruptions_only_choose_frames(frames, kind):
    made = spoil(frames, kind, 0.8)
    order = frame_order(kind, len(frames), strength=0.8, rng=np.random.default_rng(0))
    assert np.array_equal(made, frames[order])


def test_orders_by_hand():
    rng = np.random.default_rng(0)

    def order(kind: str, strength: float) -> list[int]:
        return frame_order(kind, 8, strength=strength, rng=rng).tolist()

    assert order("frozen", 1.0) == [0] * 8
    assert order("frozen", 3 / 7) == [0, 1, 2, 3, 4, 4, 4, 4]
    assert order("repeated", 1 / 7) == [0, 0, 2, 2, 4, 4, 6, 6]
    assert order("pieces", 1 / 7) == [4, 5, 6, 7, 0, 1, 2, 3]
    assert order("pieces", 1.0) == [7, 6, 5, 4, 3, 2, 1, 0]
    assert sorted(order("shuffled", 1.0)) == list(range(8))


def test_jitter_moves_two_clips_alike(frames):
    marked = np.zeros_like(frames)
    marked[:, 10:20, 10:20] = 255
    both = np.concatenate([marked[..., :1], frames[..., 1:]], axis=-1)
    alone, together = spoil(marked, "jittered", 1.0, seed=4), spoil(both, "jittered", 1.0, seed=4)
    assert np.array_equal(alone[..., 0], together[..., 0])


def test_what_cannot_be_is_refused(frames):
    with pytest.raises(ValueError, match="unknown corruption 'fog': there are blur"):
        spoil(frames, "fog", 0.5)
    with pytest.raises(ValueError, match="strength must be between 0 and 1: got 1.5"):
        spoil(frames, "blur", 1.5)
