import hashlib
from collections import OrderedDict

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from torch import nn

from quickstep.evaluation import weights
from quickstep.evaluation.weights import (
    WeightsError,
    digest_of,
    find_weights,
    load_network,
    mismatch,
    read_weights,
)


def network():
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 1), bn=nn.BatchNorm2d(4)))


@pytest.fixture
def state(generator):
    return {
        "conv.weight": torch.randn(4, 3, 1, 1, generator=generator),
        "conv.bias": torch.randn(4, generator=generator),
        "bn.weight": torch.ones(4),
        "bn.bias": torch.zeros(4),
        "bn.running_mean": torch.zeros(4),
        "bn.running_var": torch.ones(4),
    }


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", ["plain", "checkpoint"])
def test_torch_files_of_every_age(tmp_path, state, legacy, wrap):
    path = tmp_path / "a.pth"
    content = OrderedDict(state)
    if wrap == "checkpoint":
        inner = {f"module.{key}": value for key, value in state.items()}
        content = {"epoch": 3, "arch": "resnet-50", "state_dict": inner}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    loaded = load_network(network, [path])
    assert not loaded.training
    assert not any(value.requires_grad for value in loaded.parameters())
    for key, value in state.items():
        assert torch.equal(loaded.state_dict()[key], value)
    assert loaded(torch.zeros(1, 3, 2, 2)).shape == (1, 4, 2, 2)


def test_safetensors_and_halves_become_float32(tmp_path, state):
    path = tmp_path / "a.safetensors"
    save_file({key: value.half() for key, value in state.items()}, path)
    loaded = load_network(network, [path])
    assert loaded.state_dict()["conv.weight"].dtype == torch.float32


def test_several_files_and_names_of_no_use(tmp_path, state):
    first, second = tmp_path / "a.pt", tmp_path / "b.safetensors"
    torch.save({"conv.bias": state.pop("conv.bias"), "fc.weight": torch.ones(2)}, first)
    save_file(state, second)
    load_network(network, [first, second], ignored=r"fc\.")
    with pytest.raises(WeightsError, match=r"a\.pt \+ .*b\.safetensors: 1 unknown weight \(fc\."):
        load_network(network, [first, second])


def test_what_is_wrong_is_named(tmp_path, state):
    del state["bn.weight"]
    state["conv.bias"] = torch.zeros(5)
    state["logits.bias"] = torch.zeros(2)
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(WeightsError) as caught:
        load_network(network, [tmp_path / "a.pt"])
    assert str(caught.value) == (
        f"{tmp_path}/a.pt: 1 missing weight (bn.weight); 1 unknown weight (logits.bias); "
        "1 weight of another shape (conv.bias is (5), not (4))"
    )
    many = {f"w{index}": torch.zeros(1) for index in range(9)}
    assert mismatch(many, {}) == "9 missing weights (w0, w1, w2, ...)"
    assert mismatch(many, many) == ""


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04", b"\x80\x02}q"])
def test_damaged_files_are_one_line(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name}: not a weight file") as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)


def test_code_is_never_run(tmp_path, capsys):
    path = tmp_path / "a.pt"
    torch.save({"a": Bomb()}, path)
    with pytest.raises(WeightsError, match="more than tensors"):
        read_weights(path)
    assert "boom" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [torch.zeros(2), {"state_dict": 3}, {"a": "text"}])
def test_files_without_named_tensors(tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(WeightsError, match=r"a\.pt: it holds no named tensors"):
        read_weights(tmp_path / "a.pt")


def test_digests(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert digest_of(path) == digest_of(path, digest) == digest_of(path, digest[:8].upper())
    with pytest.raises(WeightsError, match=rf"a\.pt: its sha256 is {digest}, but must be 00000000"):
        digest_of(path, "00000000")
    for odd in ("", "abc", "not a digest", digest + "0"):
        with pytest.raises(WeightsError, match="8 to 64 hexadecimal digits"):
            digest_of(path, odd)


def test_a_digest_in_the_name_is_checked(tmp_path):
    digest = hashlib.sha256(b"weights").hexdigest()
    good, bad = tmp_path / f"net-2015-12-05-{digest[:8]}.pth", tmp_path / "net-6726825d.pth"
    for path in (good, bad):
        path.write_bytes(b"weights")
    assert digest_of(good) == digest
    with pytest.raises(WeightsError, match="must be 6726825d"):
        digest_of(bad)
    assert digest_of(bad, digest) == digest


def test_places(tmp_path, monkeypatch):
    file = tmp_path / "public.pth"
    file.touch()
    assert find_weights(file, "other.pth") == file
    assert find_weights(str(tmp_path), "public.pth") == file
    with pytest.raises(WeightsError, match=r"the folder has no other\.pth"):
        find_weights(tmp_path, "other.pth")
    with pytest.raises(WeightsError, match=r"no such file; give the path of public\.pth"):
        find_weights(tmp_path / "absent.pth", "public.pth")

    asked = []

    def download(repository, name):
        asked.append((repository, name))
        if repository == "owner/empty":
            raise LocalEntryNotFoundError("offline")
        return str(file)

    monkeypatch.setattr(weights, "hf_hub_download", download)
    assert huggingface_hub.hf_hub_download is not download
    assert find_weights("owner/repository/folder/net.pth", "public.pth") == file
    assert asked == [("owner/repository", "folder/net.pth")]
    with pytest.raises(WeightsError, match="not to be had from the hub; give the path"):
        find_weights("owner/empty/net.pth", "public.pth")
    for escape in ("../a/b/c.pth", "/a/b/c.pth", "a/../b/c.pth", "a/b/../../c.pth"):
        with pytest.raises(WeightsError, match="no such file; give the path"):
            find_weights(escape, "public.pth")
    assert len(asked) == 2
