"""The tiny model of the animation tests, for the commands."""

import importlib.util
from pathlib import Path

_SOURCE = Path(__file__).parents[1] / "animation" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("animation_fixtures", _SOURCE)
assert _SPEC is not None and _SPEC.loader is not None
_FIXTURES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_FIXTURES)

model_folders = _FIXTURES.model_folders
dance = _FIXTURES.dance
picture = _FIXTURES.picture
champ_folder = _FIXTURES.champ
clip = _FIXTURES.clip
