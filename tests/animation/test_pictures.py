import numpy as np
import pytest
from PIL import Image

from quickstep.animation.pictures import Fit, fit_picture, read_picture


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "F", "YCbCr"])
def test_every_mode_becomes_rgb_bytes(mode):
    picture = read_picture(Image.new(mode, (7, 5)))
    assert picture.shape == (5, 7, 3)
    assert picture.dtype == np.uint8


def test_transparent_pixels_lie_on_white():
    assert read_picture(Image.new("RGBA", (2, 2), (255, 0, 0, 0))).min() == 255


def test_a_camera_rotation_is_obeyed(tmp_path):
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (8, 4, 3)


def test_sixteen_bits_keep_their_range():
    values = np.array([[0, 65535]], np.uint16)
    assert read_picture(values)[0, :, 0].tolist() == [0, 255]
    assert read_picture(Image.fromarray(values))[0, :, 0].tolist() == [0, 255]


def test_floats_are_read_as_zero_to_one():
    assert read_picture(np.ones((2, 2, 3), np.float32)).min() == 255


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 5)), r"\(2, 2, 5\)"),
        (np.full((2, 2), 300.0), "300.0"),
        (np.full((2, 2), np.nan), "nan"),
        (np.zeros((2, 2), np.int32), "int32"),
        (np.zeros((0, 2), np.uint8), r"\(0, 2\)"),
    ],
)
def test_other_arrays_are_refused(array, message):
    with pytest.raises(ValueError, match=message):
        read_picture(array)


def test_files_that_are_no_pictures_are_named(tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("hello")
    with pytest.raises(ValueError, match=r"notes\.png: not a picture"):
        read_picture(text)


@pytest.mark.parametrize("shape", [(10, 40), (40, 10), (32, 32), (1, 300), (500, 333)])
def test_the_whole_picture_is_kept_in_the_middle(shape):
    picture = np.full((*shape, 3), 200, np.uint8)
    fitted, fit = fit_picture(picture, size=(32, 24))
    assert fitted.shape == (24, 32, 3)
    assert abs(int(fitted.min()) - 200) <= 1
    corners = np.array([[0, 0], [shape[1], shape[0]]]) * fit.scale + np.array(fit.offset)
    assert (corners >= -1e-3).all()
    assert (corners <= np.array([32, 24]) + 1e-3).all()
    np.testing.assert_allclose(corners.mean(0), [16, 12], atol=1e-3)


def test_a_picture_of_the_right_size_is_untouched():
    picture = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    fitted, fit = fit_picture(picture, size=(32, 24))
    assert (fitted == picture).all()
    assert fit == Fit(scale=1.0, offset=(0.0, 0.0), size=(32, 24))
