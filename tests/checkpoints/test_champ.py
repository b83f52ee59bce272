"""Champ's public files: seven that make up three networks, and two encoders' folders."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from quickstep.apps.cli import main
from quickstep.checkpoints import animate_anyone, champ
from quickstep.checkpoints.files import CheckpointError, Stored
from quickstep.checkpoints.importing import find_parts, import_family, sha256, verify_parts
from quickstep.checkpoints.layouts import compare, shapes_of
from quickstep.networks.champ import POSE_MAPS
from quickstep.networks.champ.checkpoint import checkpoint_states
from quickstep.networks.folder import load_model, read_settings

OWN = ["denoising_unet", "motion_module", "reference_unet"]
OWN += [f"guidance_encoder_{name}" for name in POSE_MAPS]
CODE = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks"


@pytest.fixture(scope="module")
def imported(champ_family, pretrained, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "model"
    return import_family(champ_family, champ_family.find([pretrained]), out)


@pytest.fixture
def spoilt(pretrained, tmp_path):
    """A copy of the folders, to be spoilt."""
    return shutil.copytree(pretrained, tmp_path / "pretrained")


def change(folder, name, spoil):
    path = folder / "champ" / f"{name}.pth"
    state = torch.load(path, weights_only=True)
    spoil(state)
    torch.save(state, path)
    return path


def test_the_networks_are_the_files(imported, champ_states, pretrained):
    model = load_model(imported)
    found = checkpoint_states(model.network)
    assert sorted(found) == sorted(OWN)
    for file, state in found.items():
        assert sorted(state) == sorted(champ_states[file]), file
        for key, value in state.items():
            assert torch.equal(value, champ_states[file][key]), key
    vae = load_file(pretrained / "sd-vae-ft-mse/diffusion_pytorch_model.safetensors")
    for key, value in model.vae.state_dict().items():
        assert torch.equal(value, vae[key]), key
    assert model.image_encoder.config.hidden_act == "quick_gelu"


def test_licence_origin_and_digest_of_every_file_are_kept(imported, champ_family, pretrained):
    origin = json.loads((imported / "origin.json").read_text())
    card = (imported / "README.md").read_text()
    assert [row["name"] for row in origin["files"]] == [*OWN, "sd-vae-ft-mse", "image_encoder"]
    for row in origin["files"]:
        assert row["sha256"] == sha256(champ_family.find([pretrained])[row["name"]])
        assert row["sha256"] in card
        assert row["licence"]
    assert origin["files"][0]["parts"] == origin["files"][1]["parts"] == ["unet"]
    assert "RAIL" in read_settings(imported).licence
    assert read_settings(imported).family == "champ"
    index = json.loads((imported / "model_index.json").read_text())
    assert index["pose_encoders"] == ["quickstep", "PoseMapEncoders"]


def test_the_public_files_keys_and_shapes_are_exactly_those_wanted(shared):
    listed = json.loads((shared / "fixtures/champ_keys.json").read_text())
    listed["denoising_unet"] = listed.pop("denoising_unet(stage1, no motion)")
    seen = 0
    for part in champ.family().parts:
        name = "guidance_encoder" if part.name == "pose_encoders" else part.source
        if name not in listed:
            continue
        file = {key: Stored(tuple(shape), torch.float32) for key, shape in listed[name].items()}
        whole = shapes_of(part.network())
        wanted = {key: shape for key, shape in whole.items() if part.holds(key)}
        (layout,) = part.layouts
        assert layout.needed(wanted) == set(file)
        assert compare(file, layout, wanted).num_faults == 0
        seen += 1
    assert seen == len(OWN)


def test_recorded_weights_of_upstream_arrive(shared, pretrained, champ_family, tmp_path):
    """The same small shape with upstream's own keys, its motion modules in another file."""
    tensors = load_file(shared / "fixtures/champ_tiny.safetensors")
    own = tmp_path / "own"
    own.mkdir()
    states = {}
    for name in (name for name in tensors if name.startswith("sd/")):
        _, file, key = name.split("/", 2)
        if file == "denoising_unet" and "motion_modules" in key:
            file = "motion_module"
        states.setdefault(file, {})[key] = tensors[name].clone()
    assert sorted(states) == sorted(OWN)
    for file, state in states.items():
        torch.save(state, own / f"{file}.pth")
    paths = champ_family.find([own, pretrained])
    assert paths["denoising_unet"].parent == own
    model = load_model(import_family(champ_family, paths, tmp_path / "model"))
    for file, state in checkpoint_states(model.network).items():
        for key, value in state.items():
            assert torch.equal(value, states[file][key]), key


def rename(state):
    state["conv_in.wieght"] = state.pop("conv_in.weight")


def off_by_one(state):
    state["conv_in.weight"] = state["conv_in.weight"][:, 1:].clone()


def without_second_code(state):
    del state[f"{CODE}.1.pos_encoder.pe"]


def short_second_code(state):
    state[f"{CODE}.1.pos_encoder.pe"] = state[f"{CODE}.1.pos_encoder.pe"][:, :24].clone()


