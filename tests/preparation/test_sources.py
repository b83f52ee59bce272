"""Layouts on disk, and the splits that name their parts."""

import errno
import json
import os
from pathlib import Path

import pytest

from quickstep.preparation.sources import (
    Source,
    SourceError,
    find_sources,
    guess_layout,
    source_files,
)
from quickstep.preparation.splits import missing, read_split


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def listed(found) -> dict[str, str]:
    return dict((name, fault.reason) for name, fault in found.faults)


def test_videos_with_skeletons_beside_them(tmp_path):
    home = tmp_path / "films"
    touch(home / "b" / "two.MOV", home / "one.mp4", home / "one.npz", home / ".hidden.mp4")
    touch(home / "three.mp4", home / "three.dwpose.mp4", home / "notes.txt", home / "one.webm")
    touch(tmp_path / "films_dwpose" / "b" / "two.MOV")
    found = find_sources(home)
    by_name = {source.name: source for source in found.sources}
    assert list(by_name) == ["b/two", "one", "one.webm", "three"]
    assert by_name["one"].poses == home / "one.npz"
    assert by_name["three"].poses == home / "three.dwpose.mp4"
    assert by_name["b/two"].poses == tmp_path / "films_dwpose" / "b" / "two.MOV"
    assert list(listed(found)) == ["notes.txt"]


def test_links_are_followed_but_not_in_a_circle(tmp_path):
    home, elsewhere = tmp_path / "films", tmp_path / "elsewhere"
    touch(home / "a.mp4", elsewhere / "b.mp4")
    (home / "loop").symlink_to(home)
    (home / "more").symlink_to(elsewhere)
    (home / "lost.mp4").symlink_to(tmp_path / "nothing")
    (elsewhere / "self").symlink_to(elsewhere / "self")
    found = find_sources(home)
    assert [source.name for source in found.sources] == ["a", "more/b"]
    faults = listed(found)
    assert "not followed again" in faults["loop"]
    assert faults["lost.mp4"] == faults["more/self"] == "a link that leads nowhere"


def test_what_is_no_file_or_cannot_be_read_is_left_and_the_rest_is_found(tmp_path, monkeypatch):
    touch(tmp_path / "a.mp4", tmp_path / "locked" / "b.mp4", tmp_path / "z" / "c.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")  # reading it would wait for ever
    iterdir = Path.iterdir

    def refusing(folder: Path):
        if folder.name == "locked":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", refusing)
    found = find_sources(tmp_path)
    assert [source.name for source in found.sources] == ["a", "z/c"]
    assert listed(found) == {
        "locked": "it cannot be read: Permission denied",
        "pipe.mp4": "neither a file nor a folder",
    }


def test_out_is_not_looked_into(tmp_path):
    touch(tmp_path / "a.mp4", tmp_path / "out" / "b.mp4")
    found = find_sources(tmp_path, out=tmp_path / "out")
    assert [source.name for source in found.sources] == ["a"]


def test_tiktok_and_champ(tmp_path):
    tiktok, champ = tmp_path / "tiktok", tmp_path / "champ"
    touch(tiktok / "00001" / "images" / "0001.png", tiktok / "00001" / "masks" / "0001.png")
    touch(tiktok / "00001" / "openpose_json" / "0001.png.json", tiktok / "00002" / "x.png")
    assert guess_layout(tiktok) == "tiktok"
    found = find_sources(tiktok, fps=25.0)
    (source,) = found.sources
    assert (source.name, source.fps, source.video.name) == ("00001", 25.0, "images")
    assert source.poses is not None and source.poses.name == "openpose_json"
    assert source.mask is not None and source.mask.name == "masks"
    assert listed(found) == {"00002": "there is no folder 'images' in it"}
    for folder in ("images", "dwpose", "mask", "depth"):
        touch(champ / "part" / "clip" / folder / "0001.png")
    assert guess_layout(champ) == "champ"
    (source,) = find_sources(champ).sources
    assert source.name == "part/clip"
    assert source.poses is not None and source.poses.name == "dwpose"
    assert {path.name for path in source.guidance} == {"dwpose", "mask", "depth"}
    assert {name: len(files) for name, files in source_files(source).items()} == {
        "video": 1,
        "poses": 1,
        "mask": 1,
    }


