"""What the README says can be typed and opened."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from quickstep.training.recipes import recipe_names

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
COMMANDS = sorted(set(re.findall(r"^quickstep (\w+)", TEXT, flags=re.M)))
LINKS = sorted(set(re.findall(r"\]\(([^)#:]+)\)", TEXT)))


@pytest.mark.parametrize("link", LINKS)
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_known(command):
    answer = subprocess.run(
        [sys.executable, "-m", "quickstep", command, "--help"], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr


def test_recipes_are_known():
    named = re.findall(r"quickstep (?:train|distill) ([\w-]+)", TEXT)
    assert named
    assert set(named) <= set(recipe_names())


def test_the_two_make_targets_exist():
    targets = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", TEXT, flags=re.M):
        assert f"\n{target}:" in targets
