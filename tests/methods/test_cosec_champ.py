"""Both papers on Champ: one reading of the references for all networks, terms as on any family."""

import copy
from dataclasses import replace

import pytest
import torch

from quickstep.data.batches import OF_REFERENCE
from quickstep.methods.consistency import Consistency
from quickstep.methods.consistency_config import ConsistencyConfig
from quickstep.methods.cosec import CoSeCConfig
from quickstep.methods.phases import PHASED
from quickstep.networks.heads import WithAuxiliaryHead
from quickstep.teachers.champ import SharedEncoding
from quickstep.teachers.protocol import Denoiser


@pytest.fixture(scope="module")
def champ(small_champ):
    return small_champ()


@pytest.fixture
def build(champ, schedule):
    def build(config: ConsistencyConfig, *, is_still: bool = False) -> Consistency:
        student = copy.deepcopy(champ.denoiser).requires_grad_(True)
        return Consistency(
            WithAuxiliaryHead(student) if config.auxiliary_weight else student,
            Denoiser(champ, schedule),
            config,
            conditions=SharedEncoding(champ, is_still=is_still),
        )

    return build


def grouped_batch(generator, *, frames):
    """Two sources, each told with two references."""

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    maps = torch.randint(256, (2, frames, 4, 32, 32, 3), generator=generator).byte()
    return {
        "latents": draw(2, frames, 4, 4, 4).repeat_interleave(2, dim=0),
        "pose_maps": maps.repeat_interleave(2, dim=0),
        "motion": torch.ones(4, frames, 4, 4),
        "reference": draw(4, 4, 4, 4),
        "image": draw(4, 1, 16),
        "group": torch.tensor([0, 0, 1, 1]),
    }


@pytest.mark.parametrize("phase", ["frames", "clips"])
@pytest.mark.parametrize("method", ["cosec", "quickstep-best"])
def test_26_references_are_read_once_and_only_the_student_learns(
    build, champ, count_rows, generator, method, phase
):
    phases = PHASED[method](guidance=3.5)
    config = replace(getattr(phases, phase).config, skip_target=False)
    method = build(config, is_still=phase == "frames")
    seen = {
        "references": count_rows(champ.reference_unet),
        "teacher": count_rows(champ.denoiser),
        "target": count_rows(method.target),
    }
    batch = grouped_batch(generator, frames=1 if phase == "frames" else 3)
    loss = method.loss(batch, generator=generator, progress=0.0)
    # Four references, read once; the teacher's untold branch answers once a source.
    assert seen == {"references": [4], "teacher": [6], "target": [4]}
    assert loss.parts["evaluations"] == config.cost(references=2).total == 5.5
    loss.value.backward()
    for frozen in (champ, method.target):
        assert all(parameter.grad is None for parameter in frozen.parameters())
    assert any(parameter.grad is not None for parameter in method.trainable.parameters())
    assert loss.parts["same_source"] > 0
    assert ("temporal" in loss.parts) == (phase == "clips")


def test_26_swapped_references_are_read_once_too(build, champ, count_rows, generator):
    cosec = CoSeCConfig(eta_weight=0.1, cons_weight=0.02, cons="swap")
    method = build(ConsistencyConfig(num_segments=1, cosec=cosec))
    references = count_rows(champ.reference_unet)
    student = count_rows(method.trainable)
    loss = method.loss(grouped_batch(generator, frames=2), generator=generator, progress=0.0)
    assert (references, student) == ([4], [4, 2])
    assert loss.parts["cross_source"] > 0


def test_swapped_clips_are_those_that_would_be_told_so(champ, generator):
    """The state and maps of the first clips, the references of the third and first."""
    batch = grouped_batch(generator, frames=2)
    clips, references = torch.tensor([0, 2]), torch.tensor([2, 0])
    told = {name: value[clips] for name, value in batch.items()}
    told |= {name: batch[name][references] for name in OF_REFERENCE if name in batch}
    encode = SharedEncoding(champ)
    noisy, t = batch["latents"][clips], torch.tensor([800, 400])
    with torch.no_grad():
        swapped = champ(noisy, t, encode(batch).swapped(clips, references))
        torch.testing.assert_close(swapped, champ(noisy, t, encode(told)))
        assert not torch.allclose(swapped, champ(noisy, t, encode(batch).rows(clips)), atol=1e-3)
