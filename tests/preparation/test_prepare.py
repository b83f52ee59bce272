"""Footage to shards and back: what is in them, and that no clip is lost or made twice."""

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from webdataset.compat import WebDataset

from dying import DeadlyPath
from quickstep.conditions.drawing import draw_skeletons
from quickstep.data.clip import read_clip
from quickstep.data.footage import FoundPoses
from quickstep.data.shards import ShardClips, ShardData, ShardError
from quickstep.data.views import View
from quickstep.losses.motion import moving_cells
from quickstep.networks.autoencoder import encode_video
from quickstep.preparation import sharing
from quickstep.preparation.prepare import PrepareError, Summary, claim, prepare_footage
from quickstep.preparation.settings import PrepareSettings
from quickstep.preparation.sharing import prepare_all
from quickstep.preparation.sources import find_sources
from quickstep.preparation.splits import SplitPlan, read_split
from quickstep.preparation.store import Store, file_sha256
from quickstep.preparation.work import Job


def run(home: Path, out: Path, job: Job, *, split: str = "layout", **options) -> Summary:
    found = find_sources(home)
    return prepare_footage(found, out, job, split=read_split(split, found.sources), **options)


def shards_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in [*out.glob("*.tar"), out / "manifest.json"]}


@pytest.fixture(scope="module")
def out(dancers, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    settings = PrepareSettings(
        size=(48, 64), fps=12.0, num_frames=8, min_frames=4, licence="CC0-1.0"
    )
    job = Job(settings=settings, model="dancer", store=folder / "store")
    (folder / "tests.txt").write_text("00003\n")
    summary = run(dancers, folder / "out", job, split=str(folder / "tests.txt"))
    assert summary.rows == []
    return folder / "out"


def test_a_shard_holds_what_the_clip_showed(out, dancers):
    import torch
    from torch import Tensor

    clips = ShardClips(ShardData(shards=str(out)))
    assert (len(clips), clips.size, clips.num_strides) == (9, (48, 64), 2)
    row = next(n for n, clip in enumerate(clips.clips) if clip["first_frame"] == 8)
    clip = read_clip(dancers / clips.clips[row]["source"])
    shown = clips.pictures(row, np.arange(1, 9))
    left = {
        offset: np.abs(
            View((offset, 0), (48, 64), (48, 64)).frames(clip.frames[8:16], by="pillow-bicubic")
            - shown.astype(float)
        ).mean()
        for offset in range(17)
    }
    offset = min(left, key=lambda one: left[one])
    assert left[offset] < 1.5
    assert clip.mask is not None
    person = clips.array(row, "person.npy")[1:] / 255
    assert person.mean() == pytest.approx(clip.mask[8:16, :, offset : offset + 48].mean(), abs=0.02)
    moments = np.array([1, 3, 5, 7])
    batch = clips.clips_at(np.array([row]), moments[None], np.array([2]))
    assert batch["latents"].shape[:2] == (1, 4)
    frames = torch.from_numpy(
        View((offset, 0), (48, 64), (48, 64)).frames(
            clip.frames[8:16][moments - 1], by="pillow-bicubic"
        )
    )[None]
    assert torch.equal(batch["motion"], moving_cells(frames, cell=8).float())
    poses = View((offset, 0), (48, 64), (48, 64)).poses(clip.poses[slice(8, 16)])
    drawn = draw_skeletons(poses[moments - 1], size=(48, 64), stroke="scaled")
    np.testing.assert_array_equal(batch["pose"][0].numpy(), drawn)
    vae = sharing.open_tools(Job(settings=PrepareSettings(), model="dancer", store=out)).vae
    with torch.no_grad():
        latents: Tensor = encode_video(vae, frames.movedim(-1, -3).float() / 127.5 - 1)
    assert (batch["latents"] - latents).abs().mean() < 0.05 * latents.abs().mean()


def test_the_manifest_says_what_is_where(out, dancers):
    manifest = ShardClips(ShardData(shards=str(out))).manifest
    assert [source["name"] for source in manifest["sources"]] == [f"0000{n}" for n in range(4)]
    for source in manifest["sources"]:
        video = dancers / source["name"] / "video.mp4"
        assert source["sha256"]["video"] == file_sha256(video)
        assert (source["licence"], source["clips"]) == ("Apache-2.0", 3)
    for shard in manifest["shards"]:
        assert shard["sha256"] == file_sha256(out / shard["file"])
    assert manifest["settings"]["licence"] == "CC0-1.0"
    assert manifest["detector"] == "given"
    tests = ShardClips(ShardData(shards=str(out), split="test"))
    assert {clip["source"] for clip in tests.clips} == {"00003"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_them(out):  # it leaves closing the file to the collector
    dataset = WebDataset(str(out / "train-00000.tar"), shardshuffle=False)
    samples = list(cast(Any, dataset.decode()))
    assert len(samples) == 9
    sample = samples[0]
    assert sample["latents.npy"].dtype == np.float16
    assert sample["json"]["num_frames"] + 1 == len(sample["latents.npy"])
    assert len(sample["json"]["frames"]) == sample["json"]["num_frames"]


def test_a_manifest_is_a_split_and_another_video_is_told(out, film, tmp_path, job):
    film(tmp_path / "films" / "00000.mp4", number=0)
    film(tmp_path / "films" / "00009.mp4", number=1)
    found = find_sources(tmp_path / "films")
    plan = read_split(str(out / "manifest.json"), found.sources)
    summary = prepare_footage(found, tmp_path / "out", job, split=plan)
    assert summary.manifest is None
    reasons = {row.source: row.reason for row in summary.rows}
    assert reasons["00000"].startswith("not the video of the split: its sha256 is")
    assert reasons["00009"] == "not named by the split"
    assert reasons["00001"] == "named by the split, but not there"


def test_the_same_again_makes_nothing_and_more_makes_only_that(film, tmp_path, job):
    home, out = tmp_path / "films", tmp_path / "out"
    film(home / "a.mp4", number=0)
    assert run(home, out, job).num_found == 0
    before = shards_of(out)
    assert run(home, out, job).num_found == 1
    assert shards_of(out) == before
    film(home / "b.mp4", number=1)
    summary = run(home, out, job)
    assert summary.num_found == 1 and summary.manifest is not None
    assert {clip["source"] for clip in summary.manifest["clips"]} == {"a", "b"}
    other = dataclasses.replace(job, settings=dataclasses.replace(job.settings, fps=6.0))
    with pytest.raises(PrepareError, match="was prepared with fps=12.0, not 6.0"):
        claim(out, other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    with pytest.raises(PrepareError, match="full: the folder is not empty, and holds no shards"):
        claim(tmp_path / "full", job)


def test_killed_at_any_file_it_goes_on_without_losing_or_repeating(film, tmp_path, job):
    home = tmp_path / "films"
    for number, name in enumerate("abc"):
        film(home / f"{name}.mp4", number=number)
    run(home, tmp_path / "whole", dataclasses.replace(job, store=tmp_path / "other"))
    kills, made, times = 0, list[int](), dict[Path, int]()
    sharing.open_tools(job)  # before the children, once
    for at in (3, 2, 3, 2, 3, 2, 4, 4, 2, 3):
        child = os.fork()
        if child == 0:
            die_at_file(at, below=tmp_path)
            run(home, tmp_path / "out", job)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        for path in (job.store / "clips").rglob("[!.]*.json"):
            times.setdefault(path, path.stat().st_mtime_ns)
        made.append(len(times))
    assert kills == 10
    assert set(made) == {0, 1, 2, 3}
    summary = run(home, tmp_path / "out", job)
    assert summary.num_found == len(times) == made[-1]
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert_same_clips(tmp_path / "out", tmp_path / "whole")
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def assert_same_clips(one: Path, other: Path) -> None:
    """The same to the byte, videos included."""
    left, right = (ShardClips(ShardData(shards=str(folder))) for folder in (one, other))
    assert [clip["key"] for clip in left.clips] == [clip["key"] for clip in right.clips]
    for row, clip in enumerate(left.clips):
        assert set(clip["members"]) == set(right.clips[row]["members"])
        for name in clip["members"]:
            assert left.member(row, name) == right.member(row, name), name


def die_at_file(number: int, *, below: Path) -> None:
    """The process kills itself instead of moving its `number`-th finished file into place."""
    moves, replace = iter(range(1, 10**6)), os.replace

    def moved(beside, path):
        if below in Path(path).parents and next(moves) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(beside, path)

    os.replace = moved


class Crowd:
    """Finds the dancer, and two more people in frames 4 to 6."""

    origin = {"detector": "crowd"}

    def __init__(self, poses) -> None:
        self.poses, self.frames = poses, []

    def find(self, frames, *, fps):
        start = len(self.frames)
        self.frames += list(frames)
        people = np.array([3 if 4 <= start + n <= 6 else 1 for n in range(len(frames))])
        return FoundPoses(self.poses[slice(start, start + len(frames))], people)


@pytest.mark.parametrize(("people", "lengths"), [("one", [4, 5]), ("largest", [12])])
def test_frames_with_several_people(film, tmp_path, job, monkeypatch, people, lengths):
    _, _, poses = film(tmp_path / "films" / "a.mp4")
    tools = dataclasses.replace(sharing.open_tools(job), finder=Crowd(poses))
    monkeypatch.setattr(sharing, "open_tools", lambda job: tools)
    settings = dataclasses.replace(job.settings, people=people, num_frames=12)
    summary = run(tmp_path / "films", tmp_path / "out", dataclasses.replace(job, settings=settings))
    assert summary.manifest is not None
    clips = sorted(summary.manifest["clips"], key=lambda one: one["first_frame"])
    assert [clip["num_frames"] for clip in clips] == lengths
    told = [(row.reason, row.first, row.last) for row in summary.rows]
    assert told == ([("3 people", 4, 6)] if people == "one" else [])


def test_a_defect_of_one_source_does_not_end_the_others(film, tmp_path, job, monkeypatch):
    for number, name in enumerate("ab"):
        film(tmp_path / "films" / f"{name}.mp4", number=number)
    tools = sharing.open_tools(job)
    poses = film(tmp_path / "films" / "b.mp4", number=1)[2]
    calls = iter(range(100))

    class Failing:
        origin = {"detector": "failing"}

        def find(self, frames, *, fps):
            if next(calls) == 0:
                raise RuntimeError("out of memory")
            return Crowd(poses).find(frames, fps=fps)

    failing = dataclasses.replace(tools, finder=Failing())
    monkeypatch.setattr(sharing, "open_tools", lambda job: failing)
    job = dataclasses.replace(job, settings=dataclasses.replace(job.settings, people="largest"))
    summary = run(tmp_path / "films", tmp_path / "out", job)
    assert [row.reason for row in summary.rows] == ["RuntimeError: out of memory"]
    again = run(tmp_path / "films", tmp_path / "out", job)  # it is tried again
    assert again.rows == [] and again.num_found == 1


def test_shards_that_cannot_be_used_are_one_line(out, tmp_path):
    with pytest.raises(ShardError, match="data.shards must name a folder"):
        ShardClips(ShardData())
    with pytest.raises(ShardError, match="manifest.json: no such file: `quickstep prepare`"):
        ShardClips(ShardData(shards=str(tmp_path)))
    with pytest.raises(ShardError, match="no clip of split 'dev': there are test, train"):
        ShardClips(ShardData(shards=str(out), split="dev"))
    for name in ("manifest.json", "test-00000.tar"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    with pytest.raises(ShardError, match="train-00000.tar: missing or not whole"):
        ShardClips(ShardData(shards=str(tmp_path)))


def test_a_digest_is_kept_until_a_file_changes(film, tmp_path):
    path, _, _ = film(tmp_path / "films" / "a.mp4")
    store = Store(tmp_path / "store")
    (source,) = find_sources(tmp_path / "films").sources
    first, num_bytes = store.source_digests(source)
    assert first["video"] == file_sha256(path)
    assert num_bytes == path.stat().st_size + path.with_suffix(".npz").stat().st_size
    path.write_bytes(path.read_bytes() + b"x")
    assert store.source_digests(source)[0]["video"] == file_sha256(path) != first["video"]


@pytest.mark.slow
def test_two_workers_make_the_same_clips(film, tmp_path, job):
    home = tmp_path / "films"
    for number, name in enumerate("abcd"):
        film(home / f"{name}.mp4", number=number)
    run(home, tmp_path / "one", job)
    other = dataclasses.replace(job, store=tmp_path / "other", num_threads=1)
    assert run(home, tmp_path / "two", other, workers=2).num_found == 0
    assert_same_clips(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing_and_names_what_it_was_at(film, tmp_path, job):
    home = tmp_path / "films"
    for number, name in enumerate(("a", "b", "deadly", "frail")):
        film(home / f"{name}.mp4", number=number)
    found = find_sources(home)
    sources = [
        dataclasses.replace(source, video=DeadlyPath(source.video))
        if source.name in ("deadly", "frail")
        else source
        for source in found.sources
    ]
    told: list[str] = []
    summary = prepare_footage(
        dataclasses.replace(found, sources=sources),
        tmp_path / "out",
        dataclasses.replace(job, num_threads=1),
        split=SplitPlan(),
        workers=2,
        say=told.append,
    )
    assert summary.manifest is not None
    assert {clip["source"] for clip in summary.manifest["clips"]} == {"a", "b", "frail"}
    (row,) = summary.rows
    assert (row.source, "2 processes ended while at it" in row.reason) == ("deadly", True)
    assert told == [f"deadly: {row.reason}"]
    again = run(home, tmp_path / "out", job)  # the file itself is good
    assert again.num_found == 3 and again.rows == []
    assert again.manifest is not None
    assert {clip["source"] for clip in again.manifest["clips"]} == {"a", "b", "deadly", "frail"}


@pytest.mark.slow
def test_networks_that_cannot_be_loaded_are_the_same_line_in_workers(film, tmp_path, job):
    for number, name in enumerate("ab"):
        film(tmp_path / "films" / f"{name}.mp4", number=number)
    sources = find_sources(tmp_path / "films").sources
    impossible = dataclasses.replace(job, model="no-such-model")
    with pytest.raises(ValueError, match="no-such-model"):
        list(prepare_all(sources, impossible, workers=2))


def test_all_named_for_training_without_a_split():
    assert SplitPlan().of.get("x", "train") == "train"
