"""The loop that trains every method: the same bits whether or not it was interrupted.

Step `s` of rank `r` uses micro-batches `(s * accumulation + m) * ranks + r`, and the noise, times
and dropout of a micro-batch depend on the seed and that number only. So no state of a random
generator is saved, and two ranks learn what one rank with twice the accumulation does.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from quickstep.methods.protocol import Batch, Batches, Method
from quickstep.networks.precision import autocast
from quickstep.training.checkpoint import (
    Checkpoint,
    latest_checkpoint,
    read_checkpoint,
    save_checkpoint,
)
from quickstep.training.config import TrainConfig
from quickstep.training.ema import Ema
from quickstep.training.optimisation import (
    build_optimizer,
    gradient_norm,
    load_optimizer,
    optimizer_step,
    step_rate,
    trained_parameters,
)
from quickstep.training.prefetch import batches_ahead
from quickstep.training.progress import Progress
from quickstep.training.ranks import Ranks
from quickstep.training.record import Log, Preview, describe_run, open_run
from quickstep.training.sharding import shard, whole, whole_state, whole_tensors
from quickstep.training.stopping import StopRequest

__all__ = ["DivergenceError", "TrainConfig", "TrainResult", "train"]


Reason = Literal["done", "time", "SIGTERM", "SIGINT"]


class DivergenceError(ValueError):
    """The loss or its gradient is no longer a finite number."""


@dataclass(frozen=True)
class TrainResult:
    """How a call of `train` ended."""

    step: int
    """Steps of the run that are done, all calls together."""

    reason: Reason
    """Why it ended: all steps are done, `max_minutes` is over, or it was asked to stop."""

    loss: float
    """Loss of the last step of this call; nan when it made none."""

    seconds: float
    """Seconds of training, all calls together."""


def train(
    method: Method,
    batches: Batches,
    config: TrainConfig,
    *,
    folder: Path,
    resume: bool = False,
    preview: Callable[[int], Preview | None] | None = None,
    report: Callable[[str], None] | None = None,
    recipe: str = "",
    settings: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Trains `method.trainable` on `batches` until `config.num_steps`, or until it has to stop.

    Args:
        method: what to learn; its networks are already on their device, equal on every rank or
            made equal to the first rank's here.
        batches: data by number.
        config: how to train.
        folder: the run's own folder, written by the first rank. Several machines share it.
        resume: go on from the latest checkpoint in `folder`, to the same bits as without the
            interruption; with none there, begin.
        preview: called on the first rank every `config.preview_every` steps with the number of
            steps done. The averaged weights stand in `trainable` meanwhile, in evaluation mode.
            What it returns is logged, its warnings among the progress lines.
        report: takes the progress lines; without it they go to standard error.
        recipe: the recipe's name, for `config.json`.
        settings: the recipe's other settings as JSON values; they must be the same on resume.

    Returns:
        How far it came. Whatever the reason, everything done is saved.

    Raises:
        ValueError: `folder` holds another run, or settings that matter changed.
        DivergenceError: the loss is no finite number; earlier checkpoints stay.
        OSError: the folder cannot be written; earlier checkpoints stay.
    """
    if config.preview_every > 0 and preview is None:
        raise ValueError(
            f"TrainConfig.preview_every must be 0 without a preview: got {config.preview_every}"
        )
    with StopRequest() as stop:
        run = _Run(method, config, folder=folder, stop=stop)
        with _torch_settings(config, device=run.device):
            run.begin(recipe=recipe, settings=settings or {}, resume=resume)
            return run.loop(batches, preview=preview, report=report)


def micro_batch_seeds(seed: int, index: int) -> tuple[int, int]:
    """Seeds of micro-batch `index` in a run seeded with `seed`: of its noise, and of dropout."""
    words = np.random.SeedSequence([seed, index]).generate_state(2, np.uint32)
    return int(words[0]), int(words[1])


def _channels_last(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)


