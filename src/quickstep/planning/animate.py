"""What `quickstep animate` needs for a clip of some length."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quickstep.animation.levers import decode_chunk, tile_pictures
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
from quickstep.planning.needs import Choice, Needs, free_memory, kept_by_heap, program_memory


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
    """Counts of the stages.

    Attributes:
        weights: bytes by network.
        layer: bytes of the largest layer.
        encode, window, step, decode: of a reference, a window's conditions, a step of it, a chunk.
        chunk: frames decoded at once.
        latents: bytes of a window's.
        levers: peaks of those stages that a lever of memory changes.
    """

    weights: dict[str, int]
    layer: int
    encode: Count
    window: Count
    step: Count
    decode: Count
    chunk: int
    latents: int
    levers: dict[str, dict[str, int]]

    @property
    def working(self) -> dict[str, int]:
        """Bytes at work in each stage."""
        encode = max(self.encode.peak, self.window.peak)
        return {"encode": encode, "denoise": self.step.peak, "decode": self.decode.peak}


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
    rest = {
        "program": program_memory(run.device),
        **told.weights,
        "windows' features": cache,
        "latents": clip if run.device.type == "cpu" else told.latents,
    }
    chunks = -(-run.num_frames // told.chunk)
    branches = 1 if plan.guidance == 1 else 2
    evaluations = len(plan.times) * len(windows)
    needs = Needs(
        memory=rest | _at_work(told.working, run.device),
        available=free_memory(run.device),
        disk={"model": sum(told.weights.values())},
        evaluations=float(evaluations * branches),
        flops={
            "conditions": float(told.encode.flops + told.window.flops * len(windows)),
            "denoise": float(told.step.flops * evaluations),
            "decode": float(told.decode.flops * chunks),
        },
        choices=_choices(told, run, rest=sum(rest.values())),
    )
    if not probe or is_public(run.model) or not needs.fits():
        return needs
    seconds = _probed(run, plan, num_windows=len(windows), chunks=chunks)
    return Needs(**{**vars(needs), "seconds": seconds})


def _at_work(working: dict[str, int], device: torch.device) -> dict[str, int]:
    """The largest stage's bytes, and what the heap keeps."""
    part = max(working, key=lambda name: working[name])
    return {f"activations ({part})": working[part], **kept_by_heap(working.values(), device)}


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
        levers = _levers(model, sizes, noisy, chunk=chunk)
    return _Counted(
        weights=weights,
        layer=_largest_layer(model),
        encode=encode,
        window=window,
        step=step,
        decode=decode,
        chunk=chunk,
        latents=noisy.numel() * 4,
        levers=levers,
    )


def _levers(
    model: Networks, sizes: Sizes, noisy: Tensor, *, chunk: int
) -> dict[str, dict[str, int]]:
    """Peaks of the stages that slices and tiles change, for those that have an effect."""
    found = {}
    if chunk > 1:
        one = noisy[:, :1].float()
        found["--vae-slicing"] = {
            "decode": counted(lambda: decode_latents(model.vae, one, chunk=1)).peak
        }
    with suppress(ValueError):
        tile_pictures(model.vae, model.settings.size)
        part = noisy[:, :chunk].float()
        found["--vae-tiling"] = {
            "encode": counted(lambda: with_bank(model, conditions(model, sizes))).peak,
            "decode": counted(lambda: decode_latents(model.vae, part, chunk=chunk)).peak,
        }
    return found


def _largest_layer(model: Networks) -> int:
    """Bytes of the layer that has most weights."""
    layers = (
        layer
        for part in (model.network, model.vae, model.image_encoder)
        for layer in part.modules()
        if not list(layer.children())
    )
    return max(num_bytes(layer) for layer in layers)


def _guided(network: Any, noisy: Tensor, features: Any, plan: Plan) -> Tensor:
    """An evaluation as `quickstep.teachers.protocol.Denoiser.guided` makes it."""
    count = 1
    if plan.guidance != 1:
        features, count = type(features).cat([features, features.dropped()]), 2
    t = torch.full((count,), 500, device=noisy.device)
    return network(noisy.repeat(count, 1, 1, 1, 1), t, features).float()


def _choices(told: _Counted, run: AnimationRun, *, rest: int) -> list[Choice]:
    """What other settings would take, one at a time; `rest` is all but what is at work."""
    weights = sum(told.weights.values())
    choices = []

    def add(change: str, besides: int, working: dict[str, int]) -> None:
        choices.append(Choice(change, besides + sum(_at_work(working, run.device).values())))

    if run.dtype == torch.float32:
        # Autoencoder and image encoder stay as they are.
        half = told.working | {"denoise": told.working["denoise"] // 2}
        add("--dtype bfloat16", rest - told.weights["network"] // 2, half)
    if run.device.type != "cpu":
        add("--offload model", rest - weights + max(told.weights.values()), told.working)
        add("--offload group", rest - weights + told.layer, told.working)
    for change, peaks in told.levers.items():
        add(change, rest, told.working | peaks)
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


def timed(code: Any, device: torch.device, *, enough: float = 60.0) -> float:
    """Seconds that code takes: of a second run, unless the first took `enough` already.

    The first reads mapped weights from the disk, which may take many times as long as the run.
    """
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
