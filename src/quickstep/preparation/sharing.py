"""How sources are shared out: in one process or several."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

from quickstep.preparation.sources import Source
from quickstep.preparation.store import Result
from quickstep.preparation.work import Job, open_tools, prepare_source, refused
from quickstep.processes import GivenUp, ProcessesError, answers_of

Engine = Literal["local", "ray"]

Numbered = tuple[int, Result]
"""A source's number with its result."""


class SharingError(ValueError):
    """Work that cannot be shared out; the message is one line."""


def prepare_here(sources: Sequence[Source], job: Job) -> Iterator[Numbered]:
    """One source after the other, in this process."""
    tools = open_tools(job)
    for number, source in enumerate(sources):
        yield number, prepare_source(source, job, tools)


def prepare_in_processes(
    sources: Sequence[Source], job: Job, *, workers: int
) -> Iterator[Numbered]:
    """Several at once, each process with its own networks; results come as they are ready.

    A source at which processes die again and again is left out with that reason.

    Raises:
        SharingError: no process could even load its networks.
        ValueError: the networks cannot be loaded.
        OSError: a result could not be kept.
    """
    try:
        for number, answer in answers_of(sources, partial(_opened, job), workers=workers):
            if isinstance(answer, GivenUp):
                answer = refused(f"{answer.attempts} processes ended while at it {_ADVICE}")
            yield number, answer
    except ProcessesError as error:
        raise SharingError(f"{error} {_ADVICE}") from error


_ADVICE = "(out of memory?): what is finished is kept; run again, with fewer --workers"


def _opened(job: Job) -> Callable[[Source], Result]:
    """Loads a process's networks, once."""
    return partial(prepare_source, job=job, tools=open_tools(job))


def prepare_all(
    sources: Sequence[Source], job: Job, *, workers: int, engine: Engine = "local"
) -> Iterator[Numbered]:
    """The result of every source by its number, in the order they are ready.

    Args:
        sources: what is to be prepared.
        job: with what.
        workers: processes at once.
        engine: ``local`` for processes of this machine, ``ray`` for a cluster's.

    Raises:
        SharingError: work that cannot be shared out.
        ValueError: the networks cannot be loaded.
        OSError: a result cannot be kept.
    """
    if engine == "ray":
        from quickstep.preparation.ray_sharing import prepare_on_ray

        return prepare_on_ray(sources, job, workers=workers)
    if workers == 1 or len(sources) == 1:
        return prepare_here(sources, job)
    return prepare_in_processes(sources, job, workers=min(workers, len(sources)))
