import json
import os
from pathlib import Path

import numpy as np
import pytest

from quickstep.apps.cli import main
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.video import write_video
from quickstep.evaluation.samples import open_samples

WITHOUT = (
    *("--without", "identity", "--without", "dancer_perceptual"),
    *("--without", "dancer_frame_distance", "--without", "dancer_video_distance"),
)


def read(path):
    return json.loads(Path(path).read_text())


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "clips"
    write_dancer_clips(folder, num_clips=2, num_frames=3, size=64, seed=1_000_000)
    return folder


@pytest.fixture
def judge(tmp_path, clips, model_folders, monkeypatch):
    """Runs ``quickstep evaluate`` with the tiny student on two tiny clips."""
    monkeypatch.chdir(tmp_path)

    def run(*words, model="student", data=clips, protocol="dancer", without=WITHOUT):
        model = str(model_folders / model) if model in ("student", "teacher") else str(model)
        fixed = ("--protocol", protocol, "--device", "cpu", *without)
        words = ("evaluate", model, str(data), *fixed, *words)
        monkeypatch.setattr("sys.argv", ["quickstep", *words])
        return main(words)

    return run


def test_a_table_and_files_come_out(judge, capsys):
    outputs = ("--json", "out/a.json", "--csv", "a.csv", "--markdown", "a.md")
    assert judge("--steps", "2", "4", *outputs) == 0
    screen = capsys.readouterr().out
    assert "dancer: 2 clips, 6 frames." in screen
    result = read("out/a.json")
    assert [row["name"] for row in result["rows"]] == [
        "copy",
        "student, round trip",
        "student, 2 steps",
        "student, 4 steps",
    ]
    assert result["command"].startswith("quickstep evaluate ")
    assert {each["metric"] for each in result["comparisons"]} == set(result["protocol"]["metrics"])
    assert result["protocol"]["left_out"] == sorted(WITHOUT[1::2])
    assert os.path.exists("out/a.timings.json")
    assert Path("a.md").read_text().startswith("# dancer, version 1")
    assert Path("a.csv").read_text().count("\n") == 9
    assert os.path.isdir("runs/evaluate")


def test_the_same_command_gives_the_same_bytes(judge):
    texts = []
    for work in ("one", "one", "other"):
        command = ("--json", "a.json", "--no-baselines")
        assert judge(*command, "--work", work) == 0
        result = read("a.json")
        texts.append(json.dumps({**result, "command": ""}))
    assert texts[0] == texts[1] == texts[2]


def test_two_models_are_compared(judge, model_folders, capsys):
    teacher = str(model_folders / "teacher")
    assert judge("--steps", "2", "--compare-with", teacher, "--json", "a.json") == 0
    result = read("a.json")
    assert [row["name"] for row in result["rows"]][-1] == "teacher, 2 steps"
    assert result["comparisons"][0]["names"] == ["student, 2 steps", "teacher, 2 steps"]
    assert "student, 2 steps" in capsys.readouterr().out


def test_one_table_of_several_models_settings_and_steps(judge, model_folders):
    teacher = str(model_folders / "teacher")
    others = (
        *("--compare-with", f"{teacher} steps=2,4"),
        *("--compare-with", f"{teacher} steps=4 guidance=1.5 times=upstream"),
    )
    outputs = ("--json", "a.json", "--markdown", "a.md", "--videos", "made")
    assert judge("--steps", "2", "1", *others, *outputs, "--dtype", "bfloat16") == 0
    result = read("a.json")
    names = [row["name"] for row in result["rows"]]
    trips = [name for name in names if name.endswith("round trip")]
    assert names[0] == "copy"
    assert len(trips) == len({name.split(",")[0] for name in trips})
    guided = "teacher, 4 steps, guidance 1.5, upstream times"
    assert [name for name in names[1:] if name not in trips] == [
        *("student, 2 steps", "student, 1 step", "teacher, 2 steps", "teacher, 4 steps", guided)
    ]
    assert {tuple(each["names"]) for each in result["comparisons"]} == {
        ("student, 2 steps", "teacher, 2 steps"),
        ("student, 2 steps", guided),
        ("student, 1 step", guided),
    }
    assert {row.get("dtype") for row in result["rows"]} == {None, "torch.bfloat16"}
    assert len(os.listdir("made")) == len(names)
    assert f"| {guided} | " in Path("a.md").read_text()


