"""The numbers of the papers, held by hand-picked values, by counts and by the papers' text."""

from collections import Counter
from pathlib import Path

import pytest

from quickstep.evaluation.published import (
    PUBLISHED_FILE,
    higher_is_better,
    published_note,
    published_rows,
)

ROOT = Path(__file__).resolve().parents[2]
ROWS_OF_TABLES = {
    **{("dancelcm", 1): 10, ("dancelcm", 2): 8, ("dancelcm", 3): 5},
    **{("dancelcm", 4): 6, ("dancelcm", 5): 3},
    **{("cosec", 1): 10, ("cosec", 2): 8, ("cosec", 3): 5, ("cosec", 4): 4, ("cosec", 5): 7},
}
METRICS_OF_TABLES = {
    ("dancelcm", 1): ["L1", "PSNR", "SSIM", "LPIPS", "FVD"],
    ("dancelcm", 2): ["PSNR", "SSIM", "LPIPS", "FVD"],
    ("dancelcm", 3): ["PSNR", "SSIM", "LPIPS", "FVD"],
    ("dancelcm", 4): ["PSNR", "SSIM", "LPIPS", "FVD"],
    ("dancelcm", 5): ["PSNR", "SSIM", "LPIPS", "FVD"],
    ("cosec", 1): ["SSIM", "LPIPS", "FID", "FID-VID", "FVD"],
    ("cosec", 2): ["SSIM", "LPIPS", "FID", "FVD"],
    ("cosec", 3): ["SSIM", "LPIPS", "FID", "FVD", "FID-VID"],
    ("cosec", 4): ["SSIM", "LPIPS", "FID", "FVD"],
    ("cosec", 5): ["SSIM", "LPIPS", "FVD", "FID-VID"],
}
DASHES = {("dancelcm", 1): 4, ("dancelcm", 2): 3, ("cosec", 1): 2, ("cosec", 2): 1}


def test_every_row_of_every_table_is_there():
    assert Counter((row.paper, row.table) for row in published_rows()) == ROWS_OF_TABLES
    for row in published_rows():
        assert list(row.printed) == METRICS_OF_TABLES[row.paper, row.table]
        assert row.method and row.title and row.caption and row.dataset


def test_dashes_are_the_papers_own_and_everything_else_is_a_number():
    found = Counter[tuple[str, int]]()
    for row in published_rows():
        for metric, text in row.printed.items():
            found[row.paper, row.table] += text == "-"
            assert (row.value(metric) is None) == (text == "-")
    assert {table: count for table, count in found.items() if count} == DASHES


@pytest.mark.parametrize(
    ("paper", "table", "method", "steps", "metric", "printed"),
    [
        ("dancelcm", 1, "DanceLCM", 4, "L1", "2.52E-04"),
        ("dancelcm", 1, "DreamPose", 100, "FVD", "551.02"),
        ("dancelcm", 1, "UniAnimate", 50, "PSNR", "20.58"),
        ("dancelcm", 1, "Champ", 20, "PSNR", "-"),
        ("dancelcm", 1, "MultiStep CM", 4, "FVD", "187.59"),
        ("dancelcm", 2, "UniAnimate", 50, "SSIM", "0.940"),
        ("dancelcm", 2, "DreamPose w/o Finetune", 100, "FVD", "279.6"),
        ("dancelcm", 2, "DanceLCM", 4, "FVD", "67.2"),
        ("dancelcm", 3, "w/o GT supervision", 4, "PSNR", "19.46"),
        ("dancelcm", 3, "w/o Facial fidelity enhancement", 4, "LPIPS", "0.231"),
        ("dancelcm", 4, "VideoLCM", 8, "FVD", "179.33"),
        ("dancelcm", 4, "DanceLCM", 1, "PSNR", "19.17"),
        ("dancelcm", 5, "DanceLCM, K = 4", 4, "PSNR", "20.23"),
        ("cosec", 1, "FOMM", None, "FID-VID", "90.09"),
        ("cosec", 1, "CoSeCLCD (Ours)", 2, "FVD", "181.72"),
        ("cosec", 1, "Animate Anyone", 20, "FID", "-"),
        ("cosec", 2, "PIDM", 50, "FVD", "1197.39"),
        ("cosec", 2, "CoSeCLCD (Ours)", 2, "LPIPS", "0.066"),
        ("cosec", 3, "Champ (Teacher)", 6, "FID-VID", "26.91"),
        ("cosec", 3, "Champ (Teacher)", 2, "FVD", "408.20"),
        ("cosec", 4, "+ CoNS (spatial)", None, "SSIM", "0.770"),
        ("cosec", 4, "+ ETA (temporal)", None, "FVD", "181.72"),
        ("cosec", 5, "Champ (Teacher)", 1, "FVD", "562.20"),
        ("cosec", 5, "CoSeC-LCD (Ours)", 1, "FID-VID", "38.33"),
        ("cosec", 5, "CoSeC-LCD (Ours)", 4, "LPIPS", "0.268"),
    ],
)
def test_values_are_as_printed(paper, table, method, steps, metric, printed):
    found = [
        row
        for row in published_rows()
        if (row.paper, row.table, row.method, row.steps) == (paper, table, method, steps)
    ]
    assert [row.printed[metric] for row in found] == [printed]


def test_rows_that_a_paper_prints_twice_agree():
    """Both papers repeat their own method between tables: a slip of a column would show."""
    rows = {(row.paper, row.table, row.method, row.steps): row for row in published_rows()}
    repeated = [
        [("dancelcm", 1, "DanceLCM", 4), ("dancelcm", 3, "DanceLCM", 4)],
        [("dancelcm", 1, "DanceLCM", 4), ("dancelcm", 5, "DanceLCM, K = 2", 4)],
        [("cosec", 1, "CoSeCLCD (Ours)", 2), ("cosec", 3, "CoSeC-LCD (Ours)", 2)],
        [("cosec", 1, "CoSeCLCD (Ours)", 2), ("cosec", 4, "+ ETA (temporal)", None)],
        [("cosec", 1, "ReferenceLCM (Ours)", 2), ("cosec", 4, "ReferenceLCM", None)],
    ]
    for one, other in repeated:
        shared = rows[one].printed.keys() & rows[other].printed.keys()
        assert len(shared) >= 4
        assert all(rows[one].printed[name] == rows[other].printed[name] for name in shared)


def test_arrows_and_note():
    up = {name for row in published_rows() for name in row.printed if higher_is_better(name)}
    assert up == {"PSNR", "SSIM"}
    assert "not to be compared" in published_note()


def test_the_documents_hold_no_second_copy():
    link = ROOT / "docs" / "results" / "published.json"
    assert link.is_symlink()
    assert link.resolve() == PUBLISHED_FILE.resolve()


def test_the_papers_print_the_same_lines(shared):
    """Every row ends like a line of the paper's text, cell by cell."""
    texts = {
        "dancelcm": shared / "papers" / "000_c776cdb26ba2f190.txt",
        "cosec": shared / "papers" / "001_63ab820035d737d6.txt",
    }
    lines = {
        paper: [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        for paper, path in texts.items()
    }
    for row in published_rows():
        values = list(row.printed.values())
        assert any(line[-len(values) :] == values for line in lines[row.paper]), row
