from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quickstep.data.image import ImageError, numbered_pictures, read_image, write_image


@pytest.fixture
def picture(frames: np.ndarray) -> np.ndarray:
    return frames[0]


def test_what_is_written_is_read(tmp_path: Path, picture: np.ndarray):
    write_image(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LA", "RGBA", "PA", "HSV"])
def test_every_mode_becomes_rgb(tmp_path: Path, picture: np.ndarray, mode: str):
    kind = "tiff" if mode in ("CMYK", "YCbCr", "HSV", "PA") else "png"
    image = Image.fromarray(picture).convert("P" if mode == "PA" else mode)
    if mode in ("HSV", "PA"):
        from quickstep.data.image import rgb_picture

        read = rgb_picture(image)
    else:
        image.save(tmp_path / f"a.{kind}")
        read = read_image(tmp_path / f"a.{kind}")
    assert read.shape == (48, 64, 3) and read.dtype == np.uint8
    if mode in ("RGB", "RGBA"):
        np.testing.assert_array_equal(read, picture)


def test_sixteen_bits_keep_the_upper_eight(tmp_path: Path):
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], grey // 257)


def test_transparent_parts_lie_on_white(tmp_path: Path, picture: np.ndarray):
    alpha = np.zeros((48, 64, 1), np.uint8)
    alpha[:, 32:] = 255
    Image.fromarray(np.concatenate([picture, alpha], axis=2)).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert (read[:, :32] == 255).all()
    np.testing.assert_array_equal(read[:, 32:], picture[:, 32:])
    assert (read_image(tmp_path / "a.png", ground="black")[:, :32] == 0).all()


def test_a_transparent_palette_colour_lies_on_white(tmp_path: Path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30] + [0] * 765)
    image.save(tmp_path / "a.png", transparency=0)
    assert (read_image(tmp_path / "a.png") == 255).all()


def test_a_camera_rotation_is_applied(tmp_path: Path, picture: np.ndarray):
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    image.save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(picture, -1))


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path, frames: np.ndarray):
    first, second = (Image.fromarray(frame).convert("P") for frame in frames[:2])
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif"), np.array(first.convert("RGB")))


def test_errors_are_one_line_and_name_the_file(tmp_path: Path, picture: np.ndarray):
    (tmp_path / "text.png").write_text("no picture")
    write_image(tmp_path / "a.png", picture)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name in ("none.png", "text.png", "cut.png"):
        with pytest.raises(ImageError, match=name) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match="must end like"):
        write_image(tmp_path / "a.xyz", picture)
    with pytest.raises(OSError, match=r"cannot write .*nowhere/a\.png"):
        write_image(tmp_path / "nowhere" / "a.png", picture)


def write_frames(folder: Path, count: int, *, first: int, form: str) -> None:
    folder.mkdir()
    for number in range(first, first + count):
        write_image(folder / form.format(number), np.zeros((4, 4, 3), np.uint8))


def test_frames_are_in_the_order_of_their_numbers_or_refused(tmp_path: Path):
    write_frames(tmp_path / "padded", 4, first=98, form="frame_{:03d}.png")
    assert numbered_pictures(tmp_path / "padded")[0].name == "frame_098.png"
    write_frames(tmp_path / "plain", 4, first=8, form="{}.png")
    with pytest.raises(ImageError, match="11.png sorts before 8.png: names must sort"):
        numbered_pictures(tmp_path / "plain")
    (tmp_path / "padded" / "frame_100.png").unlink()
    with pytest.raises(
        ImageError, match="a frame is missing between frame_099.png and frame_101.png"
    ):
        numbered_pictures(tmp_path / "padded")
    write_frames(tmp_path / "words", 1, first=1, form="first.png")
    with pytest.raises(ImageError, match="first.png: a frame's name needs a number"):
        numbered_pictures(tmp_path / "words")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="there is no picture in it"):
        numbered_pictures(tmp_path / "empty")
