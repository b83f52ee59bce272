"""Files of other programs: what is read, that nothing of them is run, and what is refused."""

import os
import pickle
import sys
import types
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from quickstep.checkpoints.files import CheckpointError, CheckpointFile


@pytest.fixture
def state():
    torch.manual_seed(0)
    return {
        "plain": torch.randn(3, 4),
        "turned": torch.randn(4, 5).t(),
        "cut": torch.randn(6, 4)[2:4, 1:],
        "half": torch.randn(7).half(),
        "brain": torch.randn(7).bfloat16(),
        "count": torch.tensor(5),
        "empty": torch.empty(0, 3),
    }


def same(file, state):
    assert set(file.tensors) == set(state)
    for key, value in state.items():
        read = file.read(key)
        assert read.dtype == value.dtype
        assert torch.equal(read, value), key
        assert file.tensors[key].shape == tuple(value.shape)


def test_torch_files_are_read_as_torch_reads_them(state, tmp_path):
    torch.save({"state_dict": state, "step": 7}, tmp_path / "a.pth")
    same(CheckpointFile(tmp_path / "a.pth"), state)
    torch.save(state, tmp_path / "b.bin")
    same(CheckpointFile(tmp_path / "b.bin"), state)
    shared = torch.randn(10)
    torch.save({"a": shared[:5], "b": shared[5:]}, tmp_path / "c.pt")
    same(CheckpointFile(tmp_path / "c.pt"), {"a": shared[:5], "b": shared[5:]})


def test_old_files_and_safetensors_are_read(state, tmp_path):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    same(CheckpointFile(tmp_path / "old.pth"), state)
    packed = {key: value.contiguous() for key, value in state.items()}
    save_file(packed, tmp_path / "a.safetensors")
    same(CheckpointFile(tmp_path / "a.safetensors"), state)


@pytest.fixture
def lightning(monkeypatch):
    """Lightning's callback, as it stands in a checkpoint that it wrote."""
    names = ["pytorch_lightning", "pytorch_lightning.callbacks"]
    for name in names:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    class ModelCheckpoint:
        pass

    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = names[1], "ModelCheckpoint"
    sys.modules[names[1]].ModelCheckpoint = ModelCheckpoint  # pyright: ignore[reportAttributeAccessIssue]
    return ModelCheckpoint


def test_other_objects_of_lightning_are_left_out(state, lightning, tmp_path, monkeypatch):
    callback = lightning()
    callback.best = torch.tensor(0.5)
    content = {"state_dict": state, "callbacks": {lightning: {"best": 0.1}}, "hyper": callback}
    torch.save(content, tmp_path / "a.ckpt")
    monkeypatch.delitem(sys.modules, "pytorch_lightning.callbacks")
    same(CheckpointFile(tmp_path / "a.ckpt"), state)


class Evil:
    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)

    def __init__(self, mark):
        self.mark = mark


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_pickle_is_named_and_not_run(state, tmp_path, new):
    mark = tmp_path / "ran"
    content = {"state_dict": state, "extra": Evil(mark)}
    torch.save(content, tmp_path / "evil.ckpt", _use_new_zipfile_serialization=new)
    with pytest.raises(
        CheckpointError, match=r"evil\.ckpt wants code to run \(posix\.system\)"
    ) as e:
        CheckpointFile(tmp_path / "evil.ckpt")
    assert "\n" not in str(e.value)
    assert not mark.exists()
    # The file does what it says where it is let to.
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert mark.exists()


def test_a_plain_pickle_with_code_is_not_run(tmp_path):
    mark = tmp_path / "ran"
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(CheckpointError, match="wants code to run|no file of torch"):
        CheckpointFile(tmp_path / "evil.pth")
    assert not mark.exists()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.999])
@pytest.mark.parametrize("name", ["a.pth", "old.pth", "a.safetensors"])
def test_a_file_that_is_cut_short_is_named(name, share, tmp_path):
    state = {"a": torch.randn(50, 50), "b": torch.randn(50)}
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=name[0] == "a")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match=name) as error:
        CheckpointFile(path)
    assert "\n" not in str(error.value)


def test_files_of_another_kind_are_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        CheckpointFile(tmp_path / "none.pth")
    with pytest.raises(IsADirectoryError, match="name the file"):
        CheckpointFile(tmp_path)
    (tmp_path / "page.pth").write_text("<html>please log in</html>")
    with pytest.raises(CheckpointError, match=r"page\.pth is no checkpoint"):
        CheckpointFile(tmp_path / "page.pth")
    with zipfile.ZipFile(tmp_path / "some.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", "x" * 100)
    with pytest.raises(CheckpointError, match="compressed archive"):
        CheckpointFile(tmp_path / "some.pth")
    with zipfile.ZipFile(tmp_path / "other.pth", "w") as archive:
        archive.writestr("word/document.xml", "x")
    with pytest.raises(CheckpointError, match=r"other\.pth is cut short or no file of torch"):
        CheckpointFile(tmp_path / "other.pth")
    torch.save({"step": 3}, tmp_path / "step.pth")
    with pytest.raises(CheckpointError, match="holds no weights"):
        CheckpointFile(tmp_path / "step.pth")
    torch.save([torch.ones(2)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds no weights"):
        CheckpointFile(tmp_path / "list.pth")
