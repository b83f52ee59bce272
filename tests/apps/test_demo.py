from quickstep.apps.cli import main
from quickstep.data.image import read_image
from quickstep.data.video import read_video


def test_the_demo_leaves_something_to_look_at(model_folders, tmp_path, capsys):
    folder = tmp_path / "new" / "outputs"
    words = ("--model", str(model_folders / "student"), "--frames", "5", "--device", "cpu")
    assert main(["demo", str(folder), *words]) == 0
    assert read_video(folder / "demo.mp4").frames.shape == (5, 64, 64, 3)
    assert len(read_video(folder / "demo-compare.mp4").frames) == 5
    assert read_image(folder / "demo.png").shape[0] > 4 * 64
    out = capsys.readouterr().out
    assert "denoise" in out
    assert str(folder / "demo.mp4") in out


def test_the_demo_of_a_champ_shows_it_the_maps(champ_folder, tmp_path):
    words = ("--model", str(champ_folder), "--frames", "5", "--device", "cpu", "--steps", "1")
    assert main(["demo", str(tmp_path), *words]) == 0
    sheet = read_image(tmp_path / "demo.png")
    tile = sheet.shape[0] // 4
    assert sheet[tile : 2 * tile, -64:].any(), "the skeletons are one of its maps"
    assert read_video(tmp_path / "demo.mp4").frames.shape == (5, 64, 64, 3)


def test_a_demo_that_cannot_run_leaves_nothing(tmp_path, capsys):
    assert main(["demo", str(tmp_path / "outputs"), "--model", "danser"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["demo", str(tmp_path / "outputs"), "--frames", "0"]) == 2
    assert not list(tmp_path.iterdir())
