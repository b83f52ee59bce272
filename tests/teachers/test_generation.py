"""Drawing latents the way a model wants to be run, and other ways."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from quickstep.diffusion.prediction import clean_from
from quickstep.diffusion.sampling import sample, upstream_times
from quickstep.diffusion.schedule import Schedule
from quickstep.diffusion.solver import ddim_step_through_noise, guided
from quickstep.networks.folder import Settings
from quickstep.teachers.generation import draw_latents, prior_noise, sampling_times
from quickstep.teachers.protocol import Denoiser

SHAPE = (2, 3, 4, 2, 2)


class Halving(nn.Module):
    """Predicts half the noisy latents as clean, and notes its times."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.times: list[int] = []

    def forward(self, noisy, t, features):
        self.times.append(int(t[0]))
        return self.gain * noisy


@pytest.fixture
def schedule():
    return Schedule.scaled_linear().with_zero_terminal_snr()


@pytest.fixture
def denoiser(schedule):
    return Denoiser(Halving(), schedule, "clean")


def student(**changes) -> Settings:
    return Settings(
        **{"role": "student", "method": "any", "sampler": "segment", "segments": 4, **changes}
    )


def drawn(denoiser, **options):
    return draw_latents(
        denoiser,
        None,
        **{
            "settings": student(),
            "shape": SHAPE,
            "num_steps": 8,
            "generator": torch.Generator().manual_seed(0),
            **options,
        },
    )


def test_another_sampler_than_the_models(denoiser):
    made = {
        sampler: drawn(denoiser, sampler=sampler)
        for sampler in ("segment", "tcd", "perflow", "ddim", "lcm")
    }
    assert torch.equal(drawn(denoiser), made["segment"])
    assert torch.equal(drawn(denoiser, sampler="tcd", gamma=0.0), made["ddim"])
    assert torch.equal(drawn(denoiser, sampler="tcd", gamma=1.0), made["segment"])
    pairs = [(a, b) for a in made for b in made if a < b]
    assert not any(torch.equal(made[a], made[b]) for a, b in pairs)


def test_perflow_takes_a_step_for_every_segment(denoiser):
    """PeRFlow's rule for few steps; more of them go to the noisiest segments."""
    with pytest.warns(UserWarning, match="takes 4 steps, one for each segment.*instead of 2"):
        drawn(denoiser, sampler="perflow", num_steps=2)
    assert denoiser.network.times == [999, 739, 499, 239]
    many = sampling_times(student(), 6, sampler="perflow")
    assert [t for t in many if t > 499] == [999, 879, 739, 619]
    assert [t for t in many if t <= 499] == [499, 239]


def test_a_student_that_is_told_its_edge_leaves_segments_out(schedule):
    """Told, fewer steps than segments jump from edge to edge, and nothing warns."""
    heard = []

    class Told(Halving):
        def tell_edge(self, features, edge):
            heard.append(edge.tolist())
            return features

    def jumps(num_steps, **changes):
        network = Told()
        heard.clear()
        settings = student(told_edge=True, **changes)
        drawn(Denoiser(network, schedule, "clean"), settings=settings, num_steps=num_steps)
        return [(t, *edge) for t, edge in zip(network.times, heard, strict=True)]

    assert jumps(1) == [(999, -1, -1)]
    assert jumps(2) == [(999, 499, 499), (499, -1, -1)]
    assert jumps(3, segments=2) == [(999, 499, 499), (759, 499, 499), (499, -1, -1)]
    assert jumps(4)[0] == (999, 739, 739)


class Toy(nn.Module):
    """The toy model of upstream's recorded loop: v is 0.3 or 0.1 of the state."""

    class Told:
        def __init__(self, gains):
            self.gains = gains

        def dropped(self):
            return Toy.Told(torch.full_like(self.gains, 0.1))

        @staticmethod
        def cat(parts):
            return Toy.Told(torch.cat([part.gains for part in parts]))

    def __init__(self):
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, noisy, t, features):
        return features.gains[:, None, None, None, None] * noisy


def test_upstreams_31_evaluations(shared, schedule, monkeypatch):
    """Denoiser, guidance, times and steps together give the numbers of upstream's loop.

    To the bit they are those of `ddim_step_through_noise`, itself held against upstream's
    arithmetic; against the recording, to rounding (torch's `sqrt` depends on the processor).
    """
    upstream = load_file(shared / "fixtures" / "unianimate_ddim.safetensors")
    start = upstream["loop30/noise"].transpose(1, 2)
    monkeypatch.setattr("quickstep.teachers.generation.draw_noise", lambda *_, **__: start)
    drawn = draw_latents(
        Denoiser(Toy(), schedule),
        Toy.Told(torch.tensor([0.3])),
        settings=Settings(role="teacher", method="denoising", guidance=2.5),
        shape=start.shape,
        num_steps=30,
        generator=torch.Generator(),
        times="upstream",
    )
    expected = upstream["loop30/out_model_v=0.3x(cond),0.1x(uncond),cfg2.5"]
    torch.testing.assert_close(drawn.transpose(1, 2), expected, rtol=0, atol=1e-5)

    def denoise(noisy, t):
        v = guided(0.3 * noisy, 0.1 * noisy, 2.5)
        return clean_from(v, noisy, t, schedule=schedule, parametrisation="v")

    step = ddim_step_through_noise
    ours = sample(denoise, start, times=upstream_times(30), schedule=schedule, end=0, step=step)
    assert torch.equal(drawn, ours)


def test_a_start_from_the_reference(denoiser):
    """UniAnimate's noise prior: the reference shows in the result, whatever it is."""
    reference = torch.full((2, 4, 2, 2), 3.0)
    plain, started = drawn(denoiser), drawn(denoiser, noise_prior=reference)
    assert plain.shape == started.shape == SHAPE
    assert (started - plain).mean() > 0
    schedule = denoiser.schedule
    noise = torch.zeros(SHAPE)
    known = prior_noise(noise, reference, schedule=schedule)
    assert known.unique().item() == pytest.approx(3 * schedule.alpha(torch.tensor([949])).item())


def test_a_start_from_the_reference_is_upstreams(shared):
    """The stored start of upstream's own code, at both of its times."""
    upstream = load_file(shared / "fixtures" / "unianimate_ddim.safetensors")
    schedule = Schedule.scaled_linear().with_zero_terminal_snr()
    reference, noise = (upstream[f"noise_prior/{name}"] for name in ("ref", "noise"))
    for t in (939, 949):
        expected = upstream[f"noise_prior/q_sample_{t}"]
        for frame in range(reference.shape[2]):  # stored as b c f h w, a reference a frame
            own = noise[:, None, :, frame]
            found = prior_noise(own, reference[:, :, frame], schedule=schedule, t=t)
            torch.testing.assert_close(found[:, 0], expected[:, :, frame], rtol=0, atol=1e-6)
