"""An evaluation as JSON, CSV, Markdown and a table on the screen."""

import csv
import io
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from quickstep.evaluation import statistics
from quickstep.evaluation.cache import plain_scores, versions
from quickstep.evaluation.evaluate import Evaluation
from quickstep.evaluation.metrics import METRICS, ClipMetric, set_metrics
from quickstep.evaluation.statistics import Comparison, Interval
from quickstep.evaluation.summary import Row, SetComparison, SetScore

if TYPE_CHECKING:
    from rich.table import Table

UNVERIFIED, FEW = "*", "†"
ROWS_BESIDE = 5
"""Rows that stand beside each other; of more, each has a line of its own."""
Intervals = Literal["ends", "half", "none"]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an evaluation comes from, beside what it holds itself.

    Attributes:
        command: as it was typed.
        data: path of the data as it was given.
        left_out: metrics of the protocol that were not measured.
    """

    command: str = ""
    data: str = ""
    left_out: Sequence[str] = ()


def result_json(found: Evaluation, origin: Origin) -> dict[str, Any]:
    """Everything but timings as plain values: the same evaluation gives the same bytes."""
    return {
        "protocol": {**asdict(found.judge.protocol), "left_out": list(origin.left_out)},
        "command": origin.command,
        "versions": {"python": platform.python_version(), **versions()},
        "digests": {
            "data": found.data,
            "models": {
                row.maker["model"]: row.maker["digest"]
                for row in found.rows
                if "digest" in row.maker
            },
            "weights": found.judge.networks.describe(),
            "code": found.code,
        },
        "data": origin.data,
        "num_clips": len(found.rows[0].records),
        "num_frames": sum(record.num_frames for record in found.rows[0].records),
        "rows": [_plain_row(row) for row in found.rows],
        "comparisons": [_plain_comparison(each) for each in all_comparisons(found)],
        "notes": notes(found, origin),
    }


def timings_json(found: Evaluation) -> dict[str, Any]:
    """Wall seconds of each row by stage, of all clips together and of a clip on average."""
    count = len(found.rows[0].records)
    return {
        row.name: {
            stage: {"seconds": round(seconds, 4), "a_clip": round(seconds / count, 4)}
            for stage, seconds in row.timings.items()
        }
        for row in found.rows
    }


def result_csv(found: Evaluation) -> str:
    """One line for each clip of each row, clip metrics only; an empty cell where there is none."""
    names = [name for name in found.judge.protocol.metrics if isinstance(METRICS[name], ClipMetric)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "clip", "num_frames", "num_evaluations", *names])
    for row in found.rows:
        for record in row.records:
            values = plain_scores(record.scores)
            cells = ["" if (value := values[name]) is None else repr(value) for name in names]
            counts = [record.num_frames, record.num_evaluations]
            writer.writerow([row.name, record.clip, *counts, *cells])
    return text.getvalue()


def result_markdown(found: Evaluation, origin: Origin) -> str:
    """The tables, what was compared, what to know, and where it comes from."""
    protocol, networks = found.judge.protocol, found.judge.networks.describe()
    lines = [
        f"# {protocol.name}, version {protocol.version}",
        "",
        f"{protocol.purpose} {headline(found)}",
        "",
        *(_beside(found) if len(found.rows) <= ROWS_BESIDE else _below(found)),
        "",
    ]
    if sentences := [each.sentence() for each in all_comparisons(found)]:
        labels = [_metric_name(each) for each in all_comparisons(found)]
        lines += ["## Compared clip by clip", ""]
        lines += [f"- {name}: {text}." for name, text in zip(labels, sentences, strict=True)]
        lines.append("")
    if told := notes(found, origin):
        lines += ["## To know", "", *(f"- {note}." for note in told), ""]
    lines += ["## Made from", "", f"- command: `{origin.command}`"]
    lines += [
        f"- {row.name}: `{row.maker['digest'][:12]}`" for row in found.rows if "digest" in row.maker
    ]
    lines += [f"- data: `{found.data[:12]}`, code: `{found.code[:12]}`"]
    lines += [f"- {name}: weights `{each['sha256'][:12]}`" for name, each in networks.items()]
    lines += ["- " + ", ".join(f"{name} {number}" for name, number in versions().items())]
    return "\n".join(lines) + "\n"


def result_tables(found: Evaluation) -> "Iterator[Table]":
    """Tables for the screen: a line for each metric, a column for each of a few rows."""
    from rich.table import Table

    title = f"{found.judge.protocol.name}: {headline(found)}"
    for start in range(0, len(found.rows), ROWS_BESIDE):
        rows = found.rows[start : start + ROWS_BESIDE]
        table = Table(title=title if start == 0 else None, title_justify="left")
        table.add_column("", no_wrap=True)
        for row in rows:
            table.add_column(row.name, justify="right")
        for name in found.judge.protocol.metrics:
            table.add_row(_label(found, name), *(_cell(row, name, "half") for row in rows))
        yield table


def headline(found: Evaluation) -> str:
    """How much was judged, in a few words."""
    records = found.rows[0].records
    frames = sum(record.num_frames for record in records)
    clips = f"{len(records)} clip{'s' * (len(records) != 1)}"
    return f"{clips}, {frames} frames."


def main_sentences(found: Evaluation) -> list[str]:
    """What the comparisons say of the protocol's main metric, or of the first that is measured."""
    protocol = found.judge.protocol
    main = protocol.main if protocol.main in protocol.metrics else protocol.metrics[0]
    return [
        f"{main}: {each.sentence()}"
        for each in all_comparisons(found)
        if _metric_name(each) == main
    ]


