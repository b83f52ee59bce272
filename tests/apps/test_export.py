import shutil

from quickstep.apps.cli import main
from quickstep.networks.folder import load_model


def test_a_run_is_exported_at_half_the_size(model_folders, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(model_folders / "student", run / "model")
    assert main(["export", str(run), str(tmp_path / "out")]) == 0
    assert "MB" in capsys.readouterr().out
    assert load_model(tmp_path / "out").settings == load_model(run).settings
    name = "unet/diffusion_pytorch_model.safetensors"
    sizes = [(folder / name).stat().st_size for folder in (tmp_path / "out", run / "model")]
    assert sizes[0] < 0.6 * sizes[1]


def test_what_is_no_run_is_named(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["export", str(tmp_path / "empty"), str(tmp_path / "out")]) == 2
    assert "empty is not a model folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
