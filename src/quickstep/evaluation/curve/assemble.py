"""From what was measured to what the page shows, and to the numbers beside it."""

import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from quickstep.conditions.drawing import draw_skeletons
from quickstep.data.video import read_video
from quickstep.evaluation.curve.measure import BUSY, PEAK, CurveError, Measured, MeasuredPoint
from quickstep.evaluation.curve.metrics import NO_BREAK
from quickstep.evaluation.curve.points import (
    STAGES,
    Baseline,
    Made,
    Point,
    Report,
    Score,
    Showcase,
    answer_of,
)
from quickstep.evaluation.metrics import METRICS as MEASURES
from quickstep.evaluation.report import (
    FEW,
    UNVERIFIED,
    Origin,
    notes,
    result_json,
    versions,
)
from quickstep.evaluation.statistics import METRICS, Interval
from quickstep.evaluation.summary import Row, comparisons, set_comparisons

BASELINES = {"copy": "copying the reference", "round trip": "the autoencoder alone"}
"""What the rows without denoising are called on the page, by the kind of their maker."""


def assembled(measured: Measured, origin: Origin) -> Report:
    """The page's report."""
    points = [_point(each) for each in measured.points]
    report = Report(
        points=points,
        metrics=_metrics(measured),
        scope=_scope(measured),
        baselines=[
            Baseline(name=BASELINES[row.maker["kind"]], scores=_scores(row))
            for row in measured.evaluation.rows
            if row.maker["kind"] in BASELINES
        ],
        showcases=[_showcase(measured, points, name) for name in measured.request.shown],
        facts=_facts(measured, origin),
        notes=[*_busy(measured), *notes(measured.evaluation, origin)],
        marks=_marks(measured),
    )
    return replace(report, comparisons=_compared(measured, report))


def numbers_json(measured: Measured, origin: Origin) -> dict[str, Any]:
    """Everything but times and memory: the same run gives the same bytes."""
    return result_json(measured.evaluation, origin)


def timings_json(measured: Measured) -> dict[str, Any]:
    """Seconds of every clip by stage and memory of each point, and on what machine."""
    return {
        "machine": machine(measured.request.device),
        "device": str(measured.request.device),
        "threads": torch.get_num_threads(),
        "points": [
            {
                "row": each.row.name,
                "model": each.model,
                "steps": each.steps,
                "evaluations": _evaluations(each.row),
                "median_seconds": _seconds(each.row),
                "memory": _memory(each.row),
                "clips": {
                    record.clip: {
                        name: round(record.timings[name], 4)
                        for name in (*STAGES, PEAK, BUSY)
                        if name in record.timings
                    }
                    for record in each.row.records
                },
            }
            for each in measured.points
        ],
    }


