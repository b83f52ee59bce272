from pathlib import Path

import pytest

from quickstep.conditions.detection.sessions import DetectorError
from quickstep.data import detectors
from quickstep.data.detectors import find_detector


def folder_with(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_bytes(b"")
    return path


def test_a_folder_is_searched_for_our_names_and_dwposes(tmp_path: Path):
    ours = find_detector(str(folder_with(tmp_path / "a", "finder.onnx", "reader.onnx")))
    theirs = find_detector(str(folder_with(tmp_path / "b", "yolox_l.onnx", "dw-ll_ucoco_384.onnx")))
    assert (ours.finder.name, ours.reader.name) == ("finder.onnx", "reader.onnx")
    assert (theirs.finder.name, theirs.reader.name) == ("yolox_l.onnx", "dw-ll_ucoco_384.onnx")


def test_two_files_may_lie_anywhere(tmp_path: Path):
    folder_with(tmp_path / "a", "some.onnx")
    folder_with(tmp_path / "b", "other.onnx")
    files = find_detector(f"{tmp_path}/a/some.onnx,{tmp_path}/b/other.onnx")
    assert (files.finder.name, files.reader.name) == ("some.onnx", "other.onnx")
    with pytest.raises(DetectorError, match=r"a/gone\.onnx: no such file"):
        find_detector(f"{tmp_path}/a/gone.onnx,{tmp_path}/b/other.onnx")


def test_without_dwposes_files_a_line_says_what_to_get_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(detectors, "DWPOSE_FOLDER", tmp_path / "nowhere")
    monkeypatch.delenv("QUICKSTEP_DWPOSE", raising=False)
    with pytest.raises(DetectorError) as caught:
        find_detector("dwpose")
    line = str(caught.value)
    assert "\n" not in line
    for part in ("yolox_l.onnx", "217 MB", "dw-ll_ucoco_384.onnx", "134 MB", "Apache-2.0"):
        assert part in line
    assert str(tmp_path / "nowhere") in line
    assert "QUICKSTEP_DWPOSE" in line


def test_dwposes_folder_is_taken_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder_with(tmp_path / "own", "yolox_l.onnx", "dw-ll_ucoco_384.onnx")
    monkeypatch.setenv("QUICKSTEP_DWPOSE", str(tmp_path / "own"))
    files = find_detector("dwpose")
    assert files.finder == tmp_path / "own" / "yolox_l.onnx"
    assert files.name == "dwpose"


def test_half_a_detector_is_named(tmp_path: Path):
    folder_with(tmp_path / "half", "finder.onnx")
    with pytest.raises(DetectorError, match=r"half holds no reader\.onnx or dw-ll_ucoco_384"):
        find_detector(str(tmp_path / "half"))


@pytest.mark.parametrize("name", ["dancr", "./gone", "a/b/c"])
def test_unknown_names_are_told_what_there_is(name: str):
    with pytest.raises(DetectorError, match="unknown detector .*: give dancer, dwpose, a folder"):
        find_detector(name)


def test_a_hub_id_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(detectors, "snapshot_download", unreachable)
    with pytest.raises(DetectorError, match="'owner/name': cannot be downloaded"):
        find_detector("owner/name")
