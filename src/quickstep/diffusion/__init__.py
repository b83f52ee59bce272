"""The mathematics of diffusion and consistency, torch only. No network, file, config or device."""

from quickstep.diffusion.addim import addim_clean, addim_step, clean_variance
from quickstep.diffusion.consistency import (
    LossSpace,
    boundary_scalings,
    consistency_target,
    mixture_weight,
    residual_scale,
)
from quickstep.diffusion.edges import EdgePolicy, draw_edge, possible_edges
from quickstep.diffusion.lines import (
    Ends,
    Line,
    line_ends,
    line_state,
    line_step,
    velocity_scale,
)
from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.prediction import (
    Parametrisation,
    clean_from,
    noise_from,
    prediction_from,
)
from quickstep.diffusion.sampling import (
    Callback,
    Jump,
    Sampler,
    plan,
    sample,
    segment_times,
    trailing_times,
    upstream_times,
)
from quickstep.diffusion.schedule import CLEAN, Schedule
from quickstep.diffusion.segments import (
    Anchor,
    Grid,
    PairPolicy,
    Segments,
    TimePair,
    draw_pair,
    possible_pairs,
)
from quickstep.diffusion.solver import (
    Denoise,
    ddim_step,
    ddim_weights,
    guidance_from_lcm_weight,
    guided,
    heun_step,
    inverse_ddim,
    renoise,
    solve,
)

__all__ = [
    "CLEAN",
    "Anchor",
    "Callback",
    "Denoise",
    "EdgePolicy",
    "Ends",
    "Grid",
    "Jump",
    "Line",
    "LossSpace",
    "PairPolicy",
    "Parametrisation",
    "Sampler",
    "Schedule",
    "Segments",
    "TimePair",
    "addim_clean",
    "addim_step",
    "boundary_scalings",
    "clean_from",
    "clean_variance",
    "consistency_target",
    "ddim_step",
    "ddim_weights",
    "draw_edge",
    "draw_noise",
    "draw_pair",
    "guidance_from_lcm_weight",
    "guided",
    "heun_step",
    "inverse_ddim",
    "line_ends",
    "line_state",
    "line_step",
    "mixture_weight",
    "noise_from",
    "plan",
    "possible_edges",
    "possible_pairs",
    "prediction_from",
    "renoise",
    "residual_scale",
    "sample",
    "segment_times",
    "solve",
    "trailing_times",
    "upstream_times",
    "velocity_scale",
]
