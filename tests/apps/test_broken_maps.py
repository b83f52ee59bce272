"""`animate` with a Champ: maps, bodies and pictures that cannot be used are refused in one line."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quickstep.animation import driving
from quickstep.apps.cli import main
from quickstep.conditions.skeleton import Poses
from quickstep.data.body_maps import write_body_maps
from quickstep.data.clip import REFERENCE_POSE, read_clip
from quickstep.data.image import write_image
from quickstep.data.video import write_video

MAPS = ("depth", "normal", "semantic_map", "mask", "dwpose")


@pytest.fixture(scope="module")
def maps_folder(clip, tmp_path_factory):
    """The clip's maps, a folder of pictures for each."""
    home, truth = tmp_path_factory.mktemp("maps") / "dance", read_clip(clip)
    assert truth.body is not None
    write_body_maps(truth.body, home, poses=truth.poses, layout="pictures")
    (home / "contact.png").unlink()
    return home


@pytest.fixture
def refused(champ_folder, tmp_path, capsys):
    """Runs the command and returns its one line; it must leave everything as it was."""

    def refused(image: Path, dance: Path, *words: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        options = ["-o", str(tmp_path / "out.mp4"), "--compare", str(tmp_path / "beside.mp4")]
        options += ["--model", str(champ_folder), "--device", "cpu", "--steps", "1"]
        assert main(["animate", str(image), str(dance), *options, *words]) == 2
        captured = capsys.readouterr()
        lines = captured.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("quickstep: error: "), captured.err
        assert captured.out == "" and sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return refused


def renamed(folder: Path, form: str) -> None:
    for number, path in enumerate(sorted(folder.iterdir()), start=8):
        path.rename(folder / form.format(number, letter=chr(89 + number)))


def as_video(home: Path, name: str, *, frames: int) -> None:
    shutil.rmtree(home / name)
    write_video(home / f"{name}.mp4", np.zeros((frames, 64, 64, 3), np.uint8), fps=24)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def black(path: Path, side: int) -> None:
    write_image(path, np.zeros((side, side, 3), np.uint8))


SPOILT_MAPS = {
    "a map is missing": (
        lambda home: shutil.rmtree(home / "normal"),
        "lacks normal: a folder of maps has depth, normal, semantic_map, dwpose, mask",
    ),
    "the mask is missing": (lambda home: shutil.rmtree(home / "mask"), "lacks mask"),
    "all are missing": (
        lambda home: [shutil.rmtree(home / name) for name in MAPS],
        "lacks depth, normal, semantic_map, dwpose, mask",
    ),
    "one is shorter": (
        lambda home: (home / "depth" / "0005.png").unlink(),
        "all maps must have the same frames: got depth 5, normal 6",
    ),
    "one is a longer video": (
        lambda home: as_video(home, "dwpose", frames=8),
        "all maps must have the same frames: .* dwpose 8",
    ),
    "one has another size": (
        lambda home: [black(path, 32) for path in (home / "normal").iterdir()],
        r"all maps must have the same pixels: got depth \(64, 64\), normal \(32, 32\)",
    ),
    "a picture has another size": (
        lambda home: black(home / "normal" / "0002.png", 32),
        "normal: its pictures differ in size",
    ),
    "a frame is missing": (
        lambda home: (home / "depth" / "0003.png").unlink(),
        "a frame is missing between 0002.png and 0004.png",
    ),
    "names without numbers": (
        lambda home: renamed(home / "depth", "frame_{letter}.png"),
        r"frame_.\.png: a frame's name needs a number",
    ),
    "names out of order": (
        lambda home: renamed(home / "mask", "{}.png"),
        "13.png sorts before 8.png",
    ),
    "no picture": (
        lambda home: renamed(home / "mask", "{}.txt"),
        "mask: there is no picture in it",
    ),
    "a damaged picture": (
        lambda home: cut_short(home / "normal" / "0001.png"),
        "0001.png: damaged picture",
    ),
}


@pytest.mark.parametrize("what", SPOILT_MAPS)
def test_maps_that_cannot_be_used_are_one_line(what, refused, clip, maps_folder, tmp_path):
    spoil, message = SPOILT_MAPS[what]
    spoil(shutil.copytree(maps_folder, tmp_path / "dance"))
    assert re.search(message, refused(clip / "reference.png", tmp_path / "dance"))


def test_maps_by_other_names_in_order_are_used(champ_folder, clip, maps_folder, tmp_path):
    home = shutil.copytree(maps_folder, tmp_path / "dance")
    for name in MAPS:
        renamed(home / name, f"{name}_{{:06d}}.png")
    words = ["animate", str(clip / "reference.png"), str(home), "-o", str(tmp_path / "out.mp4")]
    options = ["--model", str(champ_folder), "--steps", "1", "--device", "cpu"]
    assert main([*words, *options]) == 0 and (tmp_path / "out.mp4").is_file()


def far(frame: int, value: float):
    def change(fields):
        fields["verts"][frame, 5] = value

    return change


def behind(fields):
    fields["cam_t"][2] *= -1


def other_faces(fields):
    fields["faces"] = fields["faces"].astype(np.float32)


def pickled(fields):
    fields["part"] = np.array([{"part": 1}], dtype=object)


def lacking(name: str):
    return lambda fields: fields.pop(name)


SPOILT_BODIES = {
    "behind the camera": (behind, "must lie before the camera .* frame 2 is at z = -"),
    "NaN": (far(1, np.nan), r"verts must be finite: got nan at \[1, 5, 0\]"),
    "infinite": (far(0, np.inf), r"verts must be finite: got inf at \[0, 5, 0\]"),
    "no frames": (lambda f: f.update(verts=f["verts"][:0]), r"verts must not be empty"),
    "too few places": (
        lambda f: f.update(cam_t=f["cam_t"][:2]),
        r"cam_t must have the shape \(6, 3\): got \(2, 3\)",
    ),
    "faces of no vertex": (
        lambda f: f["faces"].__setitem__((0, 0), 10**6),
        "faces must be between 0 and",
    ),
    "faces that are no numbers of vertices": (other_faces, "faces must be integers: got float32"),
    "no focal length": (lambda f: f.update(focal=0.0), "focal must be finite and above 0"),
    "no picture": (lambda f: f.update(size=(0, 64)), "size must be whole pixels"),
    "no joints": (lacking("joints"), "the mesh has no joints"),
    "a pickle": (pickled, "the field part is pickled"),
    **{
        f"lacks {name}": (lacking(name), f"needs the field {name}.*: the file holds")
        for name in ("faces", "part", "cam_t")
    },
    "lacks size": (lacking("size"), "needs the field render_res"),
    "lacks verts": (lacking("verts"), "pose maps, which a skeleton does not have"),
}


@pytest.mark.parametrize("what", SPOILT_BODIES)
def test_bodies_that_cannot_be_used_are_one_line(what, refused, clip, tmp_path):
    spoil, message = SPOILT_BODIES[what]
    with np.load(clip / "body.npz") as stored:
        fields = dict(stored)
    spoil(fields)
    np.savez(tmp_path / "body.npz", **fields)
    line = refused(clip / "reference.png", tmp_path / "body.npz")
    assert "body.npz: " in line and re.search(message, line)


def test_a_body_cut_short_is_one_line(refused, clip, tmp_path):
    cut_short(shutil.copy(clip / "body.npz", tmp_path / "body.npz"))
    assert "body.npz: " in refused(clip / "reference.png", tmp_path / "body.npz")


@pytest.mark.parametrize("mode", ["grey.jpg", "clear.png"])
def test_a_picture_of_one_colour_is_nobody(mode, refused, clip, tmp_path):
    colour = (90, 90, 90) if mode.endswith("jpg") else (200, 10, 10, 0)
    kind = "RGB" if mode.endswith("jpg") else "RGBA"
    Image.new(kind, (64, 64), colour).save(tmp_path / mode)
    assert f"{mode}: one colour all over, nobody is in it" in refused(tmp_path / mode, clip)


def test_a_clip_folder_that_knows_of_nobody_is_refused(refused, clip, tmp_path):
    """By its reference's own pose: as the picture, and as the dance."""
    home = shutil.copytree(clip, tmp_path / "clip")
    pose = Poses.read(home / REFERENCE_POSE)
    pose.visible[:] = False
    (home / REFERENCE_POSE).unlink()
    pose.write(home / REFERENCE_POSE)
    line = refused(home / "reference.png", clip)
    assert f"reference.png: nobody is in it, by {REFERENCE_POSE} beside it" in line
    assert "nobody is in the reference" in refused(clip / "reference.png", home)


def test_a_detector_that_is_named_looks_for_the_person(refused, clip, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(driving, "find_pose", lambda _, search: asked.append(search.detector))
    shutil.copy(clip / "reference.png", tmp_path / "view.png")
    line = refused(tmp_path / "view.png", clip, "--detector", "dwpose")
    assert "view.png: nobody is found in it by the detector 'dwpose'" in line
    assert asked == ["dwpose"]
