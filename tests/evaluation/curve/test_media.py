import base64
import io

import numpy as np
import pytest
from PIL import Image

from quickstep.evaluation.curve.media import (
    LONGEST_SIDE,
    QUALITIES,
    Quality,
    pack_frames,
    pack_within,
)


def opened(uri: str) -> np.ndarray:
    head, _, content = uri.partition(",")
    assert head == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def flat_frames(count: int, *, width: int = 16, height: int = 24) -> np.ndarray:
    """Frames of one grey each, 0 upwards in steps of 20."""
    levels = (np.arange(count) * 20).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def test_every_frame_is_where_its_place_says():
    frames = flat_frames(7)
    sheet = pack_frames(frames, quality=Quality(64, 95))
    picture = opened(sheet.uri)
    assert picture.shape == (sheet.rows * 24, sheet.columns * 16, 3)
    for number in range(7):
        across, down = (float(part.rstrip("%")) / 100 for part in sheet.place(number).split())
        left = round(across * (picture.shape[1] - 16))
        top = round(down * (picture.shape[0] - 24))
        middle = picture[top + 12, left + 8].astype(int)
        assert np.abs(middle - frames[number, 0, 0]).max() <= 4


def test_wide_frames_are_made_smaller_in_proportion():
    sheet = pack_frames(flat_frames(2, width=100, height=50), quality=Quality(40, 80))
    assert (sheet.width, sheet.height) == (40, 20)
    small = pack_frames(flat_frames(2, width=30, height=50), quality=Quality(40, 80))
    assert (small.width, small.height) == (30, 50)


def test_a_sheet_stays_within_what_the_format_holds():
    sheet = pack_frames(flat_frames(200, width=256, height=8), quality=Quality(256, 10))
    assert sheet.columns * sheet.width <= LONGEST_SIDE


def test_no_frame_is_refused():
    with pytest.raises(ValueError, match="at least one frame"):
        pack_frames(np.zeros((0, 8, 8, 3), np.uint8), quality=QUALITIES[0])


def test_pictures_keep_to_a_budget():
    noise = np.random.default_rng(0).integers(0, 256, (6, 200, 200, 3), dtype=np.uint8)
    fine = pack_within([noise, noise], budget=10**9)
    total = sum(len(sheet.uri) for sheet in fine)
    coarse = pack_within([noise, noise], budget=total // 2)
    assert fine[0].width == 200
    assert sum(len(sheet.uri) for sheet in coarse) <= total // 2
    least = pack_within([noise], budget=1)
    assert least[0].width == QUALITIES[-1].width
