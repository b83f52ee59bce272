"""Footage to shards, from the folder that holds it to the manifest that says what became of it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quickstep.config import to_dict
from quickstep.data.prepared import Report
from quickstep.files import remove_remains, written_beside
from quickstep.preparation.clips import num_strides
from quickstep.preparation.report import Row, write_report
from quickstep.preparation.shards import KeptClip, picture_of, write_shards
from quickstep.preparation.sharing import Engine, prepare_all
from quickstep.preparation.sources import Found, Source
from quickstep.preparation.splits import SplitPlan, missing
from quickstep.preparation.store import Result, Store, fault_key, strip_key
from quickstep.preparation.work import BESIDE, Job

ASKED = "prepare.json"
"""What a folder of shards was asked to hold; written first, and the same in every later run."""
CACHE = "cache"
_SHEET_CLIPS = 24


class PrepareError(ValueError):
    """Footage that cannot be prepared as asked; the message is one line."""


@dataclass
class Summary:
    """What a run did.

    Attributes:
        manifest: the shards' manifest; None when no clip was left.
        rows: what is left out.
        num_found: sources whose results were there before.
        seconds: by stage, of the sources that were worked on.
    """

    manifest: dict[str, Any] | None
    rows: list[Row]
    num_found: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def prepare_footage(
    found: Found,
    out: Path,
    job: Job,
    *,
    split: SplitPlan,
    workers: int = 1,
    engine: Engine = "local",
    report: Report | None = None,
    say: Callable[[str], None] | None = None,
) -> Summary:
    """Prepares every source that is not yet, and writes shards, manifest and report.

    A run that was stopped, or killed, goes on where it was: results are kept one by one.

    Args:
        found: the footage.
        out: where shards go; empty, or of the same settings.
        job: settings and networks.
        split: which source is for what.
        workers: processes.
        engine: where they run, see `prepare_all`.
        report: called after each source.
        say: takes a line about each source that is left out as a whole.

    Raises:
        PrepareError: `out` holds something else.
        ValueError: the networks cannot be loaded, or the work not be shared out.
        OSError: something cannot be written.
    """
    claim(out, job)
    store = Store(job.store)
    store.folder.mkdir(parents=True, exist_ok=True)
    for folder in (out, store.folder):
        remove_remains(folder.rglob(".*"))
    sources, rows = _chosen(found, split)
    results: dict[int, Result] = {}
    for number, result in prepare_all(sources, job, workers=workers, engine=engine):
        results[number] = result
        if say is not None and not result.clips and result.faults:
            say(f"{sources[number].name}: {result.faults[0]['reason']}")
        if report is not None:
            report(len(results), len(sources), "preparing videos")
    ordered = [(source, results[number]) for number, source in enumerate(sources)]
    clips, more = _kept(ordered, split, store)
    rows += more
    made_by = next((result.made_by for _, result in ordered if result.made_by), {})
    description = _description(job, made_by, ordered, clips, split, rows)
    manifest = write_shards(out, clips, description=description) if clips else None
    strips = [
        (f"{clip.source}\nframes from {clip.first}, {clip.num_frames} taken, {clip.split}", strip)
        for clip in clips[:_SHEET_CLIPS]
        if (strip := picture_of(clip.tar, strip_key(clip.key)))
    ]
    write_report(out, rows, strips)
    return Summary(
        manifest=manifest,
        rows=rows,
        num_found=sum(not result.is_new for _, result in ordered),
        seconds=_total([result.seconds for _, result in ordered if result.is_new]),
    )


def claim(out: Path, job: Job) -> None:
    """Makes the folder of the shards, or checks that it was made for the same settings.

    Raises:
        PrepareError: it holds something else.
        OSError: it cannot be written to.
    """
    settings = json.loads(json.dumps(to_dict(job.settings)))
    asked = {"model": job.model, "detector": job.detector, "settings": settings}
    path = out / ASKED
    if path.is_file():
        before = {"detector": BESIDE, **json.loads(path.read_text(encoding="utf-8"))}
        if before != asked:
            old, new = ({**one, **one["settings"], "settings": None} for one in (before, asked))
            name = next(name for name in new if old.get(name) != new[name])
            raise PrepareError(
                f"{out} was prepared with {name}={old.get(name)!r}, not {new[name]!r}: "
                f"name another folder (--cache {out / CACHE} lets it share what is the same)"
            )
        return
    if out.is_dir() and any(out.iterdir()):
        raise PrepareError(f"{out}: the folder is not empty, and holds no shards")
    out.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as beside:
        beside.write_text(json.dumps(asked, indent=1), encoding="utf-8")


def _chosen(found: Found, split: SplitPlan) -> tuple[list[Source], list[Row]]:
    rows = [Row(name, fault.reason, fault.stage) for name, fault in found.faults]
    rows += [
        Row(name, "named by the split, but not there", "split")
        for name in missing(split, found.sources)
    ]
    sources = []
    for source in found.sources:
        if split.only_named and source.name not in split.of:
            rows.append(Row(source.name, "not named by the split", "split"))
        else:
            sources.append(source)
    if not sources:
        raise PrepareError("none of the footage is named by the split")
    return sources, rows


def _kept(
    ordered: Sequence[tuple[Source, Result]], split: SplitPlan, store: Store
) -> tuple[list[KeptClip], list[Row]]:
    """The clips that go into shards, and why others do not."""
    clips, rows, names = list[KeptClip](), list[Row](), dict[str, str]()
    for source, result in ordered:
        refused = _refusal(source, result, split, names)
        if refused:
            rows.append(Row(source.name, refused, "split" if "split" in refused else "source"))
            continue
        rows += _rows(source, result, store)
        clips += [
            KeptClip(
                key=clip["key"],
                source=source.name,
                split=split.of.get(source.name, "train"),
                num_frames=clip["num_frames"],
                first=clip["first"],
                tar=store.tar(result.key),
            )
            for clip in result.clips
        ]
    return clips, rows


def _refusal(source: Source, result: Result, split: SplitPlan, names: dict[str, str]) -> str | None:
    """Why the clips of a source are not taken although they could be made."""
    digest = result.sha256.get("video")
    wanted = split.sha256.get(source.name)
    if digest and wanted and digest != wanted:
        return f"not the video of the split: its sha256 is {digest[:12]}, not {wanted[:12]}"
    first = names.setdefault(digest, source.name) if result.clips and digest else source.name
    if first != source.name:
        return f"the same video as {first}"
    return None


def _rows(source: Source, result: Result, store: Store) -> list[Row]:
    rows = []
    for number, fault in enumerate(result.faults):
        picture = (store.tar(result.key), fault_key(number)) if fault["has_picture"] else None
        rows.append(
            Row(
                source.name,
                fault["reason"],
                fault["stage"],
                first=fault["first"],
                last=fault["last"],
                picture=picture,
            )
        )
    return rows


def _description(
    job: Job,
    made_by: dict[str, Any],
    ordered: Sequence[tuple[Source, Result]],
    clips: Sequence[KeptClip],
    split: SplitPlan,
    rows: Sequence[Row],
) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for clip in clips:
        counts[clip.source] = counts.get(clip.source, 0) + 1
    return {
        "settings": to_dict(job.settings),
        "encoders": {"model": job.model, "digest": made_by.get("encoders", "")},
        "detector": made_by.get("detector", ""),
        "cell": made_by.get("cell", 0),
        "motion_strides": num_strides(job.settings),
        "sources": [
            {
                "name": source.name,
                "split": split.of.get(source.name, "train"),
                "sha256": result.sha256,
                "bytes": result.num_bytes,
                "licence": source.licence or job.settings.licence,
                "clips": counts.get(source.name, 0),
            }
            for source, result in ordered
        ],
        "rejected": len(rows),
    }


def _total(several: Sequence[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for seconds in several:
        for stage, value in seconds.items():
            total[stage] = total.get(stage, 0.0) + value
    return total
