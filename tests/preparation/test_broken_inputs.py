"""Footage as it really comes: each file gives its clear line, and the rest of the job goes on."""

import csv
import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from films import backwards, deep, encode, grey, sound_alone, turned, with_alpha
from limits import files_end_at, ordinary_user
from quickstep.apps.cli import main
from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.skeleton import Poses
from quickstep.data.image import read_image, write_image
from quickstep.data.shards import ShardClips, ShardData
from quickstep.data.video import write_video

OPTIONS = ["--frames", "8", "--min-frames", "4", "--size", "64", "64", "--device", "cpu"]


@pytest.fixture(scope="module")
def films(tmp_path_factory, film, dances) -> Path:
    """A folder of good and broken videos, most with skeletons beside them."""
    home = tmp_path_factory.mktemp("films")
    frames, poses = dances[1].frames, dances[1].poses

    def beside(name: str, own: Poses = poses) -> Path:
        own.write(home / f"{name}.npz")
        return home / f"{name}.mp4"

    film(home / "good.mp4", number=0)
    film(home / "zweite Tänzerin ü 舞.v2.mp4", number=2)
    long = np.concatenate([frames, frames[::-1], frames, frames[:4]])
    write_video(beside("truncated", poses[[0] * 64]), long, fps=12)
    content = (home / "truncated.mp4").read_bytes()
    (home / "truncated.mp4").write_bytes(content[: len(content) * 6 // 10])
    beside("empty").write_bytes(b"")
    beside("text").write_text("not a video")
    Image.fromarray(frames[0]).save(beside("still", poses[0]), "png")
    write_video(home / "hidden.txt.mp4", frames[:9], fps=12)
    (home / "hidden.txt.mp4").rename(home / "hidden.txt")
    uneven = (10 * np.arange(12) + [0, 3, -2, 1, 4, -3, 0, 2, -4, 3, 1, 0]).tolist()
    encode(beside("uneven", poses[slice(12)]), frames[:12], times=uneven)
    gap = [10 * n + 50 * (n >= 6) for n in range(12)]
    encode(beside("gap", poses[slice(12)]), frames[:12], times=gap)
    turned(beside("turned", poses[slice(8)]), frames[:8])
    write_video(beside("odd", poses[slice(8)]), frames[:8, :63, :61], fps=12, full_colour=True)
    replaced(poses[slice(8)], size=(61, 63)).write(home / "odd.npz")
    write_video(beside("single", poses[0]), frames[:1], fps=12)
    sound_alone(beside("sound"))
    alpha = np.full((8, 64, 64), 255, np.uint8)
    alpha[:, :8] = 0
    with_alpha(home / "alpha.mov", frames[:8], alpha)
    deep(home / "deep.mkv", frames[:8])
    grey(home / "grey.mkv", frames[:8])
    backwards(home / "backwards.mkv", frames[:8])
    for name in ("alpha", "deep", "grey", "backwards"):
        poses[slice(8)].write(home / f"{name}.npz")
    write_video(
        beside("nobody", Poses.hidden(num_frames=16, size=(64, 64), fps=12)), frames[:16], fps=12
    )
    broken_poses(home, beside, frames, poses)
    scenes(home, beside, dances)
    (home / "loop").symlink_to(home)
    (home / "lost.mp4").symlink_to(home / "nowhere.mp4")
    return home


def replaced(poses: Poses, *, size: tuple[int, int]) -> Poses:
    return Poses(poses.keypoints, poses.scores, poses.visible, size, poses.fps)


def broken_poses(home: Path, beside, frames: np.ndarray, poses: Poses) -> None:
    """Good videos whose skeletons are not."""
    for name in ("nan", "lacking", "fewer", "more", "wide", "none", "gone"):
        write_video(beside(name, poses[slice(8)]), frames[:8], fps=12)
    arrays = dict(np.load(home / "nan.npz"))
    arrays["keypoints"][5, 9] = np.nan
    np.savez(home / "nan.npz", **arrays)
    del arrays["scores"]
    np.savez(home / "lacking.npz", **arrays)
    poses[slice(6)].write(home / "fewer.npz")
    poses[slice(9)].write(home / "more.npz")
    replaced(poses[slice(8)], size=(128, 64)).write(home / "wide.npz")
    (home / "none.npz").unlink()
    (home / "gone.npz").write_bytes(b"PK\x03\x04 not a zip")


def scenes(home: Path, beside, dances) -> None:
    """Videos that are good in part."""
    frames, poses = dances[1].frames, dances[1].poses
    black = np.concatenate([frames[:6], np.zeros((3, 64, 64, 3), np.uint8), frames[9:14]])
    write_video(beside("black", poses[slice(14)]), black, fps=12)
    frozen = np.concatenate([frames[:5], frames[[5] * 6], frames[6:11]])
    write_video(home / "frozen.mp4", frozen, fps=12, lossless=True)
    poses[[*range(5), *[5] * 6, *range(6, 11)]].write(home / "frozen.npz")
    cut = np.concatenate([frames[:6], dances[3].frames[:7]])
    write_video(beside("cut", poses[slice(13)]), cut, fps=12)
    write_video(beside("slow", poses[slice(8)]), frames[:8], fps=6)
    small = np.stack([np.asarray(Image.fromarray(one).resize((32, 32))) for one in frames[:8]])
    write_video(beside("small", poses[slice(8)].scaled_to((32, 32))), small, fps=12)
    shutil.copy(home / "good.mp4", home / "copy.mp4")
    shutil.copy(home / "good.npz", home / "copy.npz")


EXPECTED = {
    "truncated": r"cut short: \d+ of its 64 frames can be decoded",
    "empty": "the file is empty",
    "text": "not a video that can be read",
    "still": "only 1 good frames in a row, a clip needs 4",
    "hidden.txt": "no video: its name ends in none of a video's suffixes",
    "gap": "frames are missing here, and none is repeated",
    "single": "only 1 good frames in a row, a clip needs 4",
    "sound": "there is no video in it",
    "backwards": "the time runs backwards at frame 2",
    "nobody": "no person is seen",
    "nan": r"keypoints must be finite: got \[nan, nan\] at frame 5, point 9",
    "lacking": "the .npz lacks scores",
    "fewer": r"fewer.npz: 6 skeletons, but the video has frame 7",
    "more": r"more.npz: 9 skeletons, but the video has 8 frames",
    "wide": "skeletons of 128x64 pictures, the video's are 64x64",
    "none": "no skeletons beside it: `--detector` finds them",
    "gone": "not a .npz of poses that can be read",
    "black": "one colour all over",
    "frozen": "the picture is frozen",
    "slow": "6 frames a second are less than the 12 asked for",
    "small": r"32x32 pixels would be enlarged 2.00 times",
    "good": "the same video as copy",
    "loop": "a link to a folder that is read already, so not followed again",
    "lost.mp4": "a link that leads nowhere",
}
KEPT = {
    "copy": [8, 4],
    "zweite Tänzerin ü 舞.v2": [8, 4],
    "uneven": [8, 4],
    "gap": [6, 6],
    "turned": [8],
    "odd": [8],
    "alpha": [8],
    "deep": [8],
    "grey": [8],
    "black": [6, 5],
    "frozen": [6, 5],
    "cut": [6, 7],
}


@pytest.fixture(scope="module")
def prepared(films: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out") / "shards"
    assert main(["prepare", str(films), str(out), *OPTIONS, "--max-upscale", "1.1"]) == 0
    return out


@pytest.fixture(scope="module")
def table(prepared: Path) -> list[dict[str, str]]:
    with (prepared / "rejected.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", EXPECTED)
def test_each_has_its_line(name, table):
    import re

    reasons = [row["reason"] for row in table if row["source"] == name]
    assert any(re.search(EXPECTED[name], reason) for reason in reasons), reasons
    assert all("\n" not in reason for reason in reasons)


def test_nothing_else_is_left_out(table):
    assert {row["source"] for row in table} == set(EXPECTED)


def test_all_that_is_good_is_kept(prepared):
    manifest = json.loads((prepared / "manifest.json").read_text(encoding="utf-8"))
    found: dict[str, list[int]] = {}
    for clip in sorted(manifest["clips"], key=lambda one: (one["source"], one["first_frame"])):
        found.setdefault(clip["source"], []).append(clip["num_frames"])
    assert found == {name: KEPT[name] for name in sorted(KEPT)}


def test_frames_concerned_are_named(table):
    (row,) = [row for row in table if row["source"] == "black"]
    assert (row["first_frame"], row["last_frame"], row["stage"]) == ("6", "8", "frames")
    (row,) = [row for row in table if row["source"] == "nobody"]
    assert (row["first_frame"], row["last_frame"]) == ("0", "15")  # one row, not one a clip
    assert all(not row["first_frame"] for row in table if row["source"] == "nan")


def test_pictures_are_upright_whole_and_not_replaced(prepared, dances):
    clips = ShardClips(ShardData(shards=str(prepared)))
    names = [clip["source"] for clip in clips.clips]
    truth = dances[1].frames[:8].astype(float)

    def frames(name: str) -> np.ndarray:
        row = names.index(name)
        return clips.pictures(row, np.arange(1, 9)).astype(float)

    assert np.abs(frames("turned") - truth).mean() < 12
    assert np.abs(frames("deep") - truth).mean() < 3
    alpha = frames("alpha")
    assert alpha[:, 1:7].min() > 240
    assert np.abs(alpha[:, 9:] - truth[:, 9:]).mean() < 3
    grey = frames("grey")
    assert np.abs(grey - truth.mean(axis=-1, keepdims=True)).mean() < 3
    for row in range(len(clips)):
        latents = clips.array(row, "latents.npy").astype(float)
        assert np.isfinite(latents).all()
        assert (np.abs(latents).reshape(len(latents), -1).max(axis=1) > 0.1).all()
        pictures = clips.pictures(row, np.arange(clips.num_frames(row) + 1))
        assert (pictures.reshape(len(pictures), -1).std(axis=1) > 5).all()


def test_sheets_are_there_to_look_at(prepared):
    for name in ("rejected.png", "clips.png"):
        assert read_image(prepared / name).std() > 10


@pytest.fixture(scope="module")
def pictures(tmp_path_factory, dances) -> Path:
    """Folders of pictures in TikTok's layout, good and broken."""
    home = tmp_path_factory.mktemp("pictures")
    frames, poses = dances[1].frames[:8], dances[1].poses[slice(8)]

    def folder(name: str, frames: np.ndarray = frames) -> Path:
        images = home / name / "images"
        images.mkdir(parents=True)
        poses.write(home / name / "skeletons.npz")
        for number, frame in enumerate(frames, 1):
            write_image(images / f"{number:04d}.png", frame)
        return images

    folder("good")
    images = folder("cmyk")
    for number, path in enumerate(sorted(images.iterdir()), 1):
        picture = Image.fromarray(read_image(path)).convert("CMYK")
        picture.save(images / f"{number:04d}.jpg", quality=95)
        path.unlink()
    images = folder("exif")
    for path in sorted(images.iterdir()):
        picture = Image.fromarray(np.rot90(read_image(path), 1).copy())
        exif = picture.getexif()
        exif[0x0112] = 6  # to be turned by a quarter
        picture.save(path, exif=exif)
    images = folder("unpadded")
    for number in (9, 10):
        write_image(images / f"{number}.png", frames[0])
    (folder("missing") / "0004.png").unlink()
    write_image(folder("sizes") / "0005.png", frames[0, :32])
    broken = folder("damaged") / "0003.png"
    broken.write_bytes(broken.read_bytes()[:900])
    (folder("guidance").parent / "depth").mkdir()
    write_image(home / "guidance" / "depth" / "0001.png", frames[0])
    (folder("masks").parent / "masks").mkdir()
    write_image(home / "masks" / "masks" / "0001.png", frames[0])
    drawn = home / "drawn" / "dwpose"
    folder("drawn", frames[:, :, ::-1])
    (home / "drawn" / "skeletons.npz").unlink()
    drawn.mkdir()
    for number, picture in enumerate(draw_skeletons(poses, size=(512, 512), style="dwpose"), 1):
        write_image(drawn / f"{number:04d}.png", picture)
    return home


def test_folders_of_pictures(pictures, tmp_path, dances):
    out = tmp_path / "out"
    options = [*OPTIONS, "--pictures-fps", "12", "--json"]
    assert main(["prepare", str(pictures), str(out), *options]) == 0
    with (out / "rejected.csv").open(encoding="utf-8", newline="") as file:
        reasons = {row["source"]: row["reason"] for row in csv.DictReader(file)}
    assert set(reasons) == {"damaged", "guidance", "masks", "missing", "sizes", "unpadded"}
    assert "damaged picture" in reasons["damaged"]
    assert "1 pictures, but the video has 8 frames" in reasons["guidance"]
    assert "nothing for frame" in reasons["masks"]
    assert "a frame is missing between 0003.png and 0005.png" in reasons["missing"]
    assert "the size changes at frame 4: 64x32 after 64x64" in reasons["sizes"]
    assert "sorts before" in reasons["unpadded"]
    clips = ShardClips(ShardData(shards=str(out)))
    names = [clip["source"] for clip in clips.clips]
    assert sorted(names) == ["cmyk", "drawn", "exif", "good"]
    truth = dances[1].frames[:8].astype(float)
    for name, error in (("good", 3), ("exif", 3), ("cmyk", 8)):
        shown = clips.pictures(names.index(name), np.arange(1, 9)).astype(float)
        assert np.abs(shown - truth).mean() < error, name


def test_an_output_that_cannot_be_written_is_refused(films, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    assert main(["prepare", str(films), str(tmp_path / "file" / "out")]) == 2
    assert "is a file" in capsys.readouterr().err
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    with ordinary_user():
        code = main(["prepare", str(films), str(locked / "out")])
    assert code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "locked" in error
    assert not list(locked.iterdir())


def test_a_full_disk_ends_the_job_and_loses_nothing(film, tmp_path, capsys):
    home, out = tmp_path / "home", tmp_path / "out"
    film(home / "a.mp4", number=0, num_frames=4)
    film(home / "b.mp4", number=1, num_frames=20)
    with files_end_at(150_000):
        code = main(["prepare", str(home), str(out), *OPTIONS])
    error = capsys.readouterr().err
    assert code == 2
    assert os.strerror(errno.EFBIG) in error.splitlines()[-1]
    assert not (out / "manifest.json").exists()
    kept = list((out / "cache").rglob("*.json"))
    assert len(kept) == 1
    assert not [path for path in out.rglob(".*") if path.is_file()]
    assert main(["prepare", str(home), str(out), *OPTIONS, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["found"], summary["clips"]) == (1, 4)
