"""What `quickstep distill` needs: a recipe's networks, batches and steps, counted beforehand."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from quickstep.data.prepared import DancerData
from quickstep.data.shards import ShardClips, ShardData
from quickstep.methods.ledger import Cost
from quickstep.networks.families import NETWORKS
from quickstep.networks.folder import Model, load_model
from quickstep.networks.precision import Precision, autocast, is_bf16
from quickstep.planning.animate import timed
from quickstep.planning.counting import Count, counted, num_bytes, without_data
from quickstep.planning.models import (
    Networks,
    Sizes,
    conditions,
    is_public,
    made,
    networks_without_data,
    noisy_latents,
    settings_of,
)
from quickstep.planning.needs import Choice, Needs, free_memory, kept_by_heap, program_memory
from quickstep.training.recipe_kinds import DistillationRecipe, StudentRecipe
from quickstep.training.student_runs import student_network

_SHARDED = "train.sharding spreads weights and optimiser over the ranks: this is one rank alone"


@dataclass(frozen=True)
class DistillationRun:
    """What is to be planned.

    Attributes:
        recipe: the recipe, its changed fields included.
        teacher: a model's name or folder, or the name of a public checkpoint.
        device: where it runs.
    """

    recipe: DistillationRecipe
    teacher: str | Path
    device: torch.device = torch.device("cpu")


@dataclass(frozen=True)
class _Roles:
    """Bytes of the networks of a run."""

    teacher: int
    encoders: int
    trainable: int
    student: int


def distillation_needs(run: DistillationRun, *, probe: bool = True) -> Needs:
    """Memory, disk, evaluations, operations and, by one pass of the real network, time.

    Args:
        run: what is to be planned.
        probe: whether to load the teacher and run one batch there and back, which is left out
            where it cannot fit.

    Raises:
        ValueError: no such teacher, or one that does not fit the recipe.
    """
    recipe = run.recipe
    roles, config = _roles(run)
    rows = [
        (length, clips * recipe.clips.references, share)
        for length, clips, share in zip(
            recipe.clips.lengths, recipe.clips.clips, recipe.clips.shares, strict=True
        )
    ]
    with without_data():
        rehearsal = _Rehearsal(run, config)
        forward_flops = {length: rehearsal.there(length).flops for length, _, _ in rows}
        longest = max(rows, key=lambda row: row[0] * row[1])[:2]
        teaching = rehearsal.teaching(*longest).peak
        working = _working(rehearsal.both(*longest).peak, teaching, run.device)
        rest = program_memory(run.device) + sum(_weights(recipe, roles).values())
        choices = _choices(rehearsal, roles, working, rest=rest, teaching=teaching, size=longest)
    asks = [(share / sum(recipe.clips.shares), clips, length) for length, clips, share in rows]
    cost = _cost(recipe)
    steps = recipe.train.num_steps * recipe.train.accumulation
    clips = sum(share * count for share, count, _ in asks)
    forward = sum(share * count * forward_flops[length] for share, count, length in asks)
    needs = Needs(
        memory={
            "program": program_memory(run.device),
            **_weights(recipe, roles),
            **working,
        },
        available=free_memory(run.device),
        disk=_disk(recipe, roles),
        evaluations=steps * clips * cost.total,
        flops={
            "student": steps * forward * cost.student,
            "teacher": steps * forward * cost.teacher,
            "target": steps * forward * cost.target,
        },
        choices=choices,
        notes=[_SHARDED] if recipe.train.sharding != "none" else [],
    )
    if not probe or is_public(run.teacher) or not needs.fits():
        return needs
    length, clips, _ = rows[0]
    there, both = _probed(run, length=length, clips=clips)
    relative = forward / (clips * forward_flops[length])
    seconds = {
        "student": steps * relative * both,
        "teacher": steps * relative * cost.teacher * there,
        "target": steps * relative * cost.target * there,
    }
    return Needs(**{**vars(needs), "seconds": seconds})


def _working(both: int, teaching: int, device: torch.device) -> dict[str, int]:
    """Bytes at work: of the student there and back, or of the teacher, which is asked before it."""
    return {"activations": max(both, teaching), **kept_by_heap((both, teaching), device)}


def _cost(recipe: DistillationRecipe) -> Cost:
    if isinstance(recipe, StudentRecipe):
        return recipe.method.cost(
            checkpointing=recipe.gradient_checkpointing, references=recipe.clips.references
        )
    return recipe.method.cost(checkpointing=recipe.gradient_checkpointing)


def _roles(run: DistillationRun) -> tuple[_Roles, dict[str, Any]]:
    """Sizes of the run's networks, made on the meta device, and the student's settings."""
    settings = settings_of(run.teacher)
    meta = networks_without_data(run.teacher, device=torch.device("meta"))
    teacher = Model(
        network=meta.network,
        vae=meta.vae,
        image_encoder=meta.image_encoder,
        schedule=settings.schedule.build(),
        settings=settings,
        name=str(run.teacher),
    )
    student = student_network(run.recipe, teacher)
    own = num_bytes(student, trainable=True)
    full = run.recipe.form == "full"
    roles = _Roles(
        teacher=num_bytes(meta.network) * getattr(torch, run.recipe.teacher_dtype).itemsize // 4,
        encoders=num_bytes(meta.vae) + num_bytes(meta.image_encoder),
        trainable=own,
        student=num_bytes(student) if full else own,
    )
    return roles, dict(student.config)


def _weights(recipe: DistillationRecipe, roles: _Roles) -> dict[str, int]:
    method = recipe.method
    has_target = isinstance(recipe, StudentRecipe) and getattr(method, "target", "") == "ema"
    return {
        "teacher": roles.teacher,
        "encoders": roles.encoders,
        "student": roles.student,
        "target": roles.student if has_target else 0,
        "average": roles.trainable if recipe.train.ema_decay else 0,
        "gradients": roles.trainable,
        "optimiser": 2 * roles.trainable,
    }


def _disk(recipe: DistillationRecipe, roles: _Roles) -> dict[str, int]:
    # Weights, average and both moments of the optimiser; the target where there is one.
    one = sum(_weights(recipe, roles)[name] for name in ("student", "target", "average"))
    checkpoint = one + 2 * roles.trainable
    model = roles.student + (roles.encoders if recipe.form == "full" else 0)
    return {"checkpoints": recipe.train.keep_checkpoints * checkpoint, "model": model}


def _sizes(recipe: DistillationRecipe, frames: int) -> Sizes:
    data = ShardClips(recipe.data) if isinstance(recipe.data, ShardData) else recipe.data
    width, height = (data.size, data.size) if isinstance(data, DancerData) else data.size
    return Sizes(frames, width, height)


class _Rehearsal:
    """The student's network without data, run as the recipe would run it.

    An adapter's base keeps as much for the backward pass as a network that learns itself. A Champ's
    student owns a denoiser alone, and is told what the teacher's frozen encoders make of a batch.
    """

    def __init__(self, run: DistillationRun, config: dict[str, Any]) -> None:
        self.run = run
        self.networks = networks_without_data(run.teacher, device=run.device)
        with run.device:
            kind = NETWORKS[self.networks.settings.family]["unet"]
            self.student = made(kind, config).train()
        if isinstance(run.recipe, StudentRecipe) and run.recipe.learns == "temporal":
            self.student.requires_grad_(False)
            for module in self.student.motion_modules():
                module.requires_grad_(True)
        for parameter in self.student.parameters():
            # Gradients are counted on their own: these go as soon as they are there.
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(_forget_gradient)

    def there(self, length: int) -> Count:
        """One clip without gradient."""
        with torch.no_grad(), autocast(self.run.device, self.run.recipe.train.precision):
            told = conditions(self.networks, _sizes(self.run.recipe, length))
            features = encoded(self.networks, self.student, told)
            return counted(lambda: _ask(self.student, noisy_latents(told), features))

    def teaching(self, length: int, clips: int) -> Count:
        """The teacher's answer to a batch, with guidance if the recipe has it."""
        rows = clips if self.run.recipe.method.guidance == 1 else 2 * clips
        with torch.no_grad(), autocast(self.run.device, self.run.recipe.train.precision):
            told = conditions(self.networks, _sizes(self.run.recipe, length), batch=rows)
            network, noisy = self.networks.network, noisy_latents(told)
            return counted(lambda: _ask(network, noisy, network.encode(told)))

    def both(
        self,
        length: int,
        clips: int,
        *,
        checkpointing: bool | None = None,
        precision: Precision | None = None,
    ) -> Count:
        """A batch there and back, as the recipe has it or otherwise."""
        again = self.run.recipe.gradient_checkpointing if checkpointing is None else checkpointing
        if again:
            self.student.enable_gradient_checkpointing()
        else:
            self.student.disable_gradient_checkpointing()
        with autocast(self.run.device, precision or self.run.recipe.train.precision):
            batch = conditions(self.networks, _sizes(self.run.recipe, length), batch=clips)
            return counted(lambda: _there_and_back(self.networks, self.student, batch))


