"""From public files to a model that runs; and from bad files to one line and no folder."""

import errno
import functools
import json
import os
import resource
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from quickstep.checkpoints import importing, shards
from quickstep.checkpoints.files import CheckpointError
from quickstep.checkpoints.importing import find_parts, import_family, sha256, verify_parts
from quickstep.networks.folder import load_model, read_settings


@pytest.fixture(scope="module")
def imported(small_family, public_files, tmp_path_factory):
    return import_family(small_family, public_files, tmp_path_factory.mktemp("out") / "model")


def test_the_network_and_the_constant_text_are_the_files(imported, states):
    model = load_model(imported)
    for key, value in model.network.state_dict().items():
        assert torch.equal(value, states["unet"][key]), key
    assert model.network.empty_text.abs().sum() > 0
    assert not list(imported.rglob("*.bin"))
    index = json.loads((imported / "model_index.json").read_text())
    assert index["unet"] == ["quickstep", "UniAnimateUNet"]
    assert index["image_encoder"] == ["transformers", "CLIPVisionModelWithProjection"]


def test_the_encoders_answer(imported):
    model = load_model(imported)
    assert model.vae.config["scaling_factor"] == 0.18215
    embedding = model.image_encoder(pixel_values=torch.zeros(1, 3, 28, 28)).image_embeds
    assert embedding.isfinite().all()


def test_licence_origin_and_digest_of_every_file_are_kept(imported, public_files):
    origin = json.loads((imported / "origin.json").read_text())
    assert [row["name"] for row in origin["files"]] == ["unet", "vae", "clip"]
    for row in origin["files"]:
        path = public_files[row["name"]]
        assert row["sha256"] == sha256(path)
        assert row["bytes"] == path.stat().st_size
        assert row["licence"]
        assert row["page"].startswith("https://")
        assert row["sha256"] in (imported / "README.md").read_text()
    assert "non-commercial" in read_settings(imported).licence


def test_half_is_half_the_size(imported, small_family, public_files, tmp_path):
    half = import_family(small_family, public_files, tmp_path / "half", half=True)
    name = "unet/diffusion_pytorch_model.safetensors"
    assert (half / name).stat().st_size < 0.6 * (imported / name).stat().st_size
    assert {value.dtype for value in load_file(half / name).values()} == {torch.float16}


def test_large_parts_are_sharded_and_load(
    small_family, public_files, states, tmp_path, monkeypatch
):

    small = functools.partial(shards.write_shards, max_bytes=100_000)
    monkeypatch.setattr(importing, "write_shards", small)
    out = import_family(small_family, public_files, tmp_path / "model")
    assert len(list((out / "unet").glob("*-of-*.safetensors"))) > 2
    assert (out / "image_encoder/model.safetensors.index.json").is_file()
    model = load_model(out)
    for key, value in model.network.state_dict().items():
        assert torch.equal(value, states["unet"][key]), key


def test_progress_reaches_its_end(small_family, public_files, tmp_path):
    seen = {}
    import_family(
        small_family,
        public_files,
        tmp_path / "model",
        progress=lambda stage, done, total: seen.__setitem__(stage, (done, total)),
    )
    assert {"write unet", "write vae", "write empty_text", "digest clip"} <= set(seen)
    assert all(done <= total for done, total in seen.values())
    assert seen["write empty_text"][0] == seen["write empty_text"][1]


def spoiled(public_files, folder, name, change):
    """The files with one of them changed."""
    content = torch.load(public_files[name], weights_only=True)
    state = content.get("state_dict", content)
    change(state)
    path = folder / f"bad-{public_files[name].name}"
    torch.save(content, path)
    return {**public_files, name: path}


def rename(state):
    state["input_blocks.0.0.wieght"] = state.pop("input_blocks.0.0.weight")


def off_by_one(state):
    state["input_blocks.0.0.weight"] = state["input_blocks.0.0.weight"][:, 1:].clone()


def transposed_projection(state):
    state["visual.proj"] = state["visual.proj"].t().contiguous()


