import math
from dataclasses import replace

import pytest
import torch

from quickstep.data.video import read_video, write_video
from quickstep.evaluation.cache import WorkFolder, json_text
from quickstep.evaluation.evaluate import Evaluation, Share, Task, VideoKeeper, evaluate
from quickstep.evaluation.finished import CopyMaker, FolderMaker
from quickstep.evaluation.judging import Judge
from quickstep.evaluation.makers import model_rows
from quickstep.evaluation.networks import Networks, open_networks
from quickstep.evaluation.protocols import find_protocol
from quickstep.evaluation.report import Origin, result_json, timings_json
from quickstep.evaluation.sample import Made, SampleError
from quickstep.evaluation.samples import open_samples
from quickstep.evaluation.summary import summed_up

DANCER = replace(find_protocol("dancer"), window=4)
SOME = ("psnr", "moved_share", "motion_energy", "hands", "seam", "dancer_frame_distance")


@pytest.fixture(scope="module")
def networks():
    return open_networks(DANCER, {})


@pytest.fixture
def judge(tmp_path, networks):
    """Some metrics of each kind, and their networks."""
    loaded = {"dancer-frame": networks.loaded["dancer-frame"]}
    few = replace(networks, loaded=loaded)
    return Judge(replace(DANCER, metrics=SOME), few, WorkFolder(tmp_path / "work"))


@pytest.fixture
def task(clips, model_folders, judge):
    rows = model_rows(str(model_folders / "student"), steps=(2, 4))
    return Task(
        samples=open_samples(clips),
        makers=[CopyMaker(), *rows],
        judge=judge,
        pairs=[("student, 4 steps", "student, 2 steps")],
        code="code",
    )


def judged(task, **options) -> Evaluation:
    """The result, on the first rank."""
    found = evaluate(task, **options)
    assert found is not None
    return found


def bytes_of(found):
    return json_text(result_json(found, Origin(command="quickstep evaluate")))


def test_rows_are_judged_clip_by_clip(task):
    told = []
    found = judged(task, report=lambda *each: told.append(each))
    assert [row.name for row in found.rows] == [
        "copy",
        "student, round trip",
        "student, 2 steps",
        "student, 4 steps",
    ]
    assert told[0] == ("judging videos", 1, 12)
    assert ("judging videos", 12, 12) in told
    assert told[-1] == ("summing up", 4, 4)
    copied, _, two, four = found.rows
    assert copied.scores["moved_share"].value == pytest.approx(1)
    assert copied.scores["motion_energy"].value == 0
    for row in found.rows:
        values = row.values("psnr")
        assert len(values) == 3
        assert row.scores["psnr"].value == pytest.approx(values.mean(), rel=1e-12)
        assert row.scores["psnr"].low <= row.scores["psnr"].value <= row.scores["psnr"].high
    assert [record.num_evaluations for record in two.records] == [4, 4, 4]
    assert sum(record.num_evaluations for record in four.records) == 24
    assert math.isfinite(two.scores["seam"].value)
    score = two.set_scores["dancer_frame_distance"]
    assert (score.made, score.truth) == (21, 21)
    assert score.few
    assert set(two.timings) >= {"read", "conditions", "denoise", "decode", "view", "judge psnr"}
    assert set(timings_json(found)["copy"]["read"]) == {"seconds", "a_clip"}
    check_comparisons(found)


def check_comparisons(found):
    """Pairs are compared by every metric."""
    by_clips = {each.metric.name: each for each in found.comparisons}
    by_sets = {each.metric: each for each in found.set_comparisons}
    assert set(by_clips) | set(by_sets) == set(SOME)
    two, four = (found.rows[index] for index in (2, 3))
    gain = (four.values("psnr") - two.values("psnr")).mean()
    assert by_clips["psnr"].gain.value == pytest.approx(gain)
    assert by_clips["psnr"].names == ("student, 4 steps", "student, 2 steps")
    distance = by_sets["dancer_frame_distance"].gain.value
    scores = [row.set_scores["dancer_frame_distance"].interval.value for row in (two, four)]
    assert distance == pytest.approx(scores[0] - scores[1])
    assert "student" in by_sets["dancer_frame_distance"].sentence()


def test_the_same_bytes_again_and_after_a_stop(task, judge, tmp_path):
    class Stop(Exception):
        pass

    def stop(stage, done, total):
        if done == 7:
            raise Stop

    first = bytes_of(judged(task))
    other = replace(task, judge=replace(judge, work=WorkFolder(tmp_path / "other")))
    with pytest.raises(Stop):
        evaluate(other, report=stop)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "other").rglob("*-*.json")}
    assert len(kept) == 7
    assert bytes_of(judged(other)) == first
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    assert bytes_of(judged(task)) == first


