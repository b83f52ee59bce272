"""The paper map names things that exist."""

import importlib
import re
from pathlib import Path

import pytest

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
