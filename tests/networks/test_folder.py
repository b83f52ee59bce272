import dataclasses
import json
import shutil

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from quickstep.networks import folder as folder_module
from quickstep.networks.autoencoder import small_autoencoder
from quickstep.networks.cards import with_head, without_head
from quickstep.networks.clip import small_image_encoder
from quickstep.networks.families import network_parts
from quickstep.networks.folder import (
    ModelError,
    ScheduleSettings,
    Settings,
    built_in_models,
    load_model,
    read_settings,
    save_model,
)
from quickstep.networks.unianimate import UniAnimateUNet

SETTINGS = Settings(
    role="student",
    method="dancelcm",
    sampler="segment",
    segments=2,
    steps_allowed=(2, 4),
    steps_best=4,
    frames=4,
    size=(32, 48),
    recipe="dancelcm_lab",
)


@pytest.fixture(scope="module")
def parts():
    torch.manual_seed(0)
    unet = UniAnimateUNet(
        width=16,
        multipliers=(1, 2),
        num_res_blocks=1,
        attn_scales=(1.0,),
        head_dim=8,
        num_first_heads=2,
        context_width=16,
        image_width=16,
        num_text_tokens=3,
        condition_channels=4,
        condition_width=8,
        resolution=(32, 48),
        norm_num_groups=8,
    )
    unet.set_empty_text(torch.randn(1, 3, 16))
    vae = small_autoencoder(size=32, latent_channels=4, widths=(8, 8, 8, 8), scaling_factor=0.5)
    encoder = small_image_encoder(size=16, patch=8, width=16, num_layers=1, projection=16)
    return {"unet": unet, "vae": vae, "image_encoder": encoder}


@pytest.fixture(scope="module")
def saved(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "student"
    return save_model(path, parts=parts, settings=SETTINGS, card="# A student\n")


def test_a_model_comes_back_bit_for_bit(parts, saved):
    model = load_model(saved)
    assert model.settings == SETTINGS
    assert model.card == "# A student\n"
    for name, part in {
        "unet": model.network,
        "vae": model.vae,
        "image_encoder": model.image_encoder,
    }.items():
        assert not part.training
        wanted = parts[name].state_dict()
        for key, value in part.state_dict().items():
            assert torch.equal(value, wanted[key]), key
    assert torch.equal(model.network.empty_text, parts["unet"].empty_text)
    assert model.vae.config["scaling_factor"] == 0.5


def test_the_card_tells_the_hub_what_the_model_is(saved):
    told = ModelCard.load(saved / "README.md").data.to_dict()
    assert told["library_name"] == "quickstep"
    assert told["pipeline_tag"] == "image-to-video"
    assert told["license"] == "apache-2.0"
    assert (told["steps"], told["guidance"]) == (4, 1.0)
    assert "base_model" not in told
    bound = dataclasses.replace(
        SETTINGS, licence="research, non-commercial", teacher="owner/teacher", teacher_digest="1"
    )
    card = with_head((saved / "README.md").read_text(), bound)
    told = ModelCard(card).data.to_dict()
    assert (told["license"], told["license_name"]) == ("other", "research-non-commercial")
    assert told["base_model"] == "owner/teacher"
    assert without_head(card) == "# A student\n"


def test_the_layout_is_that_of_diffusers(saved):
    index = json.loads((saved / "model_index.json").read_text())
    assert index["vae"] == ["diffusers", "AutoencoderKL"]
    assert index["image_encoder"] == ["transformers", "CLIPVisionModelWithProjection"]
    assert index["unet"] == ["quickstep", "UniAnimateUNet"]
    for name in ("unet", "vae", "image_encoder"):
        assert (saved / name / "config.json").is_file()
        assert list((saved / name).glob("*.safetensors"))
    assert not list(saved.rglob("*.bin"))


def test_half_halves_the_file_and_loads_as_any_type(parts, saved, tmp_path):
    half = save_model(tmp_path / "half", parts=parts, settings=SETTINGS, card="", half=True)
    name = "unet/diffusion_pytorch_model.safetensors"
    assert (half / name).stat().st_size < 0.6 * (saved / name).stat().st_size
    assert {value.dtype for value in load_file(half / name).values()} == {torch.float16}
    model = load_model(half)
    for key, value in model.network.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, parts["unet"].state_dict()[key], atol=1e-3, rtol=1e-3)
    assert next(load_model(half, dtype=torch.bfloat16).network.parameters()).dtype == torch.bfloat16