def test_other_code_other_settings_and_other_clips_are_judged_anew(task, judge):
    evaluate(task)
    rows = judge.work.path / "rows"
    before = len(list(rows.iterdir()))
    evaluate(replace(task, makers=task.makers[:1], pairs=(), code="other code"))
    assert len(list(rows.iterdir())) == before + 1
    shorter = replace(judge, protocol=replace(DANCER, metrics=("psnr",)))
    evaluate(replace(task, makers=task.makers[:1], pairs=(), judge=shorter))
    assert len(list(rows.iterdir())) == before + 2


def test_ranks_share_the_clips_and_the_first_sums_up(task, judge, tmp_path):
    alone = bytes_of(judged(task))
    shared = replace(task, judge=replace(judge, work=WorkFolder(tmp_path / "shared")))
    assert evaluate(replace(shared, share=Share(1, 2))) is None
    assert len(list((tmp_path / "shared").rglob("00001-*.json"))) == 4
    assert not list((tmp_path / "shared").rglob("00000-*.json"))
    assert bytes_of(judged(replace(shared, share=Share(0, 2)))) == alone


def test_a_rank_knows_its_share(monkeypatch):
    assert Share.of_environment() == Share(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert Share.of_environment() == Share(2, 4)


def test_kept_videos_are_judged_alike(task, judge, tmp_path):
    keeper = VideoKeeper(tmp_path / "kept")
    found = judged(replace(task, keeper=keeper))
    folder = keeper.path("student, 2 steps", "x").parent
    assert sorted(path.name for path in folder.glob("*.mp4")) == [
        "00000.mp4",
        "00001.mp4",
        "00002.mp4",
    ]
    again = judged(replace(task, makers=[FolderMaker(folder)], pairs=()))
    for name, score in again.rows[0].scores.items():
        if name != "seam":
            assert score == found.rows[2].scores[name], name
    for name, score in again.rows[0].set_scores.items():
        assert score == found.rows[2].set_scores[name], name
    (folder / "00001.mp4").unlink()
    evaluate(replace(task, keeper=keeper))
    assert read_video(folder / "00001.mp4").frames.shape == (7, 64, 64, 3)


def test_a_kept_video_of_other_settings_is_made_again(task, tmp_path):
    task = replace(task, makers=task.makers[2:3], pairs=(), keeper=VideoKeeper(tmp_path / "kept"))
    other = replace(task, makers=[replace(task.makers[0], seed=1)])
    path = task.keeper.path("student, 2 steps", "00000")
    evaluate(task)
    first = path.read_bytes()
    evaluate(other)
    assert path.read_bytes() != first
    evaluate(task)
    assert path.read_bytes() == first


def test_the_truth_itself_is_perfect(clips, networks, tmp_path):
    judge = Judge(DANCER, networks, WorkFolder(tmp_path / "work"))
    folder = tmp_path / "truth"
    folder.mkdir()
    for sample in open_samples(clips):
        write_video(folder / f"{sample.name}.mp4", sample.frames, fps=12.0, lossless=True)
    task = Task(samples=open_samples(clips), makers=[FolderMaker(folder)], judge=judge)
    row = judged(task).rows[0]
    for name in ("moved_share", "flicker", "warping_error", "dtssd", "face", "dancer_perceptual"):
        assert row.scores[name].value == pytest.approx(0, abs=1e-6), name
    assert row.scores["identity"].value == pytest.approx(0, abs=1e-6)
    assert row.scores["psnr"].value == 100
    for score in row.set_scores.values():
        assert score.interval.value == pytest.approx(0, abs=1e-4)


def test_published_means_weigh_frames(sample, tmp_path):
    protocol = replace(find_protocol("disco-2024"), metrics=("l1_disco", "ssim_disco"))
    judge = Judge(protocol, Networks({}), WorkFolder(tmp_path))
    short = replace(sample.every(1, most=1), name="short")
    maker = CopyMaker()
    records = [judge.judge(each, maker.make(each)) for each in (sample, short)]
    row = summed_up(judge, maker, records)
    values = row.values("l1_disco")
    assert row.scores["l1_disco"].value == pytest.approx((3 * values[0] + values[1]) / 4)


def test_frames_of_any_resolution_are_judged_at_the_protocols(sample, tmp_path):
    protocol = replace(find_protocol("disco-2024"), size=(32, 32), metrics=("psnr_disco",))
    judge = Judge(protocol, Networks({}), WorkFolder(tmp_path))
    twice = sample.frames.repeat(2, axis=1).repeat(2, axis=2)
    pair = judge.pair(sample, Made(frames=twice))
    truth = pair.truth
    assert pair.made.shape == truth.frames.shape == (3, 32, 32, 3)
    assert truth.mask is not None and truth.poses is not None
    assert truth.mask.shape == (3, 32, 32)
    assert truth.poses.size == (32, 32)
    assert judge.pair(sample, Made(frames=truth.frames)).made.shape == (3, 32, 32, 3)


def test_a_truth_that_rows_share_changes_no_number(sample, judge):
    few = replace(judge.protocol, metrics=("ssim_moved", "warping_error", "flicker", "sharpness"))
    judge = replace(judge, protocol=few)
    shared = judge.truth(sample)
    for made in (Made(frames=sample.frames[::-1].copy()), Made(frames=sample.frames)):
        alone, among = judge.judge(sample, made), judge.judge(sample, made, shared)
        assert among.scores == alone.scores
        assert among.truth == alone.truth


def test_videos_that_do_not_pair_are_one_line(sample, networks, tmp_path):
    judge = Judge(DANCER, networks, WorkFolder(tmp_path))
    with pytest.raises(SampleError, match="drift: 2 frames were made, the truth has 3"):
        judge.judge(sample, Made(frames=sample.frames[:2]))
    with pytest.raises(SampleError, match="drift: 32x64 was made, which has not the shape"):
        judge.judge(sample, Made(frames=sample.frames[:, :, :32]))
    with pytest.raises(SampleError, match="drift: dancer-video needs clips of 4 frames or more"):
        judge.judge(sample, Made(frames=sample.frames))


def test_clips_too_short_are_refused_before_any_video(task, sample, tmp_path):
    class Busy(CopyMaker):
        def make(self, sample):
            raise AssertionError("a video was made")

    long = replace(DANCER, window=9, metrics=("psnr", "dancer_video_distance"))
    judge = Judge(long, open_networks(long, {}), WorkFolder(tmp_path / "work"))
    with pytest.raises(SampleError, match="got 7; --without dancer_video_distance judges the rest"):
        evaluate(replace(task, makers=[Busy()], pairs=(), judge=judge))
    replace(judge, protocol=replace(long, metrics=("psnr",))).expect_frames(sample)


def test_rows_of_one_name_are_refused(task):
    with pytest.raises(ValueError, match="two rows are called 'copy'"):
        evaluate(replace(task, makers=[CopyMaker(), CopyMaker()], pairs=()))


def test_what_is_not_finite_is_no_number(sample, tmp_path, networks):
    class Broken:
        sha256, verified = "0" * 64, True

        def __call__(self, frames, truth=None):
            return torch.full((len(frames), 2) if truth is None else (len(frames),), math.inf)

    for metric, network, message in (
        ("lpips_vgg", "lpips_vgg", "drift: lpips_vgg is infinite"),
        ("fid", "inception-fid", "drift: inception-fid gave features that are not finite"),
    ):
        protocol = replace(DANCER, metrics=(metric,))
        judge = Judge(protocol, Networks({network: Broken()}), WorkFolder(tmp_path))
        with pytest.raises(SampleError, match=message):
            judge.judge(sample, Made(frames=sample.frames))


def test_too_few_features_name_their_metric(sample, networks, tmp_path):
    protocol = replace(DANCER, window=3, metrics=("dancer_video_distance",))
    judge = Judge(protocol, open_networks(protocol, {}), WorkFolder(tmp_path))
    record = judge.judge(sample, Made(frames=sample.frames))
    with pytest.raises(SampleError, match="of each set: got 1; leave it out by --without"):
        summed_up(judge, CopyMaker(), [record])


def test_a_clip_of_one_frame_has_the_numbers_of_a_picture(sample, networks, tmp_path):
    metrics = tuple(each for each in DANCER.metrics if "distance" not in each)
    judge = Judge(replace(DANCER, metrics=metrics), networks, WorkFolder(tmp_path))
    one = sample.every(1, most=1)
    record = judge.judge(one, CopyMaker().make(one))
    none = {name for name, value in record.scores.items() if math.isnan(value)}
    in_time = {"motion_energy", "flicker", "warping_error", "seam", "dtssd"}
    assert in_time <= none <= in_time | {"hands"}