class _Run:
    """One call of `train`: what it changes, and the pieces of its loop."""

    def __init__(
        self, method: Method, config: TrainConfig, *, folder: Path, stop: StopRequest
    ) -> None:
        self.method = method
        self.module = method.trainable
        self.config = config
        self.folder = folder
        self.stop = stop
        if config.channels_last:
            _channels_last(self.module)
        self.device = trained_parameters(self.module)[0].device
        self.ranks = Ranks(self.device)
        self.ema: Ema | None = None
        self.step = 0
        self.loss = float("nan")
        self.numbers = _Means()
        self.earlier_seconds = 0.0
        self.started = self.saved_at = time.monotonic()

    @property
    def is_sharded(self) -> bool:
        """Whether the weights are spread over the ranks, which averages their gradients, too."""
        return self.config.sharding != "none"

    @property
    def seconds(self) -> float:
        return self.earlier_seconds + time.monotonic() - self.started

    def begin(self, *, recipe: str, settings: Mapping[str, Any], resume: bool) -> None:
        """Claims the folder and brings every rank to the same starting point."""
        description = describe_run(
            self.config,
            recipe=recipe,
            settings=settings,
            micro_batches=self.config.accumulation * self.ranks.count,
        )
        self.ranks.on_first(lambda: open_run(self.folder, description, resume=resume))
        place = latest_checkpoint(self.folder)
        checkpoint = None if place is None else read_checkpoint(place)
        if checkpoint is not None:
            self.module.load_state_dict(checkpoint.weights)
            self.method.load_extra_state(checkpoint.extra)
            self.step = checkpoint.step
            self.earlier_seconds = checkpoint.counts["seconds"]
        elif self.ranks.count > 1:
            self.ranks.share(self.module.state_dict())
            self.method.load_extra_state(self.ranks.share(self.method.extra_state()))
        if self.is_sharded:
            networks = (self.module, *self.method.other_networks())
            shard(networks, device=self.device, count=self.ranks.count)
        self.parameters = trained_parameters(self.module)
        self.optimizer = build_optimizer(self.parameters, config=self.config)
        if checkpoint is not None:
            load_optimizer(self.optimizer, checkpoint.optimizer)
        if self.config.ema_decay > 0:
            self.ema = Ema(self.module, decay=self.config.ema_decay)
            if checkpoint is not None:
                updates = int(checkpoint.counts["ema_updates"])
                self.ema.load(checkpoint.ema, num_updates=updates)

    def loop(
        self,
        batches: Batches,
        *,
        preview: Callable[[int], Preview | None] | None,
        report: Callable[[str], None] | None,
    ) -> TrainResult:
        """Steps until there is a reason to end."""
        data = batches_ahead(batches, self.indices(), ahead=self.config.prefetch)
        reason: Reason | None = "done" if self.step >= self.config.num_steps else None
        with ExitStack() as stack:
            log = progress = None
            if self.ranks.is_first:
                log = stack.enter_context(Log(self.folder, step=self.step))
                progress = stack.enter_context(
                    Progress(self.config.num_steps, step=self.step, report=report)
                )
            stack.callback(data.close)
            self.module.train()
            while reason is None:
                self.advance(data)
                if progress is not None:
                    progress.show(self.step, self.loss)
                if self.step % self.config.log_every == 0:
                    self.write_numbers(log)
                if self.config.preview_every and self.step % self.config.preview_every == 0:
                    self.show_preview(preview, log=log, progress=progress)
                reason = self.end_step()
            if progress is not None:
                progress.say(f"{reason} after step {self.step}; saved in {self.folder}")
        return TrainResult(step=self.step, reason=reason, loss=self.loss, seconds=self.seconds)

    def indices(self) -> Iterator[int]:
        """Numbers of this rank's micro-batches, from the next step on."""
        for step in range(self.step, self.config.num_steps):
            for micro in range(self.config.accumulation):
                number = step * self.config.accumulation + micro
                yield number * self.ranks.count + self.ranks.index

    def advance(self, data: Iterator[tuple[int, Batch]]) -> None:
        """One optimiser step over all ranks, and what follows it."""
        share = 1.0 / self.config.accumulation
        total = torch.zeros((), device=self.device)
        for _ in range(self.config.accumulation):
            index, batch = next(data)
            value = self.micro_batch_loss(index, batch)
            (value * share).backward()
            total += value.detach() * share
        if not self.is_sharded:
            self.ranks.average_gradients(self.parameters)
        norm = gradient_norm(self.parameters)
        self.check_finite(self.ranks.mean(total), whole(norm))
        rate = step_rate(self.step, config=self.config)
        clip = self.config.clip_norm
        optimizer_step(self.optimizer, self.parameters, norm=norm, clip=clip, rate=rate)
        self.numbers.add({"gradient_norm": whole(norm)})
        self.step += 1
        self.method.after_step()
        if self.ema is not None:
            self.ema.update(self.module)

    def micro_batch_loss(self, index: int, batch: Batch) -> Tensor:
        """The method's loss of one micro-batch, with its graph."""
        noise_seed, dropout_seed = micro_batch_seeds(self.config.seed, index)
        torch.manual_seed(dropout_seed)
        placed = {name: tensor.to(self.device) for name, tensor in batch.items()}
        with autocast(self.device, self.config.precision):
            loss = self.method.loss(
                placed,
                generator=torch.Generator().manual_seed(noise_seed),
                progress=self.step / self.config.num_steps,
            )
        self.numbers.add(loss.parts)
        return loss.value.float()

    def check_finite(self, loss: Tensor, norm: Tensor) -> None:
        """Keeps the loss of the step, or stops the run before it does harm."""
        self.loss, size = torch.stack([loss, norm]).tolist()
        if math.isfinite(self.loss) and math.isfinite(size):
            self.numbers.add({"loss": loss})
            return
        place = latest_checkpoint(self.folder)
        last = "there is no checkpoint yet" if place is None else f"the last checkpoint is {place}"
        raise DivergenceError(
            f"step {self.step + 1}: the loss is {self.loss:g} with a gradient of norm {size:g}; "
            f"{last}"
        )

    def write_numbers(self, log: Log | None) -> None:
        """Writes the means since the last line."""
        means = self.numbers.take()
        if log is not None:
            rate = step_rate(self.step - 1, config=self.config)
            log.write(self.step, {**means, "learning_rate": rate, "seconds": self.seconds})

    def show_preview(
        self,
        preview: Callable[[int], Preview | None] | None,
        *,
        log: Log | None,
        progress: Progress | None,
    ) -> None:
        """Lets the averaged network draw; what it shows is logged, what is wrong is said."""
        if preview is not None and self.ranks.is_first:
            self.module.eval()
            average = nullcontext() if self.ema is None else self.ema.applied(self.module)
            with average, torch.no_grad():
                found = preview(self.step)
            self.module.train()
            if found is not None and log is not None and progress is not None:
                log.write(self.step, found.numbers)
                log.picture(self.step, found.picture)
                for line in found.warnings:
                    progress.say(f"step {self.step}: warning: {line}")
        self.ranks.wait()

    def end_step(self) -> Reason | None:
        """Saves when it is time or the end; says why to end, or None to go on."""
        config, now = self.config, time.monotonic()
        minutes, unsaved = (now - self.started) / 60, (now - self.saved_at) / 60
        over, due, *asked = self.ranks.any(
            [
                0 < config.max_minutes <= minutes,
                0 < config.checkpoint_minutes <= unsaved,
                *(self.stop.signal == name for name in ("SIGTERM", "SIGINT")),
            ]
        )
        reason: Reason | None = None
        if self.step >= config.num_steps:
            reason = "done"
        elif any(asked):
            reason = "SIGTERM" if asked[0] else "SIGINT"
        elif over:
            reason = "time"
        due = due or (config.checkpoint_every > 0 and self.step % config.checkpoint_every == 0)
        if due or reason is not None:
            self.save()
        return reason

    def save(self) -> None:
        """Writes a checkpoint on the first rank."""
        checkpoint = Checkpoint(
            step=self.step,
            weights=whole_tensors(self.module.state_dict()),
            optimizer=whole_state(self.optimizer.state_dict()),
            ema={} if self.ema is None else whole_tensors(self.ema.average),
            extra=whole_tensors(self.method.extra_state()),
            counts={
                "ema_updates": 0 if self.ema is None else self.ema.num_updates,
                "seconds": self.seconds,
            },
        )
        keep = self.config.keep_checkpoints
        self.ranks.on_first(lambda: save_checkpoint(self.folder, checkpoint, keep=keep))
        self.saved_at = time.monotonic()


class _Means:
    """Means of named scalars, kept on their device until they are wanted."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            detached = value.detach().float()
            self._sums[name] = self._sums[name] + detached if name in self._sums else detached
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: (total / self._counts[name]).item() for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return means


@contextmanager
def _torch_settings(config: TrainConfig, *, device: torch.device) -> Iterator[None]:
    """The run's thread count and random state, and the caller's again afterwards."""
    threads = torch.get_num_threads()
    fork = torch.random.fork_rng(devices=[])
    if device.type != "cpu":
        fork = torch.random.fork_rng(devices=[device], device_type=device.type)
    with fork:
        if config.num_threads > 0:
            torch.set_num_threads(config.num_threads)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
