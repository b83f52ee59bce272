import subprocess
import sys

import pytest

from quickstep.apps.cli import COMMANDS, main
from quickstep.apps.learning import read_changes


def test_help_does_not_import_torch():
    code = (
        "import sys\n"
        "from quickstep.apps.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as stop:\n"
        "    assert stop.code == 0\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'transformers', 'av', 'cv2', 'PIL', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert all(name in run.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert "usage: quickstep" in capsys.readouterr().out


def test_the_version_has_one_place():
    from importlib.metadata import version

    import quickstep

    assert quickstep.__version__ == version("quickstep")
    with pytest.raises(AttributeError, match="nothing"):
        quickstep.nothing  # noqa: B018


def test_changes_are_split_at_the_first_sign():
    assert read_changes(("a.b=1", "c=x=y")) == {"a.b": "1", "c": "x=y"}


@pytest.mark.parametrize("texts", [("a",), ("=1",), ("a=1", "a=2")])
def test_bad_changes_are_refused(texts):
    with pytest.raises(ValueError, match="--set"):
        read_changes(texts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "vae_dancr"), "unknown recipe 'vae_dancr': recipes are "),
        (("distill", "nothing"), "unknown recipe 'nothing': recipes are "),
        (("train", "dancelcm_dancer"), "is not for `quickstep train`: use `quickstep distill`"),
        (("distill", "clip_dancer"), "is not for `quickstep distill`: use `quickstep train`"),
        (("train", "vae_dancer", "--set", "nonsense"), "--set needs FIELD=VALUE"),
        (("train", "vae_dancer", "--set", "no_such=1"), "no_such"),
        (("train", "vae_dancer", "--set", "batch_size=many"), "batch_size"),
    ],
)
def test_bad_recipes_are_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(list(words)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.iterdir())