def without_bias(state):
    del state["transformer.resblocks.3.attn.in_proj_bias"]


def short_qkv(state):
    state["visual.transformer.resblocks.0.attn.in_proj_weight"] = torch.zeros(95, 32)


def not_finite(state):
    state["first_stage_model.quant_conv.bias"][0] = float("nan")


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        ("unet", rename, r"bad-unet\.pth is not UniAnimate as published: "
         r"input_blocks\.0\.0\.weight is missing; input_blocks\.0\.0\.wieght is unknown$"),
        ("unet", off_by_one, r"input_blocks\.0\.0\.weight has the shape \(16, 11, 3, 3\), not "
         r"\(16, 12, 3, 3\)$"),
        ("clip", transposed_projection, r"visual\.proj has the shape \(16, 32\), not \(32, 16\)"),
        ("clip", without_bias, r"transformer\.resblocks\.3\.attn\.in_proj_bias is missing$"),
        ("clip", short_qkv, r"in_proj_weight has the shape \(95, 32\), not \(96, 32\)"),
        ("vae", not_finite, r"bad-vae\.ckpt: quant_conv\.bias has weights that are not finite"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_as_published_is_refused(
    small_family, public_files, tmp_path, name, change, line
):
    paths = spoiled(public_files, tmp_path, name, change)
    with pytest.raises(CheckpointError, match=line) as error:
        import_family(small_family, paths, tmp_path / "out" / "model")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("out/*")) and not list(tmp_path.glob("out/.*"))
    found = find_parts(small_family, paths)
    if any(part.report.num_faults for part in found):
        return
    with pytest.raises(CheckpointError, match="not finite"):
        verify_parts(found)


def test_files_in_each_others_place_are_named(small_family, public_files, tmp_path):
    paths = {**public_files, "unet": public_files["clip"]}
    with pytest.raises(CheckpointError, match=r"clip\.bin is another file: of the \d+ keys"):
        import_family(small_family, paths, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_seen_before_the_work(small_family, public_files, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"needs 0\.0 GB of disk") as error:
        import_family(small_family, public_files, tmp_path / "model")
    assert error.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


FULL = """
import resource, sys
sys.path[:0] = {path!r}
from quickstep.apps import cli, import_checkpoints
from quickstep.checkpoints import unianimate
import conftest
from dataclasses import replace
small = unianimate.family(make_network=conftest.small_network, make_autoencoder=conftest.small_vae,
    make_image_encoder=conftest.small_vision, make_text_encoder=conftest.small_text)
unianimate.family = lambda: small
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
sys.exit(cli.main({words!r}))
"""


def test_a_disk_that_fills_up_leaves_nothing(public_files, tmp_path):
    """The system refuses to write more than 100 kB to a file, as a full disk does."""
    words = ["import", "unianimate", "--unet", public_files["unet"], "--vae", public_files["vae"]]
    words = [*map(str, words), "--clip", str(public_files["clip"]), str(tmp_path / "model")]
    here = os.path.dirname(__file__)
    run = subprocess.run(
        [sys.executable, "-c", FULL.format(path=[here, *sys.path], words=words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert "File too large" in run.stderr
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_an_interrupted_import_leaves_nothing(small_family, public_files, tmp_path):
    def stop(stage, done, total):
        if stage == "write image_encoder":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_family(small_family, public_files, tmp_path / "model", progress=stop)
    assert not list(tmp_path.iterdir())


def test_a_killed_import_is_cleared_away_by_the_next(small_family, public_files, tmp_path):
    """What a killed process leaves is hidden, is no model folder, and does not stay."""
    program = (
        "import os, sys; from quickstep.files import folder_written_beside\n"
        "with folder_written_beside(sys.argv[1]) as beside: (beside / 'unet').mkdir(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "model")], check=False)
    assert [path.name.startswith(".model.") for path in tmp_path.iterdir()] == [True]
    import_family(small_family, public_files, tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_no_model_folder_is_kept(small_family, public_files, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("x")
    with pytest.raises(ValueError, match="is not a model folder"):
        import_family(small_family, public_files, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").is_file()
