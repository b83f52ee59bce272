"""The rows of a table as they are asked for: models with their steps, guidance and times."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch

from quickstep.animation.animator import Animator
from quickstep.animation.levers import EVERYTHING_THERE, Memory
from quickstep.evaluation.finished import CopyMaker, FolderMaker, Maker, is_finished
from quickstep.evaluation.makers import RoundTripMaker, model_digest, step_rows
from quickstep.networks.folder import find_model, read_settings
from quickstep.teachers.generation import TimeGrid

_ENTRY = re.compile(r"(?P<model>.+?)(?P<settings>(?:\s+\w+=\S*)*)\s*")


class RowsError(ValueError):
    """Rows that cannot be; one line."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model, or a folder of finished videos, and how it is run.

    Attributes:
        model: a built-in name, a model folder, a hub id, or a folder of finished videos.
        steps: numbers of denoising steps, a row for each; the model's best without.
        guidance: guidance scale; None for the model's own.
        times: where a teacher's steps lie.
    """

    model: str
    steps: tuple[int, ...] = ()
    guidance: float | None = None
    times: TimeGrid = "trailing"


def read_entry(text: str, default: Entry) -> Entry:
    """An entry of a text: a model, and what is to be other than in `default`.

    Args:
        text: ``MODEL``, or ``MODEL steps=4,50 guidance=1.5 times=upstream`` with any of these.
        default: what counts where the text says nothing. Finished videos take nothing from it.

    Raises:
        RowsError: no such setting, or a value that cannot be; the message has the text.

    Example:
        >>> read_entry("mine steps=1,4 guidance=2", Entry(model="dancer", steps=(8,)))
        Entry(model='mine', steps=(1, 4), guidance=2.0, times='trailing')
    """
    found = _ENTRY.fullmatch(text.strip())
    if found is None:
        raise RowsError(f"{text!r}: a model must be named")
    model, settings = found["model"], found["settings"].split()
    if is_finished(model):
        if settings:
            raise RowsError(f"{text!r}: finished videos are judged as they are: {settings[0]}")
        return Entry(model=model)
    given = [setting.partition("=")[::2] for setting in settings]
    try:
        values = {name: _READ[name](value) for name, value in given}
    except (KeyError, ValueError) as error:
        times = " or ".join(get_args(TimeGrid))
        raise RowsError(
            f"{text!r}: after the model may come steps=1,2,4 guidance=1.5 times={times}"
        ) from error
    if len(values) < len(given):
        raise RowsError(f"{text!r}: a setting is given twice")
    return replace(default, model=model, **values)


def open_rows(
    entries: Sequence[Entry],
    *,
    seed: int = 0,
    baselines: bool = True,
    sizes: Sequence[tuple[int, int]] = (),
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    memory: Memory = EVERYTHING_THERE,
) -> tuple[list[Maker], list[list[Maker]]]:
    """All rows of a table, each model loaded once.

    Args:
        entries: what is asked for, in the order of the table.
        seed: of the noise.
        baselines: whether to add the reference held still, and each autoencoder's round trip.
        sizes: that finished videos may have beside the truth's.
        device: where models run.
        dtype: number type of their networks.
        memory: what they give up to need less of it.

    Returns:
        The rows, and those of each entry without the baselines.

    Raises:
        ValueError: no such model, or a number of steps or a guidance out of range.
    """
    rows: list[Maker] = [CopyMaker()] if baselines else []
    groups: list[list[Maker]] = []
    animators: dict[Path, Animator] = {}
    encoders: set[Path] = set()
    for entry in entries:
        if is_finished(entry.model):
            groups.append([FolderMaker(Path(entry.model), sizes=tuple(sizes))])
            rows += groups[-1]
            continue
        folder, digest = find_model(entry.model), model_digest(entry.model)
        if folder not in animators:
            animators[folder] = Animator.from_pretrained(
                entry.model, device=device, dtype=dtype, memory=memory
            )
        home = _encoders_home(folder)
        if baselines and home not in encoders:
            encoders.add(home)
            rows.append(RoundTripMaker(animators[folder], digest))
        groups.append(
            step_rows(
                animators[folder],
                digest,
                steps=entry.steps,
                guidance=entry.guidance,
                times=entry.times,
                seed=seed,
            )
        )
        rows += groups[-1]
    return rows, groups


def compared(ours: Sequence[Maker], theirs: Sequence[Maker]) -> list[tuple[str, str]]:
    """Names of the rows of two entries that belong side by side.

    A single row is compared with every row of the other entry, else rows of the same number of
    steps are compared.

    Raises:
        RowsError: there are no such rows.
    """
    if len(ours) == 1 or len(theirs) == 1:
        return [(one.name, other.name) for one in ours for other in theirs]
    by_steps = {maker.settings()["steps"]: maker.name for maker in theirs}
    pairs = [
        (maker.name, by_steps[steps])
        for maker in ours
        if (steps := maker.settings()["steps"]) in by_steps
    ]
    if not pairs:
        raise RowsError(
            f"no steps of {ours[0].settings()['model']} are those of "
            f"{theirs[0].settings()['model']}: give one of them a single number of steps"
        )
    return pairs


def _encoders_home(folder: Path) -> Path:
    others = read_settings(folder).encoders_of
    return (find_model(others) if others else folder).resolve()


def _read_steps(text: str) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(","))


def _read_times(text: str) -> str:
    if text not in get_args(TimeGrid):
        raise ValueError(text)
    return text


_READ = {"steps": _read_steps, "guidance": float, "times": _read_times}
