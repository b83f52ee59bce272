"""What `quickstep animate` needs for a clip of some length."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstep.animation.levers import decode_chunk
from quickstep.animation.plan import Plan, make_plan
from quickstep.animation.windowed import MAX_CACHED
from quickstep.animation.windows import cut_windows
from quickstep.networks.autoencoder import decode_latents
from quickstep.networks.folder import load_model
from quickstep.planning.counting import Count, counted, num_bytes, without_data
from quickstep.planning.models import (
    Networks,
    Sizes,
    conditions,
    is_public,
    networks_without_data,
    noisy_latents,
    settings_of,
    with_bank,
)
from quickstep.planning.needs import Choice, Needs, free_memory, program_memory


@dataclass(frozen=True)
class AnimationRun:
    """What is to be planned.

    Attributes:
        model: a model's name or folder, or the name of a public checkpoint.
        num_frames: length of the dance.
        num_steps: denoising steps; the model's best unless given.
        guidance: guidance scale; the model's own unless given.
        device: where it runs.
        dtype: number type of the network.
    """

    model: str | Path
    num_frames: int
    num_steps: int | None = None
    guidance: float | None = None
    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class _Counted:
    weights: dict[str, int]
    encode: Count
    window: Count
    step: Count
    decode: Count
    chunk: int
    latents: int


def animation_needs(run: AnimationRun, *, probe: bool = True) -> Needs:
    """Memory, disk, evaluations, operations and, by one step of the real network, time.

    Args:
        run: what is to be planned.
        probe: whether to load the model and run one step, which is left out where it cannot fit.

    Raises:
        ValueError: no such model, or settings that do not fit it.
    """
    settings = settings_of(run.model)
    plan = make_plan(settings, num_steps=run.num_steps, guidance=run.guidance)
    windows = cut_windows(run.num_frames, length=settings.frames)
    with without_data():
        model = networks_without_data(run.model, device=run.device, dtype=run.dtype)
        told = _counted(model, plan, frames=len(windows[0]), device=run.device)
    cache = told.window.kept * min(len(windows), MAX_CACHED)
    clip = 4 * told.latents * run.num_frames // len(windows[0])
    encode = max(told.encode.peak, told.window.peak)
    working = {"encode": encode, "denoise": told.step.peak, "decode": told.decode.peak}
    part = max(working, key=lambda name: working[name])
    memory = {
        "program": program_memory(run.device),
        **told.weights,
        "windows' features": cache,
        "latents": clip if run.device.type == "cpu" else told.latents,
        f"activations ({part})": working[part],
        **_kept_heap(working, part, run.device),
    }
    chunks = -(-run.num_frames // told.chunk)
    branches = 1 if plan.guidance == 1 else 2
    evaluations = len(plan.times) * len(windows)
    needs = Needs(
        memory=memory,
        available=free_memory(run.device),
        disk={"model": sum(told.weights.values())},
        evaluations=float(evaluations * branches),
        flops={
            "conditions": float(told.encode.flops + told.window.flops * len(windows)),
            "denoise": float(told.step.flops * evaluations),
            "decode": float(told.decode.flops * chunks),
        },
        choices=_choices(told, memory, run, part),
    )
    if not probe or is_public(run.model) or not needs.fits():
        return needs
    seconds = _probed(run, plan, num_windows=len(windows), chunks=chunks)
    return Needs(**{**vars(needs), "seconds": seconds})


def _kept_heap(working: dict[str, int], part: str, device: torch.device) -> dict[str, int]:
    """What the C library's heap keeps of stages that are over, in pieces the next cannot use.

    Were pieces given back at once, a run would take what is counted, and half as long again.
    """
    if device.type != "cpu":
        return {}
    return {"kept by the heap": sum(working.values()) - working[part]}


def _counted(model: Networks, plan: Plan, *, frames: int, device: torch.device) -> _Counted:
    width, height = model.settings.size
    sizes = Sizes(frames, width, height)
    chunk = min(decode_chunk((width, height), device), frames)
    weights = {
        "network": num_bytes(model.network),
        "vae": num_bytes(model.vae),
        "image encoder": num_bytes(model.image_encoder),
    }
    with torch.no_grad():
        given: list[Any] = []
        encode = counted(lambda: given.append(with_bank(model, conditions(model, sizes))))
        features: list[Any] = []
        window = counted(lambda: features.append(model.network.encode(given[0])))
        noisy = noisy_latents(given[0])
        step = counted(lambda: _guided(model.network, noisy, features[0], plan))
        part = noisy[:, :chunk].float()
        decode = counted(lambda: decode_latents(model.vae, part, chunk=chunk))
    latents = noisy.numel() * 4
    return _Counted(weights, encode, window, step, decode, chunk, latents)


def _guided(network: Any, noisy: Tensor, features: Any, plan: Plan) -> Tensor:
    """An evaluation as `quickstep.teachers.protocol.Denoiser.guided` makes it."""
    count = 1
    if plan.guidance != 1:
        features, count = type(features).cat([features, features.dropped()]), 2
    t = torch.full((count,), 500, device=noisy.device)
    return network(noisy.repeat(count, 1, 1, 1, 1), t, features).float()


def _choices(told: _Counted, memory: dict[str, int], run: AnimationRun, part: str) -> list[Choice]:
    """Estimates for other settings, from the counts of this one."""
    total, weights = sum(memory.values()), told.weights
    network, working = weights["network"], memory[f"activations ({part})"]
    choices = []
    if run.dtype == torch.float32:
        saved = network // 2 + (working // 2 if part == "denoise" else 0)
        choices.append(Choice("--dtype bfloat16", total - saved))
    return choices


def _probed(run: AnimationRun, plan: Plan, *, num_windows: int, chunks: int) -> dict[str, float]:
    """Times of each part from one step, one window's conditions and one chunk of frames."""
    start = time.perf_counter()
    model = load_model(run.model, device=run.device, dtype=run.dtype)
    load = time.perf_counter() - start
    width, height = model.settings.size
    frames = min(run.num_frames, model.settings.frames)
    with torch.no_grad():
        sizes = Sizes(frames, width, height)
        told = with_bank(model, conditions(model, sizes))
        encode = timed(lambda: with_bank(model, conditions(model, sizes)), run.device)
        features = model.network.encode(told)
        window = timed(lambda: model.network.encode(told), run.device)
        noisy = torch.randn(noisy_latents(told).shape, device=run.device)
        step = timed(lambda: _guided(model.network, noisy, features, plan), run.device)
        chunk = noisy[:, : min(frames, decode_chunk((width, height), run.device))]
        decode = timed(lambda: decode_latents(model.vae, chunk, chunk=chunk.shape[1]), run.device)
    return {
        "load": load,
        "conditions": encode + window * num_windows,
        "denoise": step * len(plan.times) * num_windows,
        "decode": decode * chunks,
    }


def timed(code: Any, device: torch.device, *, enough: float = 5.0) -> float:
    """Seconds that code takes: of a second run, unless the first took `enough` already."""
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        code()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        seconds = time.perf_counter() - start
        if seconds > enough:
            break
    return seconds
