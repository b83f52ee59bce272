"""Models by their hub id: from the hub's cache, with no network and no hub asked."""

import shutil

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from quickstep.networks import hub
from quickstep.networks.folder import BUILT_IN, ModelError, load_model, read_settings

COMMIT = "0123456789012345678901234567890123456789"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The hub's cache in a folder of its own, and no way to the hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_model_in_the_cache_is_loaded_without_a_network(cache):
    home = cache / "models--owner--student"
    shutil.copytree(BUILT_IN / "dancer-unianimate", home / "snapshots" / COMMIT)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    model = load_model("owner/student")
    assert model.name == "owner/student"
    assert model.settings == read_settings(BUILT_IN / "dancer-unianimate")


def test_a_model_that_is_not_in_the_cache_is_named_in_one_line(cache):
    with pytest.raises(
        ModelError, match=r"'owner/none'.*hub cannot be reached.*are dancer"
    ) as told:
        load_model("owner/none")
    assert "\n" not in str(told.value)


def test_only_files_without_code_are_fetched(monkeypatch):
    asked = {}

    def fetched(name, **options):
        asked.update(options, name=name)
        return str(BUILT_IN / "dancer-unianimate")

    monkeypatch.setattr(hub, "snapshot_download", fetched)
    assert load_model("owner/student").settings.role == "student"
    assert asked == {
        "name": "owner/student",
        "allow_patterns": ["*.json", "*.safetensors", "README.md"],
    }


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocalEntryNotFoundError("no network, and 40 lines of advice"), "cannot be reached"),
        (RepositoryNotFoundError.__new__(RepositoryNotFoundError), "nor on the hub"),
    ],
)
def test_what_the_hub_does_not_give_is_said_in_one_line(monkeypatch, error, message):
    def refused(*_, **__):
        raise error

    monkeypatch.setattr(hub, "snapshot_download", refused)
    with pytest.raises(ModelError, match=message) as told:
        load_model("someone/model")
    assert "\n" not in str(told.value)


def test_what_is_no_model_on_the_hub_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(ModelError, match=r"owner/other on the hub is not a quickstep model"):
        load_model("owner/other")