def test_finished_videos_are_judged(judge, clips, tmp_path, capsys):
    for sample in open_samples(clips):
        (tmp_path / "theirs").mkdir(exist_ok=True)
        path = tmp_path / "theirs" / f"{sample.name}.mp4"
        write_video(path, sample.frames, fps=12.0, lossless=True)
    assert judge("--json", "a.json", model=tmp_path / "theirs") == 0
    result = read("a.json")
    assert [row["name"] for row in result["rows"]] == ["copy", "theirs"]
    assert result["rows"][1]["scores"]["psnr"]["value"] == 100
    assert judge("--steps", "2", model=tmp_path / "theirs") == 2
    assert "finished videos are judged as they are" in capsys.readouterr().err


def test_kept_videos_can_be_judged(judge, tmp_path):
    assert judge("--steps", "2", "--videos", "made", "--json", "a.json") == 0
    assert judge("--json", "b.json", model=tmp_path / "made" / "student__2_steps") == 0
    made = read("a.json")["rows"][2]["scores"]
    assert made == read("b.json")["rows"][1]["scores"]


def test_a_limit_takes_the_first_clips(judge):
    assert judge("--limit", "1", "--no-baselines", "--json", "a.json") == 0
    result = read("a.json")
    assert result["num_clips"] == 1
    assert [each["clip"] for each in result["rows"][0]["clips"]] == ["00000"]


def test_ranks_share_the_work(judge, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert judge("--no-baselines") == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("RANK", "0")
    assert judge("--no-baselines") == 0
    assert "2 clips" in capsys.readouterr().out


FID_ONLY = (
    *("--without", "lpips_disco", "--without", "fid_vid", "--without", "fvd"),
    *("--weights", f"fid={__file__}#00000000"),
)
MISTAKES = {
    "model": ({"model": "danser"}, "unknown model 'danser'"),
    "data": ({"data": "nothing"}, "nothing: no such file or folder"),
    "protocol": ({"protocol": "disco", "without": ()}, "no protocol 'disco'"),
    "split": ({"protocol": "tiktok", "without": ()}, "lacks 6 of the split's 6 clips"),
    "weights": (
        {"protocol": "disco-2024", "without": ()},
        "disco-2024 measures lpips_disco: give --weights lpips_disco=PATH",
    ),
    "digest": ({"protocol": "disco-2024", "without": FID_ONLY}, "but must be 00000000"),
    "no metric": ({"without": ("--without", "fid")}, "dancer has no metric 'fid'"),
}
WORDS = {
    "steps": (("--steps", "0"), "steps must be between 1 and 1000: got 0"),
    "guidance": (("--guidance", "0.5"), "guidance must be at least 1"),
    "limit": (("--limit", "0"), "limit must be 1 or more: got 0"),
    "no use": (("--weights", "fid=x.pth"), "needs weights for no metric only"),
    "itself": (("--compare-with", "dancer"), "--compare-with names the model itself: dancer"),
    "no setting": (
        ("--compare-with", "dancer step=2"),
        "'dancer step=2': after the model",
    ),
    "no times": (("--compare-with", "dancer times=x"), "times=trailing or upstream"),
    "json's kind": (("--json", "a.txt"), "a.txt: the output must end in .json"),
    "work": (("--work", "file/work"), "file is a file"),
}


@pytest.mark.parametrize("mistake", [*MISTAKES, *WORDS])
def test_a_mistake_is_one_line_and_no_number(judge, capsys, tmp_path, mistake):
    (tmp_path / "file").touch()
    given, message = MISTAKES[mistake] if mistake in MISTAKES else ({}, WORDS[mistake][1])
    words = () if mistake in MISTAKES else WORDS[mistake][0]
    given = {"model": "dancer"} if mistake == "itself" else given
    assert judge(*words, **given) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    assert message in captured.err
    assert sorted(os.listdir()) == ["file"]


def test_pairs_that_do_not_fit_are_one_line_and_no_number(judge, clips, tmp_path, capsys):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    first, second = open_samples(clips)
    write_video(theirs / "00000.mp4", first.frames, fps=12.0)
    assert judge(model=theirs) == 2
    assert "no video of 1 of 2 clips, the first is '00001'" in capsys.readouterr().err
    write_video(theirs / "00001.mp4", second.frames[:2], fps=12.0)
    assert judge(model=theirs) == 2
    assert "00001.mp4: 2 frames, but the truth has 3" in capsys.readouterr().err
    write_video(theirs / "00001.mp4", np.zeros((3, 32, 64, 3), np.uint8), fps=12.0)
    assert judge("--json", "a.json", model=theirs) == 2
    captured = capsys.readouterr()
    assert "00001.mp4: its size must be 64x64: got 64x32" in captured.err
    assert captured.out == ""
    assert not os.path.exists("a.json")
