"""The evaluation: every row makes every clip, every clip is judged once, and all is summed up."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from quickstep.animation.stopwatch import Stopwatch
from quickstep.data.video import write_video
from quickstep.evaluation.cache import RowStore, code_digest, versions, write_text
from quickstep.evaluation.finished import Maker
from quickstep.evaluation.judging import Judge
from quickstep.evaluation.sample import Made, Sample
from quickstep.evaluation.samples import Samples
from quickstep.evaluation.statistics import Comparison
from quickstep.evaluation.summary import (
    Row,
    SetComparison,
    comparisons,
    set_comparisons,
    summed_up,
)

Report = Callable[[str, int, int], None]
"""Called with a stage, how many of its parts are done, and how many there are."""


@dataclass(frozen=True)
class Share:
    """Which clips this process judges: every `count`-th from `index` on."""

    index: int = 0
    count: int = 1

    @classmethod
    def of_environment(cls) -> "Share":
        """This process's share as torchrun and accelerate tell it (RANK, WORLD_SIZE)."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All that was found.

    Attributes:
        judge: the protocol and the networks.
        rows: in the order they were asked for.
        comparisons: pairs of rows, clip by clip.
        set_comparisons: the same by Frechet distances.
        data: digest of all clips.
        code: digest of the source that judges; a maker's settings have that of what made a video.
    """

    judge: Judge
    rows: Sequence[Row]
    comparisons: Sequence[Comparison]
    set_comparisons: Sequence[SetComparison]
    data: str
    code: str


@dataclass(frozen=True)
class VideoKeeper:
    """Keeps every made video, lossless, as ``FOLDER/ROW/CLIP.mp4``: a folder that can be judged."""

    folder: Path

    def path(self, row: str, clip: str) -> Path:
        """Where a video is kept."""
        plain = "".join(each if each.isalnum() or each in "-." else "_" for each in row)
        return self.folder / plain / f"{clip}.mp4"

    def has(self, row: str, clip: str) -> bool:
        """Whether it is there."""
        return self.path(row, clip).is_file()

    def is_of(self, row: str, clip: str, key: str) -> bool:
        """Whether a video that is there was made by the settings of a key."""
        path = self.path(row, clip)
        mark = _mark(path)
        return not path.is_file() or (mark.is_file() and mark.read_text() == key)

    def mark(self, row: str, clip: str, key: str) -> None:
        """Notes, in a hidden file, by which settings a video was made."""
        if self.path(row, clip).is_file():
            write_text(_mark(self.path(row, clip)), key)

    def keep(self, row: str, sample: Sample, made: Made) -> None:
        """Writes a video."""
        path = self.path(row, sample.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, made.frames, fps=sample.fps, lossless=True)


def _mark(video: Path) -> Path:
    return video.with_name(f".{video.stem}.made-by")


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be judged.

    Attributes:
        samples: the clips.
        makers: the rows.
        judge: the protocol with its networks and the work folder.
        pairs: names of the rows to compare.
        share: which clips are this process's.
        keeper: keeps the videos; None to keep none.
        code: digest of the source that judges.
    """

    samples: Samples
    makers: Sequence[Maker]
    judge: Judge
    pairs: Sequence[tuple[str, str]] = ()
    share: Share = Share()
    keeper: VideoKeeper | None = None
    code: str = field(default_factory=code_digest)

    def stores(self) -> dict[str, RowStore]:
        """The store of each row's records.

        Raises:
            ValueError: two rows of one name.
        """
        names = [maker.name for maker in self.makers]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(
                f"two rows are called {twice!r}: they must differ in the model's name, steps, "
                "guidance or times"
            )
        return {maker.name: self.judge.work.row(self._settings(maker)) for maker in self.makers}

    def _settings(self, maker: Maker) -> dict[str, Any]:
        return {
            "maker": maker.settings(),
            "protocol": asdict(self.judge.protocol),
            "networks": self.judge.networks.describe(),
            "code": self.code,
            "versions": versions(),
        }


def evaluate(task: Task, *, report: Report | None = None) -> Evaluation | None:
    """Judges what is not judged yet and sums up.

    A clip is read once and made by every row before the next, so that a stopped run has whole
    clips, and the first rank can sum up while others are at their last.

    Args:
        task: what to judge.
        report: progress.

    Returns:
        The result; None on every rank but the first, which waits for the others' records.

    Raises:
        ValueError: a clip, a video or a metric that cannot be used; one line.
    """
    for maker in task.makers:
        maker.check(task.samples)
    stores = task.stores()
    digests = _judge_share(task, stores, report)
    if task.share.index:
        return None
    for name in task.samples.names:
        if name not in digests:
            digests[name] = task.judge.sample(task.samples.read(name)).digest()
    rows = []
    for maker in task.makers:
        store = stores[maker.name]
        records = [store.wait(name, digests[name]) for name in task.samples.names]
        rows.append(summed_up(task.judge, maker, records))
        if report:
            report("summing up", len(rows), len(task.makers))
    by_name = {row.name: row for row in rows}
    pairs = [(by_name[one], by_name[other]) for one, other in task.pairs]
    data = "".join(f"{name} {digests[name]}\n" for name in sorted(digests))
    return Evaluation(
        judge=task.judge,
        rows=rows,
        comparisons=[each for pair in pairs for each in comparisons(task.judge, *pair)],
        set_comparisons=[each for pair in pairs for each in set_comparisons(task.judge, *pair)],
        data=hashlib.sha256(data.encode()).hexdigest(),
        code=task.code,
    )


def _judge_share(
    task: Task, stores: Mapping[str, RowStore], report: Report | None
) -> dict[str, str]:
    """Makes and judges this process's clips; gives the digest of each."""
    mine = task.samples.names[task.share.index :: task.share.count]
    digests, done, total = {}, 0, len(mine) * len(task.makers)
    for name in mine:
        watch = Stopwatch()
        with watch("read"):
            sample = task.judge.sample(task.samples.read(name))
            digests[name] = sample.digest()
        task.judge.expect_frames(sample)
        truth = None
        for maker in task.makers:
            if _lacks(task, stores[maker.name], maker.name, sample, digests[name]):
                made = maker.make(sample)
                if task.keeper is not None:
                    task.keeper.keep(maker.name, sample, made)
                    task.keeper.mark(maker.name, name, _key(stores[maker.name], digests[name]))
                truth = truth or task.judge.truth(sample)
                record = task.judge.judge(sample, made, truth)
                timings = {**watch.seconds, **record.timings}
                stores[maker.name].keep(replace(record, timings=timings))
            done += 1
            if report:
                report("judging videos", done, total)
    return digests


def _lacks(task: Task, store: RowStore, row: str, sample: Sample, digest: str) -> bool:
    """Whether the record is not there, or the video to keep, or one of other settings is."""
    keeper = task.keeper
    video = keeper is None or (
        keeper.has(row, sample.name) and keeper.is_of(row, sample.name, _key(store, digest))
    )
    return not (store.has(sample.name, digest) and video)


def _key(store: RowStore, digest: str) -> str:
    return f"{store.folder.name} {digest}"