def test_ubc_by_folders_and_by_lists(tmp_path):
    folders, lists = tmp_path / "folders", tmp_path / "lists"
    touch(folders / "train" / "a.mp4", folders / "test" / "b.mp4")
    assert guess_layout(folders) == "ubc"
    assert [(s.name, s.split) for s in find_sources(folders).sources] == [
        ("test/b", "test"),
        ("train/a", "train"),
    ]
    touch(lists / "a.mp4", lists / "b.mp4", lists / "c.mp4")
    (lists / "fashion_train.txt").write_text("https://host/path/a.mp4\n")
    (lists / "fashion_test.txt").write_text("b.mp4\nd.mp4\n")
    assert guess_layout(lists) == "ubc"
    found = find_sources(lists)
    assert [(s.name, s.split) for s in found.sources] == [("a", "train"), ("b", "test")]
    assert listed(found) == {
        "c": "in none of fashion_train.txt, fashion_test.txt",
        "d": "listed in fashion_test.txt, but not there",
    }


def test_moore(tmp_path):
    entries = [{"video_path": "v/a.mp4", "kps_path": "k/a.mp4"}, {"video_path": "w/a.mp4"}, 7]
    (tmp_path / "meta.json").write_text(json.dumps(entries))
    found = find_sources(tmp_path)
    assert [source.name for source in found.sources] == ["a", "a-2"]
    assert found.sources[0].poses == tmp_path / "k" / "a.mp4"
    assert listed(found) == {"entry 3": "video_path and kps_path must be paths"}
    assert find_sources(tmp_path / "meta.json").sources == found.sources


def test_nothing_to_prepare_is_one_line(tmp_path):
    with pytest.raises(SourceError, match="none: no such file or folder"):
        find_sources(tmp_path / "none")
    with pytest.raises(SourceError, match="no footage in it as layout 'videos' has it"):
        find_sources(tmp_path)
    (tmp_path / "meta.json").write_text("{")
    with pytest.raises(SourceError, match="meta.json: not json"):
        find_sources(tmp_path)


def sources(*names: str) -> list[Source]:
    return [Source(name=name, video=Path(name)) for name in names]


def test_tiktok_takes_both_ends():
    there = sources("00334", "00335", "00340", "00341")
    plan = read_split("tiktok", there)
    assert [plan.of.get(one.name, "train") for one in there] == ["train", "test", "test", "train"]
    assert missing(plan, there) == ["00336", "00337", "00338", "00339"]
    assert set(read_split("tiktok-340-341", there).of) == {"00340", "00341"}


def test_a_list_of_the_user_and_a_manifest_with_hashes(tmp_path):
    there = sources("a", "b", "c")
    (tmp_path / "tests.txt").write_text("b\n\n")
    assert read_split(str(tmp_path / "tests.txt"), there).of == {"b": "test"}
    entries = [
        {"name": "a", "split": "train", "sha256": {"video": "12"}},
        {"name": "b", "split": "test", "sha256": "34"},
    ]
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"sources": entries}))
    plan = read_split(str(path), there)
    assert plan.sha256 == {"a": "12", "b": "34"}
    assert plan.only_named


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ubc", "--split must be layout, tiktok"),
        ("tiktok", "none of its 6 clips is among the footage"),
        ("none.txt", "none.txt: no such file"),
        ("odd.json", "a split must be train or test: got 'dev'"),
        ("bad.json", "it must have 'sources'"),
    ],
)
def test_splits_that_cannot_be(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.json").write_text('{"sources": [{"name": "a", "split": "dev"}]}')
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(SourceError, match=message):
        read_split(text, sources("a"))
