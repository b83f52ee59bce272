from dataclasses import replace

import numpy as np
import pytest
import torch

from quickstep.evaluation.networks import open_networks, read_weights, without
from quickstep.evaluation.protocols import ProtocolError, find_protocol
from quickstep.networks.features import Lpips


@pytest.fixture(scope="module")
def alex(tmp_path_factory):
    """A file of AlexNet and LPIPS's heads with random weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "alex-random.pth"
    torch.save(Lpips("alex").state_dict(), path)
    return path


@pytest.fixture
def protocol():
    return replace(find_protocol("clean"), metrics=("psnr", "lpips_alex"))


def test_weights_that_were_not_given_stop_it():
    with pytest.raises(
        ProtocolError,
        match=r"disco-2024 measures lpips_disco: give --weights lpips_disco=PATH "
        r"\(vgg16-397923af.pth of the torch hub.*\), or leave it out by --without lpips_disco "
        r"\(lpips_disco, fid, fid_vid, fvd need weights\)",
    ):
        open_networks(find_protocol("disco-2024"), {})


def test_weights_that_nothing_needs_are_refused(protocol):
    with pytest.raises(ProtocolError, match="--weights fid: clean needs weights for lpips_alex"):
        open_networks(protocol, {"lpips_alex": "a", "fid": "b"})
    none = replace(protocol, metrics=("psnr",))
    with pytest.raises(ProtocolError, match="--weights fid: clean needs weights for no metric"):
        open_networks(none, {"fid": "b"})


def test_networks_are_described_by_what_they_were_read_from(protocol, alex):
    networks = open_networks(protocol, {"lpips_alex": str(alex)})
    told = networks.describe()["lpips_alex"]
    assert len(told["sha256"]) == 64
    assert (told["window"], told["window_stride"], told["device"]) == (16, 1, "cpu")
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    assert float(networks.loaded["lpips_alex"](frames, frames)) == 0
    again = open_networks(protocol, {"lpips_alex": f"{alex}#{told['sha256'][:12].upper()}"})
    assert again.describe() == networks.describe()


def test_weights_of_another_digest_are_refused(protocol, alex):
    with pytest.raises(ValueError, match="alex-random.pth: its sha256 is .*, but must be 0000000"):
        open_networks(protocol, {"lpips_alex": f"{alex}#{'0' * 64}"})
    with pytest.raises(ValueError, match="nowhere.pth"):
        open_networks(protocol, {"lpips_alex": "nowhere.pth"})


def test_metrics_are_left_out_by_name():
    disco = find_protocol("disco-2024")
    left = without(disco, ("fid", "fvd"))
    assert left.metrics == ("l1_disco", "psnr_disco", "ssim_disco", "lpips_disco", "fid_vid")
    assert without(disco, ()) == disco
    with pytest.raises(ProtocolError, match="disco-2024 has no metric 'psnr': it has l1_disco"):
        without(disco, ("psnr",))
    with pytest.raises(ProtocolError, match="leaves nothing to measure"):
        without(disco, disco.metrics)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["fid"], "--weights needs NAME=PATH: got 'fid'"),
        (["fid="], "--weights needs NAME=PATH: got 'fid='"),
        (["psnr=a"], "no metric 'psnr' takes weights: lpips_vgg, "),
        (["fid=a", "fid=b"], "--weights gives 'fid' twice"),
    ],
)
def test_texts_that_give_no_weights_are_refused(given, message):
    with pytest.raises(ProtocolError, match=message):
        read_weights(given)


def test_weights_are_read_from_texts():
    assert read_weights(["fid=a/b.pth", "fvd=c=d.pt"]) == {"fid": "a/b.pth", "fvd": "c=d.pt"}
