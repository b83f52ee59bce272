"""The procedural dancer: endless clips of people dancing, with exact truth for every frame."""

from quickstep.data.dancer.clip import DancerClip, render_clip, render_clips
from quickstep.data.dancer.presets import PRESETS
from quickstep.data.dancer.seeds import TEST_START, VALIDATION_START, DancerSeeds, split_of
from quickstep.data.dancer.skeleton import JOINTS

__all__ = [
    "JOINTS",
    "PRESETS",
    "TEST_START",
    "VALIDATION_START",
    "DancerClip",
    "DancerSeeds",
    "render_clip",
    "render_clips",
    "split_of",
]
