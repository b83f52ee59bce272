from quickstep.apps.cli import main
from quickstep.data.video import read_video


def test_clips_are_rendered_and_can_be_danced(model_folders, tmp_path, capsys):
    out = tmp_path / "clips"
    words = ("--clips", "2", "--frames", "2", "--size", "32", "--device", "cpu")
    assert main(["dancer", str(out), *words]) == 0
    assert "2 clips" in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {"00000", "00001", "contact.png"}
    person = out / "00000" / "reference.png"
    words = ("-o", str(tmp_path / "out.mp4"), "--model", str(model_folders / "student"))
    assert main(["animate", str(person), str(out / "00001"), *words]) == 0
    assert read_video(tmp_path / "out.mp4").frames.shape == (2, 64, 64, 3)


def test_mistakes_are_one_line(tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for words in (
        ("full",),
        ("full/thesis.txt/clips",),
        ("new", "--clips", "0"),
        ("new", "--size", "2"),
        ("new", "--seed", "-1"),
    ):
        assert main(["dancer", str(tmp_path / words[0]), *words[1:], "--device", "cpu"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "new").exists()
