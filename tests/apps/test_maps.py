from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickstep.apps.cli import main
from quickstep.conditions.body import BodyMesh
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.video import read_video

CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dancer") / "clips"
    return write_dancer_clips(out, num_clips=1, num_frames=3, size=48, seed=5)[0]


def test_a_dancer_is_shown_as_champ_is_shown_it(clip: Path, tmp_path: Path, capsys):
    out = tmp_path / "maps"
    words = ("--size", "64", "96", "--over", str(clip / "video.mp4"))
    assert main(["maps", str(clip / "body.npz"), "-o", str(out), *words, *CPU]) == 0
    assert "3 frames, 64x96 px" in capsys.readouterr().out
    normal, mask = (read_video(out / f"{name}.mp4") for name in ("normal", "mask"))
    assert normal.frames.shape == (3, 96, 64, 3) and float(normal.fps) == 12.0
    mesh = BodyMesh.read(clip / "body.npz").resized((64, 96))
    rows = np.flatnonzero(mask.frames.any(axis=(0, 2, 3)))
    inside = mesh.projected()[..., 1].clip(0, 96)
    assert abs(rows[0] - inside.min()) < 2 and abs(rows[-1] + 1 - inside.max()) < 2
    # the clip folder's own skeleton, with a face, not the bare joints
    drawn = read_video(out / "dwpose.mp4").frames
    assert (
        main(
            [
                "maps",
                str(clip / "body.npz"),
                "-o",
                str(tmp_path / "b"),
                "--size",
                "64",
                "96",
                "--skeleton",
                str(clip / "skeletons.npz"),
                *CPU,
            ]
        )
        == 0
    )
    np.testing.assert_array_equal(read_video(tmp_path / "b" / "dwpose.mp4").frames, drawn)


def test_parameters_by_the_references_body(
    tmp_path: Path, model_file: Path, motion_fields: dict[str, Any], capsys
):
    np.savez(tmp_path / "motion.npz", **motion_fields)
    larger = {**motion_fields, "betas": np.array([3.0, 0.0]), "size": np.array([80, 96])}
    np.savez(tmp_path / "person.npz", **larger)
    words = [
        "maps",
        str(tmp_path / "motion.npz"),
        "--smpl",
        str(model_file),
        "--layout",
        "pictures",
    ]
    assert main([*words, "-o", str(tmp_path / "own"), *CPU]) == 0
    words += ["--reference", str(tmp_path / "person.npz")]
    assert main([*words, "-o", str(tmp_path / "taken"), *CPU]) == 0
    out = capsys.readouterr().out
    assert "own: 3 frames, 64x96 px" in out and "taken: 3 frames, 80x96 px" in out
    assert {path.name for path in (tmp_path / "own" / "dwpose").iterdir()} == {
        "0000.png",
        "0001.png",
        "0002.png",
    }


def test_mistakes_are_one_line_and_leave_nothing(clip: Path, tmp_path: Path, capsys):
    mesh = BodyMesh.read(clip / "body.npz")
    fields = {
        name: getattr(mesh, name) for name in ("verts", "faces", "part", "cam_t", "focal", "size")
    }
    np.savez(tmp_path / "bare.npz", **fields)
    np.savez(tmp_path / "behind.npz", **{**fields, "cam_t": -mesh.cam_t})
    np.savez(tmp_path / "short.npz", **{**fields, "verts": mesh.verts[:2], "cam_t": mesh.cam_t[:2]})
    skeleton, short = str(clip / "skeletons.npz"), str(tmp_path / "short.npz")
    body, bare = str(clip / "body.npz"), str(tmp_path / "bare.npz")
    before = {path.name for path in tmp_path.iterdir()}
    cases = {
        "bare.npz: no joints": (bare,),
        "behind.npz: verts + cam_t must lie before the camera": (str(tmp_path / "behind.npz"),),
        "none.npz: no such file": (str(tmp_path / "none.npz"),),
        "3 frames, but the body has 2": (short, "--skeleton", skeleton),
        "has no effect with": (bare, "--without-skeleton", "--skeleton", body),
        "--camera reference has no effect": (bare, "--camera", "reference"),
        "size must be whole pixels": (body, "--size", "0", "5"),
    }
    for message, words in cases.items():
        assert main(["maps", *words, "-o", str(tmp_path / "out"), *CPU]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
    assert {path.name for path in tmp_path.iterdir()} == before
    assert main(["maps", bare, "-o", str(tmp_path / "out"), "--without-skeleton", *CPU]) == 0
    assert not (tmp_path / "out" / "dwpose.mp4").exists()
    assert main(["maps", bare, "-o", str(tmp_path / "out"), *CPU]) == 2
    assert "out: already there" in capsys.readouterr().err
