import cv2
import numpy as np
import pytest
from PIL import Image

from quickstep.animation.pictures import fit_picture
from quickstep.conditions.skeleton import Poses
from quickstep.data.views import View
from quickstep.evaluation.makers import without_bars
from quickstep.evaluation.protocols import PROTOCOLS, ProtocolError, find_protocol


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, 27, 15, 3), dtype=np.uint8)


def test_a_tall_picture_is_cut_as_torchvision_cuts_it():
    view = find_protocol("disco-2024").view((604, 1080))
    assert (view.corner, view.extent, view.size) == ((0, 238), (604, 604), (256, 256))


def test_a_wide_picture_is_cut_at_its_sides():
    assert View.centred((100, 40), size=(20, 10)) == View((10, 0), (80, 40), (20, 10))
    assert View.centred((64, 64), size=(32, 32)).extent == (64, 64)


def test_filters_are_those_of_their_names(frames):
    cut = frames[0, 6:21]
    expected = {
        "opencv-bilinear": cv2.resize(cut, (8, 8), interpolation=cv2.INTER_LINEAR),
        "pillow-bilinear": Image.fromarray(cut).resize((8, 8), Image.Resampling.BILINEAR),
        "pillow-bicubic": Image.fromarray(cut).resize((8, 8), Image.Resampling.BICUBIC),
    }
    view = View.centred((15, 27), size=(8, 8))
    for name, picture in expected.items():
        assert (view.frames(frames, by=name)[0] == np.asarray(picture)).all()  # type: ignore[arg-type]


def test_a_picture_of_the_right_size_is_not_touched(frames):
    view = View.whole((15, 27))
    assert (view.frames(frames, by="opencv-bilinear") == frames).all()


def test_boxes_masks_and_poses_follow_the_pixels(frames):
    view = View((2, 10), (8, 8), (16, 16))
    box = np.array([[4, 12, 6, 14]], np.float32)
    mask = np.zeros((1, 27, 15), dtype=bool)
    mask[0, 12:14, 4:6] = True
    assert view.boxes(box).tolist() == [[4, 4, 8, 8]]
    inside = np.argwhere(view.mask(mask)[0])
    assert inside.min(axis=0).tolist() == [4, 4]
    assert inside.max(axis=0).tolist() == [7, 7]
    places = np.random.default_rng(0).uniform(2, 14, (1, 133, 2)).astype(np.float32)
    poses = Poses(
        keypoints=places,
        scores=np.ones((1, 133), np.float32),
        visible=np.ones((1, 133), bool),
        size=(15, 27),
        fps=12.0,
    )
    seen = view.poses(poses)
    assert seen.size == (16, 16)
    assert np.allclose(seen.keypoints, (poses.keypoints - [2, 10]) * 2, atol=1e-5)


def test_the_clean_view_is_never_enlarged():
    clean = find_protocol("clean")
    assert clean.view((604, 1080)).size == (512, 915)
    assert clean.view((400, 300)) == View.whole((400, 300))
    assert find_protocol("dancer").view((128, 96)).size == (128, 96)


@pytest.mark.parametrize("shape", [(27, 15), (15, 27), (20, 20), (7, 40)])
def test_the_bars_of_a_fitted_picture_are_found_again(shape):
    picture = np.full((*shape, 3), 200, np.uint8)
    picture[[0, -1]] = picture[:, [0, -1]] = 255
    fitted, fit = fit_picture(picture, size=(64, 48))
    inner = without_bars(fitted[None], picture=(shape[1], shape[0]))[0]
    assert abs(inner.shape[1] - fit.scale * shape[1]) <= 0.5
    assert abs(inner.shape[0] - fit.scale * shape[0]) <= 0.5
    expected = Image.fromarray(picture).resize(
        (inner.shape[1], inner.shape[0]), Image.Resampling.LANCZOS
    )
    assert (inner == np.asarray(expected)).all()


def test_protocols_say_where_they_come_from():
    assert list(PROTOCOLS) == ["disco-2023", "disco-2024", "tiktok", "ubc", "clean", "dancer"]
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.version >= 1
        assert protocol.source and protocol.purpose
        assert protocol.main in protocol.metrics
    assert find_protocol("tiktok").split == ("00335", "00336", "00337", "00338", "00339", "00340")
    assert "psnr_overflow" in find_protocol("disco-2023").metrics
    assert "psnr_disco" in find_protocol("disco-2024").metrics
    with pytest.raises(ProtocolError, match="no protocol 'disco': protocols are disco-2023, "):
        find_protocol("disco")