def notes(found: Evaluation, origin: Origin) -> list[str]:
    """What a reader must know before believing a number."""
    return [
        *(f"{name} was left out by --without" for name in origin.left_out),
        *_unverified(found),
        *_few(found),
        *_missing(found),
        *(f"{row.name}: {note}" for row in found.rows for note in _row_notes(row)),
    ]


def all_comparisons(found: Evaluation) -> list[Comparison | SetComparison]:
    """Those by clip metrics, then those by set metrics."""
    return [*found.comparisons, *found.set_comparisons]


def _plain_row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        **row.maker,
        "scores": {name: _plain_interval(each) for name, each in row.scores.items()},
        "set_scores": {name: _plain_set_score(each) for name, each in row.set_scores.items()},
        "num_evaluations": sum(record.num_evaluations for record in row.records),
        "clips": [
            {
                "clip": record.clip,
                "sample": record.sample,
                "num_frames": record.num_frames,
                "num_evaluations": record.num_evaluations,
                "scores": plain_scores(record.scores),
            }
            for record in row.records
        ],
    }


def _plain_interval(interval: Interval) -> dict[str, Any]:
    ends = plain_scores({"value": interval.value, "low": interval.low, "high": interval.high})
    counts = {"level": interval.level, "count": interval.count, "missing": interval.missing}
    return {**ends, **counts}


def _plain_set_score(score: SetScore) -> dict[str, Any]:
    counts = {"made": score.made, "truth": score.truth, "width": score.width, "few": score.few}
    return {**_plain_interval(score.interval), **counts}


def _plain_comparison(each: Comparison | SetComparison) -> dict[str, Any]:
    tested = {"p": each.p, "exact": each.exact} if isinstance(each, Comparison) else {}
    return {
        "metric": _metric_name(each),
        "names": list(each.names),
        "gain": _plain_interval(each.gain),
        **plain_scores({name: float(value) for name, value in tested.items() if name == "p"}),
        "shown": bool(each.shown),
        "sentence": each.sentence(),
    }


def _metric_name(each: Comparison | SetComparison) -> str:
    return each.metric.name if isinstance(each, Comparison) else each.metric


def _beside(found: Evaluation) -> list[str]:
    """The table of a few rows: a line for each metric, with intervals."""
    metrics = found.judge.protocol.metrics
    return [
        *_table_head(["", *(row.name for row in found.rows)]),
        *(
            _table_line([_label(found, name), *(_cell(row, name, "ends") for row in found.rows)])
            for name in metrics
        ),
        "",
        "Means with 95 % bootstrap intervals over clips.",
    ]


def _below(found: Evaluation) -> list[str]:
    """The table of many rows: a line for each, without intervals."""
    metrics = found.judge.protocol.metrics
    return [
        *_table_head(["", *(_label(found, name) for name in metrics)]),
        *(
            _table_line([row.name, *(_cell(row, name, "none") for name in metrics)])
            for row in found.rows
        ),
        "",
        "Means over clips; their 95 % bootstrap intervals are in the JSON file.",
    ]


def _table_head(cells: Sequence[str]) -> list[str]:
    return [_table_line(cells), "|---" * len(cells) + "|"]


def _table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _label(found: Evaluation, name: str) -> str:
    """A metric with its marks."""
    network = METRICS[name].network
    verified = not network or found.judge.networks.describe()[network]["verified"]
    return f"{name}{'' if verified else UNVERIFIED} {_arrow(name)}"


def _cell(row: Row, name: str, intervals: Intervals) -> str:
    if isinstance(METRICS[name], ClipMetric):
        return _text(row.scores[name], intervals)
    score = row.set_scores[name]
    return _text(score.interval, intervals) + FEW * score.few


def _arrow(name: str) -> str:
    best = statistics.METRICS[name].best
    return f"→ {best:g}" if math.isfinite(best) else "↑" if best > 0 else "↓"


def _text(interval: Interval, intervals: Intervals) -> str:
    if math.isnan(interval.value):
        return "–"
    value = f"{interval.value:.4g}"
    if math.isnan(interval.low) or intervals == "none":
        return value
    if intervals == "half":
        return f"{value} ±{(interval.high - interval.low) / 2:.2g}"
    return f"{value} ({interval.low:.4g} to {interval.high:.4g})"


def _unverified(found: Evaluation) -> Iterator[str]:
    for name, each in found.judge.networks.describe().items():
        if not each["verified"]:
            yield f"{UNVERIFIED} {name} is unverified: no upstream output is at hand to hold it to"


def _few(found: Evaluation) -> Iterator[str]:
    for metric in set_metrics(found.judge.protocol.metrics):
        score = found.rows[0].set_scores[metric.name]
        if score.few:
            count = min(score.made, score.truth)
            yield (
                f"{FEW} {metric.name} is of {count} features of width {score.width}, too few: "
                "the value is too large, and comparable only with values of as many"
            )


def _missing(found: Evaluation) -> Iterator[str]:
    for name in found.judge.protocol.metrics:
        metric = METRICS[name]
        if not isinstance(metric, ClipMetric):
            continue
        missing = {row.name: row.scores[name].missing for row in found.rows}
        needs = f"; it needs {' and '.join(metric.needs)}" if metric.needs else ""
        if len(set(missing.values())) == 1:
            missing = {"every row": next(iter(missing.values()))}
        for row, count in missing.items():
            if count:
                total = len(found.rows[0].records)
                yield f"{name} of {row}: no value in {count} of {total} clips{needs}"


def _row_notes(row: Row) -> list[str]:
    return sorted({note for record in row.records for note in record.notes})
