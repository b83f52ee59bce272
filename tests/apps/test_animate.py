import errno
import json
import os

import av
import numpy as np
import pytest
from PIL import Image

from limits import files_end_at, ordinary_user
from quickstep.apps.cli import main
from quickstep.conditions.drawing import draw_skeletons
from quickstep.data.video import read_video, video_info, write_video


@pytest.fixture
def files(tmp_path, picture, dance, monkeypatch):
    """A folder to work in with a picture and a dance, and nothing else."""
    Image.fromarray(picture).save(tmp_path / "person.png")
    dance(3).write(tmp_path / "dance.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def animate(model_folders):
    """Runs ``quickstep animate`` with the tiny student."""

    def run(*words, model="student"):
        return main(["animate", "--model", str(model_folders / model), "--device", "cpu", *words])

    return run


PAIR = ("person.png", "dance.npz", "-o", "out.mp4")


def test_an_mp4_comes_out(files, animate):
    assert animate(*PAIR) == 0
    video = read_video("out.mp4")
    assert video.frames.shape == (3, 64, 64, 3)
    assert video.fps == 12
    tags = video_info("out.mp4").metadata
    assert tags["seed"] == "0"
    assert "generated" in tags["comment"]
    assert "student" in tags["model"]
    assert sorted(os.listdir()) == ["dance.npz", "out.mp4", "person.png"]


def test_a_summary_is_json(files, animate, capsys):
    assert animate(*PAIR, "--json", "--steps", "4", "--seed", "3") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["steps"], summary["seed"], summary["evaluations"]) == (4, 3, 4)
    assert set(summary["timings"]) >= {"load", "conditions", "denoise", "decode", "write", "total"}
    assert min(summary["timings"].values()) >= 0


def test_compare_shows_reference_skeleton_and_result(files, animate):
    assert animate(*PAIR, "--compare", "side.mp4") == 0
    assert read_video("side.mp4").frames.shape == (3, 64, 3 * 64 + 2 * 2, 3)
    assert read_video("out.mp4").frames.shape == (3, 64, 64, 3)


def test_a_clip_folder_adds_its_truth(files, animate, dance):
    os.mkdir("clip")
    dance(3).write(files / "clip" / "skeletons.npz")
    write_video(files / "clip" / "video.mp4", np.zeros((3, 64, 64, 3), np.uint8), fps=12.0)
    assert animate("person.png", "clip", "-o", "out.mp4", "--compare", "side.mp4") == 0
    assert read_video("side.mp4").frames.shape == (3, 64, 4 * 64 + 3 * 2, 3)


def _write_with_sound(path):
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=12)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=16000, layout="mono")
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        wave = np.sin(np.arange(4096) / 10).astype(np.float32)[None]
        samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        samples.sample_rate = 16000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))


def test_the_sound_is_kept(files, animate, dance):
    os.mkdir("clip")
    dance(3).write(files / "clip" / "skeletons.npz")
    _write_with_sound(files / "clip" / "video.mp4")
    assert animate("person.png", "clip", "-o", "out.mp4") == 0
    assert video_info("out.mp4").has_audio


def test_a_skeleton_video_drives(files, animate, dance):
    big = dance(2).moved(scale=4.0, offset=(0.0, 0.0), size=(256, 256))
    drawn = draw_skeletons(big, size=(256, 256), style="dwpose")
    write_video("skeleton.mp4", drawn, fps=25.0)
    assert animate("person.png", "skeleton.mp4", "-o", "out.mp4") == 0
    assert video_info("out.mp4").fps == 25


def test_one_frame_and_many_frames(files, animate, dance):
    for count in (1, 9):
        dance(count).write(files / "dance.npz")
        assert animate(*PAIR) == 0
        assert len(read_video("out.mp4").frames) == count


def test_a_teacher_takes_steps_and_guidance(files, animate, capsys):
    words = (*PAIR, "--steps", "2", "--guidance", "2.5", "--times", "upstream", "--json")
    assert animate(*words, model="teacher") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["evaluations"], summary["times"]) == (4, [501, 1])