def _forget_gradient(parameter: torch.Tensor) -> None:
    parameter.grad = None


def _ask(network: nn.Module, noisy: torch.Tensor, features: Any) -> torch.Tensor:
    t = torch.full((len(noisy),), 500, device=noisy.device)
    return network(noisy, t, features)


def encoded(teacher: Networks | Model, student: Any, told: Any) -> Any:
    """What the student makes of conditions; of a Champ's, what the teacher's encoders do."""
    if teacher.settings.family != "champ":
        return student.encode(told)
    with torch.no_grad():
        return teacher.network.encode(told)


def _there_and_back(teacher: Networks | Model, student: Any, told: Any) -> None:
    prediction = _ask(student, noisy_latents(told), encoded(teacher, student, told))
    prediction.float().square().mean().backward()


def _choices(
    rehearsal: _Rehearsal,
    roles: _Roles,
    working: dict[str, int],
    *,
    rest: int,
    teaching: int,
    size: tuple[int, int],
) -> list[Choice]:
    recipe, device, (length, clips) = rehearsal.run.recipe, rehearsal.run.device, size
    choices = []

    def add(change: str, memory: dict[str, int], besides: int = rest) -> None:
        choices.append(Choice(f"--set {change}", besides + sum(memory.values())))

    if not recipe.gradient_checkpointing:
        again = rehearsal.both(length, clips, checkpointing=True).peak
        add("gradient_checkpointing=true", _working(again, teaching, device))
    if not is_bf16(recipe.train.precision, device):
        half = rehearsal.both(length, clips, precision="bf16").peak
        add("train.precision=bf16", _working(half, teaching // 2, device))
    shorter = (length, 1) if clips > 1 else (max(length // 2, 1), 1)
    less = rehearsal.both(*shorter).peak, rehearsal.teaching(*shorter).peak
    one = "clips.lengths={} --set clips.clips={} --set clips.shares=1".format(*shorter)
    add(one, _working(*less, device))
    if recipe.form == "full":
        kept = roles.teacher + roles.encoders + program_memory(device)
        add("form=adapter (about: its own weights are few)", working, besides=kept)
    return choices


def _probed(run: DistillationRun, *, length: int, clips: int) -> tuple[float, float]:
    """Seconds of a batch through the real network, without gradient and there and back.

    Not of one clip, times their number: a frame alone takes nearly as long as eight where reading
    the weights is most of the work.
    """
    recipe = run.recipe
    teacher = load_model(run.teacher, device=run.device)
    student = student_network(recipe, teacher)
    student.train()
    with autocast(run.device, recipe.train.precision):
        told = conditions(teacher, _sizes(recipe, length), batch=clips)
        with torch.no_grad():
            features = teacher.network.encode(told)
            noisy = noisy_latents(told)
            there = timed(lambda: _ask(teacher.network, noisy, features), run.device)
        both = timed(lambda: _there_and_back(teacher, student, told), run.device)
    return there, both
