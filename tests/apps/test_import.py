"""``quickstep import``: what it prints, and what it says of files that do not fit."""

import json

import pytest
import torch

from borrowed import borrowed
from quickstep.apps.cli import main
from quickstep.checkpoints import unianimate

_FIXTURES = borrowed("checkpoints/conftest.py")

small_family = _FIXTURES.small_family
states = _FIXTURES.states
public_files = _FIXTURES.public_files


@pytest.fixture
def words(small_family, public_files, monkeypatch):
    monkeypatch.setattr(unianimate, "family", lambda: small_family)
    options = [(f"--{name}", str(path)) for name, path in public_files.items()]
    return ["import", "unianimate", *(word for option in options for word in option)]


def test_a_folder_is_made_and_summed_up(words, tmp_path, capsys):
    assert main([*words, "--json", str(tmp_path / "model")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["output"] == str(tmp_path / "model")
    assert [row["name"] for row in told["files"]] == ["unet", "vae", "clip"]
    assert (tmp_path / "model" / "quickstep.json").is_file()


def test_check_says_what_is_there_and_writes_nothing(words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--check"]) == 0
    told = capsys.readouterr().out
    assert "tensors from" in told
    assert "0 faults" in told
    assert told.count("sha256") == 3
    assert not list(tmp_path.iterdir())


def test_check_lists_every_fault(words, public_files, tmp_path, capsys):
    state = torch.load(public_files["unet"], weights_only=True)["state_dict"]
    for key in [key for key in state if key.startswith("out.")]:
        state[key.replace("out.", "uot.")] = state.pop(key)
    torch.save(state, tmp_path / "bad.pth")
    words[words.index("--unet") + 1] = str(tmp_path / "bad.pth")
    assert main([*words, "--check"]) == 2
    told = capsys.readouterr()
    assert "  out.0.bias is missing\n  out.0.weight is missing\n  out.2.bias" in told.out
    assert told.err.strip() == f"quickstep: error: {tmp_path}/bad.pth: 8 faults"
    assert main([*words, str(tmp_path / "model")]) == 2
    assert "6 more (--check lists all)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pth"]


def test_an_output_is_needed_and_must_be_writable(words, tmp_path, capsys):
    assert main(words) == 2
    assert "import needs OUT" in capsys.readouterr().err
    (tmp_path / "file").write_text("x")
    assert main([*words, str(tmp_path / "file" / "model")]) == 2
    assert "is a file" in capsys.readouterr().err


def test_a_read_only_output_is_named(words, tmp_path, capsys, monkeypatch):
    """As root nothing is read-only: the system's answer is put in its place."""
    monkeypatch.setattr("os.access", lambda path, mode, **whose: False)
    assert main([*words, str(tmp_path / "model")]) == 2
    assert f"{tmp_path} cannot be written to" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
