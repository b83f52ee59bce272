import json
import math

import numpy as np
import pytest

from quickstep.evaluation.cache import Record, WorkFolder, code_digest, digest_of, json_text


@pytest.fixture
def record() -> Record:
    return Record(
        clip="00001",
        sample="ab" * 32,
        num_frames=16,
        scores={"psnr": 1 / 3, "hands": math.nan},
        truth="cd" * 32,
        num_evaluations=4,
        notes=("a note",),
        features={"dancer-frame": np.arange(6, dtype=np.float32).reshape(3, 2)},
        timings={"denoise": 1.5},
    )


def test_a_record_comes_back_to_the_bit(tmp_path, record):
    store = WorkFolder(tmp_path).row({"steps": 4})
    assert not store.has("00001", record.sample)
    assert store.load("00001", record.sample) is None
    store.keep(record)
    back = store.wait("00001", record.sample)
    assert back.scores["psnr"] == record.scores["psnr"]
    assert math.isnan(back.scores["hands"])
    assert (back.features["dancer-frame"] == record.features["dancer-frame"]).all()
    assert (back.notes, back.timings, back.num_evaluations) == (("a note",), {"denoise": 1.5}, 4)


def test_a_record_is_not_found_by_other_settings_or_another_clip(tmp_path, record):
    work = WorkFolder(tmp_path)
    work.row({"steps": 4, "seed": 0}).keep(record)
    assert work.row({"seed": 0, "steps": 4}).has("00001", record.sample)
    assert not work.row({"steps": 4, "seed": 1}).has("00001", record.sample)
    assert not work.row({"steps": 4, "seed": 0}).has("00001", "ba" * 32)
    near = record.sample[:12] + "0" * 52
    assert work.row({"steps": 4, "seed": 0}).load("00001", near) is None


def test_two_runs_leave_the_same_bytes(tmp_path, record):
    texts = []
    for name in ("one", "other"):
        WorkFolder(tmp_path / name).row({"steps": 4}).keep(record)
        files = sorted((tmp_path / name).rglob("*.json"))
        texts.append([file.read_bytes() for file in files])
    assert texts[0] == texts[1]


def test_a_damaged_record_is_named(tmp_path, record):
    store = WorkFolder(tmp_path).row({"steps": 4})
    store.keep(record)
    path = next(tmp_path.rglob("*.npz"))
    for content in (b"broken", path.read_bytes()[:40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="00001-abababababab.json: damaged"):
            store.load("00001", record.sample)


def test_damaged_features_of_the_truth_are_named(tmp_path):
    work = WorkFolder(tmp_path)
    work.truth_features("frames", {"name": "i3d"}, lambda: np.ones((2, 3), np.float32))
    path = next(tmp_path.rglob("*.npy"))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match=f"{path.name}: damaged: delete the file"):
        work.truth_features("frames", {"name": "i3d"})


def test_features_of_the_truth_are_not_found_by_other_code(tmp_path, monkeypatch):
    work = WorkFolder(tmp_path)
    work.truth_features("frames", {"name": "i3d"}, lambda: np.ones((2, 3), np.float32))
    monkeypatch.setattr("quickstep.evaluation.cache.code_digest", lambda: "other")
    with pytest.raises(FileNotFoundError, match="the truth's features are missing"):
        work.truth_features("frames", {"name": "i3d"})


def test_features_of_the_truth_are_made_once(tmp_path):
    work, made = WorkFolder(tmp_path), []

    def make():
        made.append(1)
        return np.ones((2, 3), np.float32)

    network = {"name": "i3d", "sha256": "0"}
    first = work.truth_features("frames", network, make)
    assert (work.truth_features("frames", network, make) == first).all()
    assert (WorkFolder(tmp_path).truth_features("frames", network) == first).all()
    assert made == [1]
    with pytest.raises(FileNotFoundError, match="the truth's features are missing"):
        work.truth_features("frames", {**network, "sha256": "1"})


def test_digests_name_content_not_order():
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
    assert code_digest() == code_digest()
    assert json.loads(json_text({"a": 0.1})) == {"a": 0.1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"a": math.nan})
