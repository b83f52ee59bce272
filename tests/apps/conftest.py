"""The tiny model of the animation tests, for the commands."""

from borrowed import borrowed

_FIXTURES = borrowed("animation/conftest.py")

model_folders = _FIXTURES.model_folders
dance = _FIXTURES.dance
picture = _FIXTURES.picture
champ_folder = _FIXTURES.champ
clip = _FIXTURES.clip