def not_finite(state):
    state["blocks.0.bias"][0] = float("inf")


def other_second_code(state):
    state[f"{CODE}.1.pos_encoder.pe"][0, 3, 0] += 1e-3


def spatial_weight(state):
    state["conv_in.weight"] = torch.zeros(32, 4, 3, 3)


@pytest.mark.parametrize(
    ("name", "spoil", "line"),
    [
        ("denoising_unet", rename, r"denoising_unet\.pth is not Champ's denoising U-Net as "
         r"published: conv_in\.weight is missing; conv_in\.wieght is unknown$"),
        ("reference_unet", off_by_one, r"conv_in\.weight has the shape \(32, 3, 3, 3\), not "
         r"\(32, 4, 3, 3\)$"),
        ("motion_module", without_second_code, r"attention_blocks\.1\.pos_encoder\.pe is missing$"),
        ("motion_module", short_second_code, r"1\.pos_encoder\.pe has the shape \(1, 24, 32\), not "
         r"\(1, 32, 32\)$"),
        ("motion_module", spatial_weight, r"conv_in\.weight is unknown$"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_as_published_is_refused(champ_family, spoilt, name, spoil, line):
    change(spoilt, name, spoil)
    out = spoilt.parent / "out"
    with pytest.raises(CheckpointError, match=line) as error:
        import_family(champ_family, champ_family.find([spoilt]), out / "model")
    assert "\n" not in str(error.value)
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "spoil", "line"),
    [
        ("guidance_encoder_normal", not_finite, r"_normal\.pth: \S*blocks\.0\.bias has weights"),
        ("motion_module", other_second_code, r"motion_module\.pth: \S+1\.pos_encoder\.pe is "
         r"another than \S+0\.pos_encoder\.pe, and must be the same$"),
    ],
)  # fmt: skip
def test_weights_that_cannot_be_are_found_with_the_file_they_are_in(
    champ_family, spoilt, name, spoil, line
):
    change(spoilt, name, spoil)
    paths = champ_family.find([spoilt])
    with pytest.raises(CheckpointError, match=line):
        verify_parts(find_parts(champ_family, paths))
    with pytest.raises(CheckpointError, match=line):
        import_family(champ_family, paths, spoilt.parent / "out" / "model")
    assert not list((spoilt.parent / "out").iterdir())


def test_a_file_in_another_ones_place_is_named(champ_family, spoilt):
    shutil.copy(spoilt / "champ/reference_unet.pth", spoilt / "champ/motion_module.pth")
    with pytest.raises(CheckpointError, match=r"motion_module\.pth is another file: of the"):
        find_parts(champ_family, champ_family.find([spoilt]))


@pytest.fixture
def command(champ_family, monkeypatch):
    monkeypatch.setattr(champ, "family", lambda: champ_family)
    return ["import", "champ"]


def test_the_command_takes_folders_and_makes_one(command, pretrained, tmp_path, capsys):
    folders = [pretrained / "champ", pretrained / "sd-vae-ft-mse", pretrained / "image_encoder"]
    words = [*command, *map(str, folders)]
    assert main([*words, "--check"]) == 0
    told = capsys.readouterr().out
    assert told.count("sha256") == 9
    assert told.count(" 0 faults") == 9
    out = tmp_path / "model"
    assert main([*words, str(out), "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"]["pose_encoders"] == []
    assert not list(tmp_path.iterdir())
    assert main([*words, str(out), "--half", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["output"] == str(out)
    unet = load_file(out / "unet/diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in unet.values()} == {torch.float16}


def test_faults_of_every_file_are_listed(command, spoilt, capsys):
    change(spoilt, "guidance_encoder_depth", rename)
    change(spoilt, "guidance_encoder_dwpose", off_by_one)
    assert main([*command, str(spoilt), "--check", "--json"]) == 2
    told = capsys.readouterr()
    faults = json.loads(told.out)["faults"]
    assert len(faults["pose_encoders"]) == 3
    assert faults["unet"] == []
    assert "guidance_encoder_depth.pth" in told.err and "guidance_encoder_dwpose.pth" in told.err


@pytest.mark.parametrize(
    ("gone", "line"),
    [
        ("champ/motion_module.pth", "Champ's motion modules is not in"),
        ("image_encoder", "looked for image_encoder/model.safetensors and"),
    ],
)
def test_what_is_not_there_is_named(command, spoilt, capsys, gone, line):
    path = spoilt / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main([*command, str(spoilt), str(spoilt.parent / "model")]) == 2
    told = capsys.readouterr().err
    assert line in told
    assert told.count("\n") == 1
    assert [each.name for each in spoilt.parent.iterdir()] == ["pretrained"]


def test_words_that_are_too_few_or_no_folders_are_refused(command, pretrained, tmp_path, capsys):
    for words, line in [
        ([], "import needs DIR"),
        ([pretrained], "import needs DIR"),
        ([tmp_path / "no", tmp_path / "model"], "no is not a folder"),
        ([tmp_path / "no", "--check"], "no is not a folder"),
        (["--check"], "import needs DIR"),
    ]:
        assert main([*command, *map(str, words)]) == 2
        told = capsys.readouterr().err
        assert line in told
        assert told.count("\n") == 1


def test_a_fine_tuned_autoencoder_in_old_names_is_taken(champ_family, spoilt):
    """The file as it was first published has other names in its attention."""
    path = spoilt / "sd-vae-ft-mse/diffusion_pytorch_model.safetensors"
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for key, value in load_file(path).items():
        for new, old in names.items():
            key = key.replace(f".{new}.", f".{old}.")
        state[key] = value
    path.unlink()
    torch.save(state, path.with_suffix(".bin"))
    found = find_parts(champ_family, champ_family.find([spoilt]))
    assert not any(part.report.num_faults for part in found)


def test_the_image_encoders_file_may_hold_more_of_clip(champ_family, spoilt):
    """Files of older programs hold position numbers, a whole CLIP the text tower."""
    path = spoilt / "image_encoder/pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    state["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    state["text_model.final_layer_norm.bias"] = torch.zeros(8)
    state["logit_scale"] = torch.tensor(1.0)
    torch.save(state, path)
    *_, encoder = find_parts(champ_family, champ_family.find([spoilt]))
    assert encoder.report.num_faults == 0
    assert encoder.report.spare == 3


def guider_state(widths, out_channels):
    """A pose guider's tensors: plain convolutions, by upstream's names."""
    shapes, blocks = {"conv_in": (3, widths[0])}, []
    for width, wider in zip(widths[:-1], widths[1:], strict=True):
        blocks += [(width, width), (width, wider)]
    shapes |= {f"blocks.{number}": pair for number, pair in enumerate(blocks)}
    shapes["conv_out"] = (widths[-1], out_channels)
    generator = torch.Generator().manual_seed(3)
    state = {}
    for name, (before, after) in shapes.items():
        state[f"{name}.weight"] = torch.randn(after, before, 3, 3, generator=generator) / 10
        state[f"{name}.bias"] = torch.randn(after, generator=generator) / 10
    return state


@pytest.fixture
def moore(champ_family, pretrained, tmp_path, monkeypatch):
    """Moore's files with Champ's small U-Nets, and its family at that size."""
    folder = shutil.copytree(pretrained, tmp_path / "pretrained")
    (folder / "champ").rename(folder / "AnimateAnyone")
    state = guider_state((8, 16, 24, 32), 32)
    torch.save(state, folder / "AnimateAnyone/pose_guider.pth")
    unets = champ_family.parts[0].network.args[0]
    makers = {part.name: part.network for part in champ_family.parts}
    small = animate_anyone.family(
        make_network=lambda: animate_anyone.with_pose_guider(unets(), widths=(8, 16, 24, 32)),
        make_autoencoder=makers["vae"],
        make_image_encoder=makers["image_encoder"],
        settings=champ_family.settings,
    )
    monkeypatch.setattr(animate_anyone, "family", lambda: small)
    return folder, state


def test_animate_anyones_pose_guider_is_convolutions_alone(moore, tmp_path):
    folder, state = moore
    assert main(["import", "animate-anyone", str(folder), str(tmp_path / "model"), "--json"]) == 0
    network = load_model(tmp_path / "model").network
    pictures = torch.rand(1, 1, 1, 3, 32, 48, generator=torch.Generator().manual_seed(5))
    hidden = pictures[:, 0, 0]
    names = ["conv_in", *(f"blocks.{number}" for number in range(6)), "conv_out"]
    for name in names:
        stride = 2 if name in ("blocks.1", "blocks.3", "blocks.5") else 1
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        hidden = torch.nn.functional.conv2d(hidden, weight, bias, stride=stride, padding=1)
        if name != "conv_out":
            hidden = torch.nn.functional.silu(hidden)
    with torch.no_grad():
        found = network.pose_encoders(pictures)[:, 0]
    assert found.shape == (1, 32, 4, 6)
    torch.testing.assert_close(found, hidden)


def test_animate_anyones_pose_guider_has_upstreams_shapes_at_full_size():
    part = next(p for p in animate_anyone.family().parts if p.source == "pose_guider")
    wanted = shapes_of(part.network())
    state = guider_state((16, 32, 64, 128), 320)
    file = {key: Stored(tuple(value.shape), value.dtype) for key, value in state.items()}
    assert compare(file, part.layouts[0], wanted).num_faults == 0
    assert len(wanted) == len(file)
    del file["conv_out.bias"]
    assert compare(file, part.layouts[0], wanted).missing == ["conv_out.bias"]


def test_animate_anyone_does_not_take_champs_encoder(moore, tmp_path, capsys):
    folder, _ = moore
    (folder / "AnimateAnyone/guidance_encoder_dwpose.pth").replace(
        folder / "AnimateAnyone/pose_guider.pth"
    )
    assert main(["import", "animate-anyone", str(folder), str(tmp_path / "model")]) == 2
    assert "pose_guider.pth is not Animate Anyone's encoder of dwpose" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["pretrained"]
