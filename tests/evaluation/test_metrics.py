import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from quickstep.evaluation import disco, frames, motion, people
from quickstep.evaluation.metrics import (
    METRICS,
    ClipMetric,
    SetMetric,
    clip_metrics,
    set_metrics,
)
from quickstep.evaluation.pair import Pair, Truth
from quickstep.evaluation.protocols import PROTOCOLS
from quickstep.evaluation.statistics import METRICS as READINGS

PLAIN = [
    each.name for each in METRICS.values() if isinstance(each, ClipMetric) and not each.network
]


@pytest.fixture
def pair(sample) -> Pair:
    noise = np.random.default_rng(0).integers(-20, 21, sample.frames.shape)
    return Pair(
        made=(sample.frames + noise).clip(0, 255).astype(np.uint8),
        truth=Truth(
            frames=sample.frames,
            reference=sample.reference,
            mask=sample.mask,
            face_boxes=sample.face_boxes,
            poses=sample.poses,
        ),
        seams=(1,),
    )


def value(name: str, pair: Pair) -> float:
    metric = METRICS[name]
    assert isinstance(metric, ClipMetric)
    return metric.value(pair, {})


def test_every_metric_of_a_protocol_is_known_and_can_be_read():
    for protocol in PROTOCOLS.values():
        assert set(protocol.metrics) <= set(METRICS)
        chosen = [*clip_metrics(protocol.metrics), *set_metrics(protocol.metrics)]
        assert {metric.name for metric in chosen} == set(protocol.metrics)
    assert set(METRICS) <= set(READINGS)


def test_a_clips_number_is_the_mean_of_its_frames(pair):
    expected = {
        "l1_disco": disco.disco_l1(pair.made, pair.truth.frames).mean(),
        "psnr_overflow": disco.overflow_psnr(pair.made, pair.truth.frames).mean(),
        "ssim_disco": disco.grey_ssim(pair.made, pair.truth.frames).mean(),
        "psnr": float(frames.psnr(pair.video, pair.truth.video).mean()),
        "ssim_person": float(
            frames.ssim(pair.video, pair.truth.video, mask=torch.from_numpy(pair.truth.mask)).mean()
        ),
        "ssim": float(frames.ssim(pair.video, pair.truth.video).mean()),
        "ssim_moved": float(
            frames.ssim(pair.video, pair.truth.video, mask=pair.truth.moved).nanmean()
        ),
        "flicker": motion.flicker(pair.made, pair.truth.frames).excess,
        "warping_error": motion.warping_error(pair.made, pair.truth.frames).excess,
        "seam": motion.seam_error(pair.made, pair.truth.frames, seams=[1]).ratio,
        "face": people.face_error(pair.made, pair.truth.frames, pair.truth.face_boxes).mean(),
    }
    for name, number in expected.items():
        assert value(name, pair) == pytest.approx(float(number), rel=1e-12), name


def test_the_truth_is_perfect(pair):
    perfect = replace(pair, made=pair.truth.frames)
    for name in PLAIN:
        best, found = READINGS[name].best, value(name, perfect)
        if math.isnan(found):
            assert name == "hands"
        elif math.isfinite(best):
            assert found == pytest.approx(best), name
        elif best < 0:
            assert found == 0, name
        else:
            assert found in (1, 100) or found == pytest.approx(1), name


def test_copying_is_the_unit_of_the_moved_share(pair):
    still = np.repeat(pair.truth.reference[None], 3, axis=0)
    assert value("moved_share", replace(pair, made=still)) == pytest.approx(1)
    resting = replace(pair, truth=replace(pair.truth, frames=still), made=still)
    assert math.isnan(value("moved_share", resting))


def test_what_is_not_known_of_a_clip_has_no_number(pair):
    truth = Truth(frames=pair.truth.frames, reference=pair.truth.reference)
    bare = Pair(made=pair.made, truth=truth)
    for name in PLAIN:
        needs = METRICS[name].needs  # type: ignore[union-attr]
        assert math.isnan(value(name, bare)) == bool(needs), name


def test_a_network_is_given_where_one_is_needed(pair):
    def distance(made, truth):
        return torch.tensor([1.0, 2.0, math.nan])

    metric = METRICS["lpips_vgg"]
    assert isinstance(metric, ClipMetric)
    assert metric.value(pair, {"lpips_vgg": distance}) == 1.5
    assert isinstance(METRICS["fvd"], SetMetric)