def test_jobs_share_one_load_and_do_not_touch_each_other(files, animate, capsys):
    lines = [
        {"image": "person.png", "driving": "dance.npz", "output": "a.mp4"},
        {"image": "person.png", "driving": "dance.npz", "output": "b.mp4", "seed": 5},
        {"image": "person.png", "driving": "dance.npz", "output": "c.mp4", "steps": 2},
    ]
    (files / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert animate("--jobs", "jobs.jsonl", "--json") == 0
    summaries = json.loads(capsys.readouterr().out)
    assert [summary["output"] for summary in summaries] == ["a.mp4", "b.mp4", "c.mp4"]
    first, second, third = (read_video(f"{name}.mp4").frames for name in "abc")
    assert (first == third).all()
    assert (first != second).any()


def test_a_job_that_fails_is_named_and_the_rest_go_on(files, animate, capsys):
    (files / "bad.npz").write_text("no keypoints")
    lines = [
        {"image": "person.png", "driving": "bad.npz", "output": "a.mp4"},
        {"image": "person.png", "driving": "dance.npz", "output": "b.mp4"},
    ]
    (files / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert animate("--jobs", "jobs.jsonl") == 2
    assert "job 1 (a.mp4): bad.npz" in capsys.readouterr().err
    assert not os.path.exists("a.mp4")
    assert os.path.exists("b.mp4")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "line 1: a job needs 'image'"),
        ("[1]", "line 1: a job must be a JSON object"),
        ("{", "line 1:"),
        ('{"imagge": "a"}', "line 1: no field 'imagge'"),
        ('{"image": 3}', "line 1: image must be str"),
        ("", "there is no job in it"),
    ],
)
def test_bad_job_files_are_refused(files, animate, capsys, line, message):
    (files / "jobs.jsonl").write_text(line)
    assert animate("--jobs", "jobs.jsonl") == 2
    assert message in capsys.readouterr().err


def _nan_keypoints(files, dance):
    poses = dance(2)
    np.savez(
        files / "nan.npz",
        keypoints=np.full_like(poses.keypoints, np.nan),
        scores=poses.scores,
        visible=poses.visible,
        size=poses.size,
        fps=poses.fps,
    )


MISTAKES = {
    "missing picture": (("nobody.png", "dance.npz", "-o", "out.mp4"), "nobody.png"),
    "missing dance": (("person.png", "nothing.npz", "-o", "out.mp4"), "nothing.npz"),
    "text named mp4": (("person.png", "text.mp4", "-o", "out.mp4"), "text.mp4"),
    "empty video": (("person.png", "empty.mp4", "-o", "out.mp4"), "empty.mp4"),
    "text named png": (("text.png", "dance.npz", "-o", "out.mp4"), "text.png"),
    "NaN keypoints": (("person.png", "nan.npz", "-o", "out.mp4"), "nan.npz"),
    "detector": (
        ("person.png", "footage.mp4", "-o", "out.mp4", "--detector", "teapot"),
        "unknown detector 'teapot'",
    ),
    "person": ((*PAIR, "--person", "tall"), "--person must be largest"),
    "no steps": ((*PAIR, "--steps", "0"), "steps must be between 1 and 1000: got 0"),
    "guidance": ((*PAIR, "--guidance", "0"), "guidance"),
    "output's kind": (("person.png", "dance.npz", "-o", "out.gif"), "out.gif"),
    "output is input": (("person.png", "text.mp4", "-o", "text.mp4"), "text.mp4"),
    "output in a file": (("person.png", "dance.npz", "-o", "person.png/x.mp4"), "person.png"),
    "output is a folder": (("person.png", "dance.npz", "-o", "folder.mp4"), "folder.mp4"),
    "device": ((*PAIR, "--device", "teapot"), "teapot"),
    "nothing": ((), "animate needs IMAGE, DRIVING"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(files, animate, dance, capsys, mistake):
    words, message = MISTAKES[mistake]
    (files / "text.mp4").write_text("these are words")
    (files / "text.png").write_text("these are words")
    (files / "empty.mp4").touch()
    (files / "folder.mp4").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    write_video(files / "footage.mp4", noise, fps=8.0)
    _nan_keypoints(files, dance)
    before = sorted(files.rglob("*"))
    assert animate(*words) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("quickstep: error: ")
    assert message in lines[0]
    assert captured.out == ""
    assert sorted(files.rglob("*")) == before


def test_an_unknown_model_is_one_line(files, capsys):
    assert main(["animate", *PAIR, "--model", "danser"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "unknown model 'danser'" in error
    assert not os.path.exists("out.mp4")


def test_a_read_only_folder_is_refused(files, animate, capsys):
    (files / "locked").mkdir(mode=0o555)
    files.chmod(0o755)
    with ordinary_user():
        code = animate("person.png", "dance.npz", "-o", "locked/out.mp4")
    assert code == 2
    assert capsys.readouterr().err == "quickstep: error: locked cannot be written to\n"
    assert sorted(os.listdir()) == ["dance.npz", "locked", "person.png"]


def test_a_full_disk_is_one_line_and_leaves_nothing(files, animate, capsys):
    with files_end_at(1000):
        assert animate(*PAIR) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("quickstep: error: ") and os.strerror(errno.EFBIG) in line
    assert sorted(os.listdir()) == ["dance.npz", "person.png"]
