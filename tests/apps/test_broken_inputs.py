"""`animate` with dances and pictures as they really come: used rightly, or refused in one line."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from films import backwards, sound_alone
from quickstep.animation.driving import read_driving
from quickstep.animation.pictures import read_picture
from quickstep.apps.cli import main
from quickstep.conditions.drawing import draw_skeletons
from quickstep.data.image import write_image
from quickstep.data.video import write_video

SIDE = 256


@pytest.fixture
def drawn(dance) -> Callable[[int], np.ndarray]:
    """Pictures of so many skeletons."""

    def draw(count: int) -> np.ndarray:
        big = dance(count).moved(scale=4.0, offset=(0.0, 0.0), size=(SIDE, SIDE))
        return draw_skeletons(big, size=(SIDE, SIDE), style="dwpose")

    return draw


def folder_of(path: Path, pictures: np.ndarray, names: list[str]) -> Path:
    path.mkdir()
    for name, picture in zip(names, pictures, strict=True):
        write_image(path / name, picture)
    return path


def write_cut_short(path: Path, drawn, dance) -> None:
    write_video(path, drawn(24), fps=12, crf=1)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])


def write_sound(path: Path, drawn, dance) -> None:
    sound_alone(path)


def write_backwards(path: Path, drawn, dance) -> None:
    backwards(path, drawn(4))


def write_nobody(path: Path, drawn, dance) -> None:
    write_video(path, np.full((3, 64, 64, 3), 128, np.uint8), fps=12)


def write_lacking(path: Path, drawn, dance) -> None:
    dance(2).write(path)
    arrays = dict(np.load(path))
    del arrays["scores"]
    np.savez(path, **arrays)


def write_unordered(path: Path, drawn, dance) -> None:
    folder_of(path, drawn(3), ["8.png", "9.png", "10.png"])


def write_gap(path: Path, drawn, dance) -> None:
    folder_of(path, drawn(4), ["01.png", "02.png", "04.png", "05.png"])


def write_sizes(path: Path, drawn, dance) -> None:
    folder_of(path, drawn(2), ["1.png", "2.png"])
    write_image(path / "2.png", drawn(1)[0, :128])


def write_damaged(path: Path, drawn, dance) -> None:
    folder_of(path, drawn(2), ["1.png", "2.png"])
    content = (path / "2.png").read_bytes()
    (path / "2.png").write_bytes(content[: len(content) // 2])


def write_black(path: Path, drawn, dance) -> None:
    folder_of(path, np.zeros((2, 64, 64, 3), np.uint8), ["1.png", "2.png"])


def write_loop(path: Path, drawn, dance) -> None:
    path.symlink_to(path)


def write_no_zip(path: Path, drawn, dance) -> None:
    path.write_bytes(b"PK\x03\x04 not a zip")


def write_empty_folder(path: Path, drawn, dance) -> None:
    path.mkdir()


REFUSED = {
    "short.mp4": (write_cut_short, r"cut short: \d+ of its 24 frames"),
    "sound.mp4": (write_sound, "there is no video in it"),
    "backwards.mkv": (write_backwards, "the time runs backwards at frame 2"),
    "nobody.mp4": (write_nobody, "nobody is found in any of the 3 frames"),
    "lacking.npz": (write_lacking, "the .npz lacks scores"),
    "unordered": (write_unordered, "10.png sorts before 8.png: names must sort"),
    "gap": (write_gap, "a frame is missing between 02.png and 04.png"),
    "sizes": (write_sizes, "2.png: its size differs from 1.png's"),
    "damaged": (write_damaged, "2.png: damaged picture"),
    "black": (write_black, "black: not a skeleton on black"),
    "loop.mp4": (write_loop, "loop.mp4: no such file or folder"),
    "no.npz": (write_no_zip, "not a .npz of poses that can be read"),
    "nothing": (write_empty_folder, "neither a clip folder nor one of skeleton pictures"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_dance_that_cannot_be_used_is_one_line(
    name, tmp_path, drawn, dance, model_folders, capsys
):
    write, message = REFUSED[name]
    write(tmp_path / name, drawn, dance)
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "me.png")
    before = sorted(tmp_path.rglob("*"))
    words = ["animate", str(tmp_path / "me.png"), str(tmp_path / name)]
    options = ["-o", str(tmp_path / "out.mp4"), "--model", str(model_folders / "student")]
    assert main([*words, *options, "--device", "cpu"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("quickstep: error: "), lines
    assert re.search(message, lines[0]), lines[0]
    assert sorted(tmp_path.rglob("*")) == before


def write_turned_jpeg(path: Path, picture: Image.Image) -> None:
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.transpose(Image.Transpose.ROTATE_90).save(path, quality=98, exif=exif)


REFERENCES: dict[str, Callable[[Path, Image.Image], None]] = {
    "cmyk.jpg": lambda path, picture: picture.convert("CMYK").save(path, quality=98),
    "grey.png": lambda path, picture: picture.convert("L").save(path),
    "deep.png": lambda path, picture: Image.fromarray(
        np.asarray(picture.convert("L")).astype(np.uint16) * 257
    ).save(path),
    "turned.jpg": write_turned_jpeg,
    "palette.png": lambda path, picture: picture.quantize(256).save(path),
    "m\u00e4dchen \u821e.v2.png": lambda path, picture: picture.save(path),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_references_of_all_kinds_show_what_they_show(name, tmp_path):
    ramp = np.stack(np.meshgrid(np.linspace(20, 235, 48), np.linspace(60, 200, 64)), axis=-1)
    picture = np.concatenate([ramp, ramp.mean(axis=-1, keepdims=True)], axis=-1).astype(np.uint8)
    REFERENCES[name](tmp_path / name, Image.fromarray(picture))
    expected = picture.astype(float)
    if name in ("grey.png", "deep.png"):
        grey = np.asarray(Image.fromarray(picture).convert("L")).astype(float)
        expected = np.repeat(grey[..., None], 3, axis=-1)
    shown = read_picture(tmp_path / name)
    assert shown.shape == picture.shape
    assert np.abs(shown - expected).mean() < 8


def test_a_reference_that_is_cut_short_is_one_line(tmp_path, dance, model_folders, capsys):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "me.png")
    content = (tmp_path / "me.png").read_bytes()
    (tmp_path / "me.png").write_bytes(content[: len(content) // 2])
    dance(2).write(tmp_path / "dance.npz")
    words = [str(tmp_path / "me.png"), str(tmp_path / "dance.npz"), "-o", str(tmp_path / "out.mp4")]
    assert main(["animate", *words, "--model", str(model_folders / "student")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "me.png: damaged picture" in line
    assert not (tmp_path / "out.mp4").exists()


def test_skeleton_pictures_beside_their_reference_are_read_in_order(tmp_path, drawn):
    pictures = drawn(12)
    folder = folder_of(tmp_path / "t\u00e4nze 1", pictures, [f"{n:04d}.png" for n in range(12)])
    write_image(folder / "ref_pose.png", pictures[0, :100])
    poses = read_driving(folder).poses
    assert len(poses) == 12