def machine(device: torch.device | str = "cpu") -> str:
    """The processor, or the accelerator that was used, in words."""
    if torch.device(device).type != "cpu":
        named = getattr(torch.get_device_module(device), "get_device_name", None)
        return named() if named else str(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def _busy(measured: Measured) -> list[str]:
    """A warning when others used the machine while it was timed."""
    found = [
        record.timings[BUSY]
        for each in measured.points
        for record in each.row.records
        if BUSY in record.timings
    ]
    cores = os.cpu_count() or 1
    if not found or statistics.median(found) <= cores:
        return []
    return [
        f"The machine was busy with other work: a load of {statistics.median(found):.1f} on "
        f"{cores} cores. Seconds are larger than on a quiet machine, and ratios less certain"
    ]


def _point(each: MeasuredPoint) -> Point:
    settings, allowed = each.settings, each.settings.steps_allowed
    return Point(
        model=each.model,
        role=settings.role,
        steps=each.steps,
        guidance=each.row.maker["guidance"],
        trained=not allowed or each.steps in allowed,
        best=each.steps == settings.steps_best,
        evaluations=_evaluations(each.row),
        scores=_scores(each.row),
        seconds=_seconds(each.row),
        memory=_memory(each.row),
    )


def _scores(row: Row) -> dict[str, Score]:
    intervals = {**row.scores, **{name: each.interval for name, each in row.set_scores.items()}}
    return {name: _score(interval) for name, interval in intervals.items()}


def _score(interval: Interval) -> Score:
    if interval.low != interval.low or interval.high != interval.high:
        return Score(interval.value)
    return Score(interval.value, interval.low, interval.high)


def _seconds(row: Row) -> dict[str, float]:
    """Medians over clips: a pause of the machine in one of them does not count."""
    return {
        stage: statistics.median(record.timings[stage] for record in row.records)
        for stage in STAGES
        if all(stage in record.timings for record in row.records)
    }


def _memory(row: Row) -> int | None:
    peaks = [record.timings[PEAK] for record in row.records if PEAK in record.timings]
    return int(max(peaks)) if peaks else None


def _evaluations(row: Row) -> float:
    return statistics.fmean(record.num_evaluations for record in row.records)


def _metrics(measured: Measured) -> list[str]:
    """Metrics that some point has a value of; first one in decibels, else the protocol's main."""
    protocol = measured.request.judge.protocol
    scores = [_scores(each.row) for each in measured.points]
    known = [
        name
        for name in protocol.metrics
        if any(name in of and of[name].value == of[name].value for of in scores)
    ]
    if not known:
        raise CurveError(f"no clip gave a value of {', '.join(protocol.metrics)}: nothing to draw")
    decibels = [name for name in known if name in METRICS and METRICS[name].unit == "dB"]
    first = next(iter([*decibels, *(name for name in known if name == protocol.main)]), known[0])
    return [first, *(name for name in known if name != first)]


def _marks(measured: Measured) -> dict[str, str]:
    """The marks of `quickstep evaluate` for networks never verified and for too few features."""
    networks = measured.request.judge.networks.describe()
    row = measured.points[0].row
    found = {}
    for name in measured.request.judge.protocol.metrics:
        network = MEASURES[name].network
        doubtful = bool(network) and not networks[network]["verified"]
        few = name in row.set_scores and row.set_scores[name].few
        found[name] = UNVERIFIED * doubtful + FEW * few
    return found


def _scope(measured: Measured) -> str:
    records = measured.points[0].row.records
    counts = {record.num_frames for record in records}
    clips = f"{len(records)} clip{'s' * (len(records) != 1)}"
    frames = f"{max(counts)} frame{'s' * (max(counts) != 1)}"
    upto = "of" if len(counts) == 1 else "of up to"
    protocol = measured.request.judge.protocol
    return f"{protocol.name} protocol · {clips} {upto} {frames}"


def _compared(measured: Measured, report: Report) -> dict[str, str]:
    """What the comparison of student and teacher, clip by clip, says of each metric."""
    answer = answer_of(report)
    if answer.teacher is None:
        return {}
    judge = measured.request.judge
    rows = [
        each.row
        for point in (answer.point, answer.teacher)
        for each in measured.points
        if (each.model, each.steps) == (point.model, point.steps)
    ]
    names = ("the student", "the teacher")
    by_clip = {
        each.metric.name: replace(each, names=names).sentence()
        for each in comparisons(judge, rows[0], rows[1])
        if each.gain.count
    }
    by_set = {
        each.metric: replace(each, names=names).sentence()
        for each in set_comparisons(judge, rows[0], rows[1])
    }
    found = {**by_clip, **by_set}
    return {name: _typeset(found[name]) for name in report.metrics if name in found}


def _typeset(sentence: str) -> str:
    """With minus signs, and without breaks inside ``95 %`` and ``p = .250``."""
    signed = re.sub(r"-(?=\d)", "\N{MINUS SIGN}", sentence)
    return re.sub(r" (?=[%=<])|(?<=[=<]) ", NO_BREAK, signed)


def _showcase(measured: Measured, points: Sequence[Point], name: str) -> Showcase:
    request = measured.request
    sample = request.judge.sample(request.samples.read(name))
    settings = measured.points[0].settings
    ceiling = [
        read_video(measured.keeper.path(row.name, name)).frames
        for row in measured.evaluation.rows
        if row.maker["kind"] == "round trip"
    ]
    assert sample.poses is not None
    return Showcase(
        name=name,
        fps=sample.fps,
        reference=sample.reference,
        skeletons=draw_skeletons(
            sample.poses, size=sample.size, style=settings.pose_style, stroke=settings.stroke
        ),
        truth=sample.frames,
        ceiling=ceiling[0] if ceiling else None,
        made=[
            Made(
                point=point,
                frames=read_video(measured.keeper.path(each.row.name, name)).frames,
            )
            for point, each in zip(points, measured.points, strict=True)
        ],
    )


def _facts(measured: Measured, origin: Origin) -> list[tuple[str, str]]:
    request, found = measured.request, measured.evaluation
    protocol = request.judge.protocol
    digests: Mapping[str, str] = {each.model: each.row.maker["digest"] for each in measured.points}
    dtype = str(request.dtype).removeprefix("torch.")
    names = request.samples.names
    return [
        ("Protocol", f"{protocol.name}, version {protocol.version}: {protocol.purpose}"),
        ("Data", f"{origin.data}; clips {names[0]} to {names[-1]}, digest {found.data[:12]}"),
        ("Seed", f"{request.seed}; each clip’s noise comes from it and the clip’s name"),
        *((f"Model {name}", f"digest {digest[:12]}") for name, digest in digests.items()),
        (
            "Machine",
            f"{machine(request.device)}; {request.device}, {dtype}, "
            f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}",
        ),
        ("Seconds", "medians over clips, by the wall clock, after one run that does not count"),
        ("Memory", "weights and working memory of one clip at its peak; Python itself is not in"),
        *(
            (
                f"Weights {name}",
                f"SHA-256 {each['sha256'][:12]}"
                + ("" if each["verified"] else "; not verified against a published output"),
            )
            for name, each in request.judge.networks.describe().items()
        ),
        ("Versions", ", ".join(f"{name} {number}" for name, number in versions().items())),
        ("Code", f"digest {found.code[:12]}"),
        ("Command", origin.command),
    ]