def test_weights_too_large_for_half_are_refused(parts, tmp_path):
    vae = small_autoencoder(size=32, latent_channels=4, widths=(8, 8, 8, 8))
    with torch.no_grad():
        next(vae.parameters()).fill_(1e6)
    with pytest.raises(ValueError, match="float16"):
        save_model(
            tmp_path / "x", parts={**parts, "vae": vae}, settings=SETTINGS, card="", half=True
        )
    assert not list(tmp_path.iterdir())


def test_saving_replaces_a_model_and_nothing_else(parts, saved, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(saved, path)
    other = dataclasses.replace(SETTINGS, recipe="other")
    save_model(path, parts=parts, settings=other, card="")
    assert read_settings(path).recipe == "other"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    (tmp_path / "thesis").mkdir()
    with pytest.raises(ValueError, match="thesis exists and is not a model folder"):
        save_model(tmp_path / "thesis", parts=parts, settings=SETTINGS, card="")
    with pytest.raises(ValueError, match="parts must be"):
        save_model(tmp_path / "y", parts={"vae": parts["vae"]}, settings=SETTINGS, card="")


def test_models_are_found_by_name_by_run_and_by_folder(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_module, "BUILT_IN", saved.parent)
    assert built_in_models() == ["student"]
    assert load_model("student").name == "student"
    shutil.copytree(saved, tmp_path / "run" / "model")
    assert load_model(tmp_path / "run").settings == SETTINGS


def test_an_unknown_name_lists_the_built_in_ones(saved, monkeypatch):
    monkeypatch.setattr(folder_module, "BUILT_IN", saved.parent)
    with pytest.raises(ModelError, match=r"unknown model 'danser': built-in models are student"):
        load_model("danser")


def test_folders_that_are_no_models_are_named(saved, tmp_path):
    with pytest.raises(ModelError, match=r"has no quickstep\.json"):
        load_model(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(saved, broken)
    shutil.rmtree(broken / "vae")
    with pytest.raises(ModelError, match="broken/vae cannot be loaded") as caught:
        load_model(broken)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"stepz": 4}, "stepz"), ({"role": 3}, "role"), ({"frames": 0}, "frames")],
)
def test_settings_are_read_strictly(saved, tmp_path, change, message):
    values = json.loads((saved / "quickstep.json").read_text()) | change
    (tmp_path / "quickstep.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match=message):
        read_settings(tmp_path)


def test_settings_name_their_schedule():
    rescaled = ScheduleSettings().build()
    assert float(rescaled.alpha_bar[-1]) == 0
    plain = ScheduleSettings(kind="linear", zero_terminal_snr=False).build()
    assert float(plain.alpha_bar[-1]) > 0


def test_a_segment_sampler_needs_segments():
    with pytest.raises(ValueError, match="segments"):
        Settings(role="student", method="dancelcm", sampler="segment")


def test_a_champ_and_a_student_that_shares_its_encoders(small_champ, parts, tmp_path):
    encoders = {name: parts[name] for name in ("vae", "image_encoder")}
    network = small_champ()
    settings = Settings(role="teacher", method="denoising", family="champ", frames=4)
    save_model(
        tmp_path / "teacher",
        parts={**network_parts(network), **encoders},
        settings=settings,
        card="",
        half=True,
    )
    assert {path.name for path in (tmp_path / "teacher").iterdir() if path.is_dir()} == {
        *("unet", "reference_unet", "pose_encoders", "vae", "image_encoder")
    }
    teacher = load_model(tmp_path / "teacher")
    for name, part in network_parts(teacher.network).items():
        wanted = network.parts[name].state_dict()
        for key, value in part.state_dict().items():
            torch.testing.assert_close(value, wanted[key].half().float(), rtol=0, atol=0)
    home = str(tmp_path / "teacher")
    shared = dataclasses.replace(settings, role="student", encoders_of=home, reference_of=home)
    save_model(
        tmp_path / "student",
        parts={**network_parts(small_champ(seed=1)), **encoders},
        settings=shared,
        card="",
    )
    assert [path.name for path in (tmp_path / "student").iterdir() if path.is_dir()] == ["unet"]
    student = load_model(tmp_path / "student")
    known, found = (one.network.reference_unet.state_dict() for one in (teacher, student))
    assert all(torch.equal(known[key], value) for key, value in found.items())
    shutil.rmtree(tmp_path / "teacher")
    with pytest.raises(ModelError, match="unknown model .*teacher"):
        load_model(tmp_path / "student")
    with pytest.raises(ValueError, match="parts must be .*pose_encoders"):
        save_model(tmp_path / "x", parts=parts, settings=settings, card="")
    with pytest.raises(ValueError, match="reference_of is for family 'champ'"):
        dataclasses.replace(SETTINGS, reference_of="x")
