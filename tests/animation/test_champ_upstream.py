"""Champ's own procedure as options: closed windows, plain means, the betas it samples on."""

from dataclasses import replace

import pytest
import torch

from quickstep.animation.plan import make_plan
from quickstep.animation.windowed import WindowedDenoiser
from quickstep.animation.windows import windows_of
from quickstep.diffusion.sampling import sample
from quickstep.networks.champ import ChampConditions
from quickstep.networks.settings import Settings
from quickstep.teachers.protocol import Denoiser
from recorded import recorded_champ

SETTINGS = Settings(
    role="teacher", method="denoising", family="champ", guidance=3.5, frames=4, size=(64, 64)
)


@pytest.fixture(scope="module")
def tiny(shared):
    return recorded_champ(shared)


def windowed(tiny, plan):
    """The clip that the sampler makes of the recorded noise."""
    network, inputs = tiny.network, tiny.inputs
    noisy = inputs["s_latents"].transpose(1, 2)
    pose = inputs["s_guidance_fea"].transpose(1, 2)
    with torch.no_grad():
        bank = network.reference_unet(inputs["s_ref_latents"], inputs["s_clip"])
        told = network.encode(ChampConditions(image=inputs["s_clip"], bank=bank))
        denoise = WindowedDenoiser(
            Denoiser(network, plan.schedule.build()),
            windows=windows_of(noisy.shape[1], length=SETTINGS.frames, blend=plan.blend),
            features=lambda window: replace(told, pose=pose[:, window.frames]),
            guidance=plan.guidance,
            device=torch.device("cpu"),
            blend=plan.blend,
        )
        return sample(
            denoise,
            noisy,
            times=plan.times,
            schedule=plan.schedule.build(),
            sampler=plan.sampler,
            end=plan.end,
            step=plan.step,
        )


def test_four_steps_over_closed_windows_are_upstreams(tiny):
    plan = make_plan(SETTINGS, num_steps=4, blend="loop", betas="linear")
    assert list(plan.times) == tiny.outputs["s_timesteps"].tolist()
    wanted = tiny.outputs["s_final_latents"].transpose(1, 2)
    torch.testing.assert_close(windowed(tiny, plan), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("change", [{"blend": "mean"}, {"betas": None}])
def test_ours_are_not(tiny, change):
    plan = make_plan(SETTINGS, num_steps=4, **{"blend": "loop", "betas": "linear"} | change)
    wanted = tiny.outputs["s_final_latents"].transpose(1, 2)
    assert (windowed(tiny, plan) - wanted).abs().max() > 0.01


def test_a_students_betas_are_those_it_was_trained_on():
    student = replace(SETTINGS, role="student", sampler="segment", segments=4, guidance=1.0)
    with pytest.raises(ValueError, match="betas are for a teacher"):
        make_plan(student, num_steps=4, betas="linear")
    assert make_plan(student, num_steps=4).schedule == student.schedule
