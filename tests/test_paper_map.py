"""The paper map names things that exist, and leaves none of the papers' out."""

import importlib
import re
from pathlib import Path

import pytest

from quickstep.evaluation.reproduction.studies import STUDIES

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "paper-map.md").read_text()
NAMES = sorted(set(re.findall(r"`(quickstep\.[\w.]+)`", TEXT)))
TESTS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)`", TEXT)) - {"tests/test_paper_map.py"})


@pytest.mark.parametrize("name", NAMES)
def test_named_functions_exist(name):
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[cut:]:
            found = getattr(found, attribute)
        return
    pytest.fail(f"{name} does not exist")


@pytest.mark.parametrize("path", TESTS)
def test_named_tests_exist(path):
    assert (ROOT / path).is_file()


SECTIONS = {
    name: TEXT.partition(f"\n## {head}\n")[2].partition("\n## ")[0]
    for name, head in {"dancelcm": "DanceLCM", "cosec": "CoSeC-LCD / ReferenceLCM"}.items()
}
NUMBERED = {
    "dancelcm": {"Eq": 8, "Table": 5, "Fig": 6},
    "cosec": {"Eq": 11, "Table": 5, "Fig": 8},
}


@pytest.mark.parametrize("paper", NUMBERED)
def test_nothing_numbered_is_left_out(paper):
    for kind, count in NUMBERED[paper].items():
        rows = re.findall(rf"^\| {kind}s?\.? ([\d, and]+)", SECTIONS[paper], re.M)
        named = {int(number) for number in re.findall(r"\d+", " ".join(rows))}
        assert named >= set(range(1, count + 1)), kind
    for appendix in ("B.1", "C", "D") if paper == "cosec" else ():
        assert f"| App. {appendix}," in SECTIONS[paper]


@pytest.mark.parametrize("paper", NUMBERED)
def test_every_study_of_a_paper_is_named_and_no_other(paper):
    named = set(re.findall(rf"`({paper}-(?:table|fig)\d)`", SECTIONS[paper]))
    assert named == {name for name in STUDIES if name.startswith(f"{paper}-")}
