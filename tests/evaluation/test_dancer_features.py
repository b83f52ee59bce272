"""The shipped feature network: its bytes, its invariances, and the order of known corruptions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from quickstep.data.corruptions import corrupted
from quickstep.data.dancer import DancerSeeds, render_clips
from quickstep.evaluation.dancer_features import (
    FOLDER,
    dancer_extractor,
    dancer_perceptual,
    face_features,
    feature_pictures,
    shipped_sha256,
)

SEEDS = range(1_700_000, 1_700_004)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Four validation dancers whom neither training nor the study saw, 8 frames each."""
    rendered = render_clips([DancerSeeds.of(seed) for seed in SEEDS], num_frames=8, size=128)
    return [clip.rgb.numpy() for clip in rendered]


def spoilt(clips: list[np.ndarray], kind: str, strength: float) -> list[np.ndarray]:
    return [
        corrupted(clip, kind, strength=strength, rng=np.random.default_rng(index))
        for index, clip in enumerate(clips)
    ]


def frechet(a: torch.Tensor, b: torch.Tensor) -> float:
    """In the plain form, by the eigenvalues of the product of the covariances."""
    a, b = a.double(), b.double()
    both = torch.linalg.eigvals(torch.cov(a.T) @ torch.cov(b.T)).real.clamp(min=0).sqrt().sum()
    spread = torch.cov(a.T).trace() + torch.cov(b.T).trace() - 2 * both
    return float((a.mean(0) - b.mean(0)).square().sum() + spread)


@pytest.fixture(scope="module")
def features(clips):
    """The frame and video features of the clean clips."""
    return {kind: features_of(kind, clips) for kind in ("frame", "video")}


def features_of(kind: str, clips: list[np.ndarray]) -> torch.Tensor:
    extractor = dancer_extractor("frame" if kind == "frame" else "video", window=8)
    return torch.cat([extractor(clip) for clip in clips])


def distance(kind: str, clips: list[np.ndarray], made: list[np.ndarray], features) -> float:
    if kind == "pair":
        judge = dancer_perceptual()
        return float(torch.cat([judge(a, b) for a, b in zip(made, clips, strict=True)]).mean())
    return frechet(features_of(kind, made), features[kind])


def test_the_weights_are_those_that_the_card_names():
    card = (FOLDER / "README.md").read_text()
    assert shipped_sha256() in card


def test_recorded_outputs():
    noted = json.loads(Path(__file__).with_name("dancer_features.json").read_text())
    y, x = np.mgrid[0:128, 0:128]
    frames = np.stack([np.stack([x + 8 * t, y, 255 - x], axis=-1) % 256 for t in range(8)]).astype(
        np.uint8
    )
    found = {
        "frame": dancer_extractor("frame")(frames)[0, :6],
        "video": dancer_extractor("video", window=8)(frames)[0, :6],
        "pair": dancer_perceptual()(frames[:3], frames[1:4]),
        "face": face_features()(torch.from_numpy(frames[:1]).movedim(-1, 1) / 255)[0, :6],
    }
    for name, values in found.items():
        torch.testing.assert_close(values, torch.tensor(noted[name]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "corruption"),
    [
        *(("frame", name) for name in ("blur", "noise", "colour", "compression")),
        *(("video", name) for name in ("blur", "noise", "flickering", "jittered")),
        *(("video", name) for name in ("shuffled", "frozen", "repeated")),
        *(("pair", name) for name in ("blur", "noise", "frozen")),
    ],
)
def test_more_of_a_corruption_is_farther_away(clips, features, kind, corruption):
    found = [
        distance(kind, clips, spoilt(clips, corruption, strength), features)
        for strength in (0.15, 1.0)
    ]
    assert 0 < found[0] < found[1]


def test_frames_alone_do_not_see_their_order(clips, features):
    made = spoilt(clips, "shuffled", 1.0)
    assert distance("frame", clips, made, features) < 1e-2
    assert distance("video", clips, made, features) > 1


def test_features_are_the_same_again_and_in_any_company(clips):
    long = np.concatenate(clips[:3])
    for extractor in (
        dancer_extractor("frame"),
        dancer_extractor("video", window=6),
        dancer_extractor("video", window=6, window_stride=3),
    ):
        found = extractor(long)
        assert torch.equal(found, extractor(long))
        stride = getattr(extractor, "window_stride", 1)
        window = getattr(extractor, "window", 1)
        assert len(found) == (len(long) - window) // stride + 1
        for number in (0, 4, len(found) - 1):
            alone = extractor(long[number * stride : number * stride + window])
            torch.testing.assert_close(found[number : number + 1], alone, rtol=1e-3, atol=1e-3)


def test_any_size_of_picture_is_squashed(clips):
    clip = clips[0].repeat(2, axis=1).repeat(3, axis=2)
    assert clip.shape[1:3] == (256, 384)
    whole, squashed = feature_pictures(clips[0]), feature_pictures(clip)
    assert squashed.shape == whole.shape
    assert (squashed - whole).abs().mean() < 0.03
    plain = np.full((1, 200, 100, 3), 51, np.uint8)
    torch.testing.assert_close(feature_pictures(plain), torch.full((1, 3, 128, 128), -0.6))
    assert dancer_perceptual()(clip, clip).abs().max() == 0


def test_faces_are_told_apart(generator):
    seeds = [
        DancerSeeds(identity=1_700_100 + person, motion=scene, camera=scene, scene=scene)
        for person in range(6)
        for scene in (1_700_200 + person, 1_700_300 + person)
    ]
    rendered = render_clips(seeds, num_frames=1, size=128)
    crops = []
    for clip in rendered:
        x0, y0, x1, y1 = clip.reference_face_box.tolist()
        half = 1.3 * max(x1 - x0, y1 - y0) / 2
        left, top = round((x0 + x1) / 2 - half), round((y0 + y1) / 2 - half)
        side = round(2 * half)
        picture = clip.reference_rgb.movedim(-1, 0).float() / 255
        crop = picture[:, max(top, 0) : top + side, max(left, 0) : left + side]
        crops.append(torch.nn.functional.interpolate(crop[None], size=(112, 112)))
    vectors = face_features()(torch.cat(crops))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(12))
    cosine = vectors[::2] @ vectors[1::2].T
    same, other = cosine.diagonal().mean(), cosine[~torch.eye(6, dtype=torch.bool)].mean()
    assert same - other > 0.3


def test_what_cannot_be_is_refused(clips):
    with pytest.raises(ValueError, match="dancer-video needs clips of 16 frames or more: got 8"):
        dancer_extractor("video")(clips[0])
    with pytest.raises(ValueError, match="window of 2 or more .*: got 1 and 1"):
        dancer_extractor("video", window=1)
    with pytest.raises(ValueError, match="clips of one shape"):
        dancer_perceptual()(clips[0], clips[0][:4])
    with pytest.raises(ValueError, match="dancer-frame needs clips of 1 frames or more: got 0"):
        dancer_extractor("frame")(clips[0][:0])
