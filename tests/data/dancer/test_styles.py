"""Restyled clips: fixed functions of a picture that leave the truth alone."""

import pytest
import torch

from quickstep.data.dancer import DancerSeeds, render_clip, render_clips
from quickstep.data.dancer.presets import preset_named
from quickstep.data.dancer.styles import STYLES, reach, restyled, style_of


def test_a_style_changes_pictures_and_no_truth():
    plain = render_clip(DancerSeeds.of(5), num_frames=2, size=48)
    for style in STYLES:
        clip = render_clip(DancerSeeds.of(5), num_frames=2, size=48, preset=style)
        assert (clip.rgb.float() - plain.rgb.float()).abs().mean() > 8, style
        for name in ("keypoints", "visible", "depth", "normal", "part", "mask", "face_box"):
            assert torch.equal(getattr(clip, name), getattr(plain, name)), (style, name)


def test_persons_of_styles_take_turns():
    """Each clip is what its own style's preset renders, bit for bit."""
    seeds = [DancerSeeds.of(seed) for seed in (6, 7, 8)]
    clips = render_clips(seeds, num_frames=1, size=32, preset="styles")
    look = preset_named("styles")
    assert [style_of(look, seed.identity) for seed in seeds] == list(STYLES)
    for clip, seed, style in zip(clips, seeds, STYLES, strict=True):
        alone = render_clip(seed, num_frames=1, size=32, preset=style)
        assert torch.equal(clip.rgb, alone.rgb)
        assert torch.equal(clip.reference_rgb, alone.reference_rgb)
    assert style_of(preset_named("plain"), 3) == ""


def test_no_style_is_the_picture_itself(generator):
    rgb = torch.randint(256, (1, 8, 8, 3), generator=generator).byte()
    assert restyled(rgb, torch.zeros(1, 8, 8, dtype=torch.bool), "", size=8) is rgb


@pytest.mark.parametrize("style", STYLES)
def test_a_pixel_looks_no_further_than_the_reach(style, generator):
    size = 128
    rgb = torch.randint(256, (1, size, size, 3), generator=generator).byte()
    mask = torch.rand(1, size, size, generator=generator) < 0.5
    changed, other = rgb.clone(), mask.clone()
    changed[0, 64, 64], other[0, 64, 64] = 255 - rgb[0, 64, 64], ~mask[0, 64, 64]
    before, after = (
        restyled(each, person, style, size=size) for each, person in ((rgb, mask), (changed, other))
    )
    moved = (before != after).any(dim=-1)[0].nonzero()
    assert len(moved) > 0
    assert (moved - 64).abs().max() <= reach(size)


def test_sculptures_are_grey_paintings_flat_and_neon_dark(generator):
    rgb = torch.randint(256, (1, 64, 64, 3), generator=generator).byte()
    person = torch.ones(1, 64, 64, dtype=torch.bool)
    stone, paint, neon = (restyled(rgb, person, style, size=64).float() for style in STYLES)
    ratios = stone / stone[..., :1]
    assert (ratios - ratios.mean(dim=(0, 1, 2))).abs().max() < 0.05, "one hue"
    assert len(paint.unique()) <= 7
    flat = restyled(torch.full_like(rgb, 128), person, "neon", size=64).float()
    assert flat.max() < 10 < neon.mean()


def test_wild_is_nowhere_as_training_is():
    wild, plain = preset_named("wild"), preset_named("plain")
    assert wild.azimuth > 2 * plain.azimuth and wild.patterned > plain.patterned
    assert wild.wall_patterned == 1 and plain.wall_patterned == 0
    assert min(low for _, low, _ in wild.framings) > min(low for _, low, _ in plain.framings)
