import csv
import io
import json
import math
import platform
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from quickstep.evaluation.cache import Record, WorkFolder, json_text, versions
from quickstep.evaluation.evaluate import Evaluation
from quickstep.evaluation.judging import Judge
from quickstep.evaluation.makers import CopyMaker
from quickstep.evaluation.networks import Networks
from quickstep.evaluation.protocols import find_protocol
from quickstep.evaluation.report import (
    Origin,
    main_sentences,
    notes,
    result_csv,
    result_json,
    result_markdown,
    result_tables,
    timings_json,
)
from quickstep.evaluation.statistics import Interval
from quickstep.evaluation.summary import SetComparison, comparisons, set_comparisons, summed_up

METRICS = ("psnr", "motion_energy", "hands", "fvd")


class Extractor:
    """Weights of the user that no upstream output could be held against."""

    sha256 = "e" * 64
    verified = False


class Named(CopyMaker):
    """A row of any name."""

    def __init__(self, name):
        object.__setattr__(self, "_name", name)

    @property
    def name(self):
        return self._name  # type: ignore[attr-defined]

    def settings(self):
        return {"kind": "model", "model": self.name, "digest": "d" * 64, "steps": 4}


def record(clip: int, shift: float) -> Record:
    features = np.random.default_rng(clip).normal(shift, 1, (4, 8)).astype(np.float32)
    return Record(
        clip=f"{clip:05d}",
        sample="a" * 64,
        num_frames=16,
        scores={
            "psnr": 20 + shift + 0.1 * clip,
            "motion_energy": 1.0,
            "hands": math.nan if clip else 3.0,
        },
        truth=f"{clip}" * 64,
        num_evaluations=4,
        notes=("it was hurried",) if shift else (),
        features={"i3d-fvd": features},
        timings={"denoise": 2.0, "judge psnr": 0.5},
    )


@pytest.fixture
def found(tmp_path) -> Evaluation:
    protocol = replace(find_protocol("clean"), metrics=METRICS, main="psnr")
    networks = Networks({"i3d-fvd": Extractor()})
    judge = Judge(protocol, networks, WorkFolder(tmp_path))
    told = {"name": "i3d-fvd", **networks.describe()["i3d-fvd"]}
    for clip in range(8):
        truth = np.random.default_rng(100 + clip).normal(0, 1, (4, 8)).astype(np.float32)
        judge.work.truth_features(f"{clip}" * 64, told, lambda truth=truth: truth)
    rows = [
        summed_up(judge, Named(name), [record(clip, shift) for clip in range(8)])
        for name, shift in (("one", 0.0), ("other", 1.0))
    ]
    return Evaluation(
        judge=judge,
        rows=rows,
        comparisons=comparisons(judge, rows[1], rows[0]),
        set_comparisons=set_comparisons(judge, rows[1], rows[0]),
        data="b" * 64,
        code="c" * 64,
    )


ORIGIN = Origin(command="quickstep evaluate one data", data="data", left_out=("fid",))


def test_the_json_holds_all_that_a_number_depends_on(found):
    result = json.loads(json_text(result_json(found, ORIGIN)))
    assert result["protocol"]["name"] == "clean"
    assert result["protocol"]["version"] == 1
    assert result["protocol"]["left_out"] == ["fid"]
    assert result["command"] == "quickstep evaluate one data"
    assert result["versions"] == {"python": platform.python_version(), **versions()}
    assert result["digests"]["models"] == {"one": "d" * 64, "other": "d" * 64}
    assert result["digests"]["weights"]["i3d-fvd"]["sha256"] == "e" * 64
    assert (result["num_clips"], result["num_frames"]) == (8, 128)
    row = result["rows"][1]
    assert (row["name"], row["steps"], row["num_evaluations"]) == ("other", 4, 32)
    assert row["scores"]["psnr"]["value"] == pytest.approx(21.35)
    assert row["scores"]["hands"] == {
        "value": 3.0,
        "low": None,
        "high": None,
        "level": 0.95,
        "count": 1,
        "missing": 7,
    }
    fvd = row["set_scores"]["fvd"]
    assert (fvd["made"], fvd["truth"], fvd["width"], fvd["few"]) == (32, 32, 8, False)
    assert row["clips"][3]["scores"]["hands"] is None
    assert "timings" not in json.dumps(result)


def test_timings_are_of_all_clips_and_of_one(found):
    assert timings_json(found)["one"]["denoise"] == {"seconds": 16.0, "a_clip": 2.0}


def test_the_csv_has_a_line_for_each_clip(found):
    rows = list(csv.DictReader(io.StringIO(result_csv(found))))
    assert len(rows) == 16
    assert rows[9] == {
        "row": "other",
        "clip": "00001",
        "num_frames": "16",
        "num_evaluations": "4",
        "psnr": "21.1",
        "motion_energy": "1.0",
        "hands": "",
    }


def test_the_markdown_tells_marks_comparisons_and_origin(found):
    text = result_markdown(found, ORIGIN)
    assert "| psnr ↑ | 20.35 (" in text
    assert "| motion_energy → 1 | 1 (1 to 1)" in text
    assert "| fvd* ↓ |" in text
    assert "psnr: other is better by 1.0 dB" in text
    assert "fvd: one is nearer by" in text
    assert "- fid was left out by --without." in text
    assert "- hands of every row: no value in 7 of 8 clips; it needs skeletons." in text
    assert "- other: it was hurried." in text
    assert f"i3d-fvd: weights `{'e' * 12}`" in text
    assert "`quickstep evaluate one data`" in text


def test_the_screen_shows_the_same_numbers(found):
    console = Console(width=100, record=True, file=io.StringIO())
    for table in result_tables(found):
        console.print(table)
    text = console.export_text()
    assert "clean: 8 clips, 128 frames." in text
    assert "20.35 ±" in text
    assert "21.35 ±" in text
    assert main_sentences(found)[0].startswith("psnr: other is better by")


def test_few_samples_are_marked(found):
    rows = [
        replace(
            row,
            set_scores={name: replace(each, few=True) for name, each in row.set_scores.items()},
        )
        for row in found.rows
    ]
    few = replace(found, rows=rows)
    assert "†" in result_markdown(few, ORIGIN)
    assert any("fvd is of 32 features of width 8, too few" in note for note in notes(few, ORIGIN))
    assert not any("too few" in note for note in notes(found, ORIGIN))


def test_a_metric_that_was_left_out_passes_its_place_to_the_next(found):
    protocol = replace(found.judge.protocol, main="ssim")
    other = replace(found, judge=replace(found.judge, protocol=protocol))
    assert main_sentences(other)[0].startswith("psnr: ")


def test_many_rows_have_a_line_each(found):
    rows = [replace(found.rows[0], name=f"row {number}") for number in range(6)]
    text = result_markdown(replace(found, rows=rows), ORIGIN)
    assert "|  | psnr ↑ | motion_energy → 1 | hands ↓ | fvd* ↓ |" in text
    assert "| row 5 | 20.35 | 1 | 3 | " in text
    tables = list(result_tables(replace(found, rows=rows)))
    assert [len(table.columns) for table in tables] == [6, 2]


def test_a_difference_without_an_interval_says_so():
    nowhere = Interval(-12.5, math.nan, math.nan, 0.95, 8, 0)
    one = SetComparison(metric="fid", names=("one", "other"), gain=nowhere)
    assert not one.shown
    assert one.sentence() == ("other is nearer than one by 12.5; how sure that is, is not known")
