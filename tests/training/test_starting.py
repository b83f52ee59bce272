"""Adapters that go on from the accelerator of a phase before."""

import json

import pytest
import torch
from torch import nn

from quickstep.config import to_dict
from quickstep.networks.accelerator import network_digest
from quickstep.networks.adapters import AdapterConfig, with_adapter
from quickstep.networks.folder import Settings, save_model
from quickstep.networks.unianimate import UniAnimateUNet
from quickstep.training.starting import started_network

CONFIG = AdapterConfig(rank=2, alpha=6.0)


@pytest.fixture
def base(small_champ):
    return small_champ().denoiser.requires_grad_(False)


@pytest.fixture
def accelerator(base, tmp_path):
    """One that has learned something, and its folder."""
    student = with_adapter(base, CONFIG)
    with torch.no_grad():
        for low_rank in student.low_ranks().values():
            low_rank.lora_B.weight.normal_()
    settings = Settings(
        role="student", method="cosec", family="champ", teacher="x", teacher_digest="a" * 12
    )
    others = ("reference_unet", "pose_encoders", "vae", "image_encoder")
    parts = {"unet": student, **{name: nn.Identity() for name in others}}
    save_model(tmp_path / "first", parts=parts, settings=settings, card="")
    return student, tmp_path / "first"


def test_an_adapter_goes_on_from_an_accelerator_of_its_teacher(base, accelerator):
    first, folder = accelerator
    second = started_network(with_adapter(base, CONFIG), part="unet", init=folder, of="a" * 12)
    wanted = first.state_dict()
    for key, value in second.state_dict().items():
        torch.testing.assert_close(value, wanted[key], msg=key)
    with pytest.raises(ValueError, match=f"with the weights {'a' * 12}: this adapter's has bbb"):
        started_network(with_adapter(base, CONFIG), part="unet", init=folder, of="bbb")
    other = with_adapter(base, AdapterConfig(rank=3))
    with pytest.raises(ValueError, match="the accelerator is of another network"):
        started_network(other, part="unet", init=folder, of="a" * 12)


def test_it_does_not_go_on_from_a_whole_model(base, tmp_path):
    settings = to_dict(Settings(role="teacher", method="denoising", family="champ"))
    (tmp_path / "quickstep.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="is no accelerator: an adapter starts as its teacher"):
        started_network(
            with_adapter(base, CONFIG), part="unet", init=tmp_path, of=network_digest(base)
        )


def test_what_learns_along_the_frames_is_found(base):
    student = with_adapter(base, CONFIG)
    along = {id(low_rank) for low_rank in student.motion_modules()}
    places = {name for name, each in student.low_ranks().items() if id(each) in along}
    assert places == {name for name in student.low_ranks() if ".motion_modules." in name}
    assert places


def test_a_network_of_another_shape_is_one_line(tmp_path):
    def network(width):
        return UniAnimateUNet(width=32, multipliers=(1,), head_dim=16, condition_width=width)

    network(8).save_pretrained(tmp_path / "unet")
    with pytest.raises(ValueError, match="of another shape: size mismatch for .*Size") as caught:
        started_network(network(16), part="unet", init=tmp_path)
    assert "\n" not in str(caught.value)
