"""How sources are shared out: in one process or several."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Literal

from quickstep.preparation.clips import Tools
from quickstep.preparation.sources import Source
from quickstep.preparation.store import Result
from quickstep.preparation.work import Job, open_tools, prepare_source

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

    Raises:
        SharingError: a process was ended from outside.
        OSError: a result could not be kept.
    """
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open,
        initargs=(job,),
    )
    try:
        waiting = {pool.submit(_prepare, source): n for n, source in enumerate(sources)}
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    except BrokenProcessPool as error:
        raise SharingError(
            "a process ended before its work was done (out of memory?): what is finished is kept; "
            "run again, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_here: tuple[Job, Tools] | ValueError | None = None


def _open(job: Job) -> None:
    """Loads a process's networks, once; what hinders that is told by its first source."""
    global _here  # noqa: PLW0603 - as above
    try:
        _here = job, open_tools(job)
    except ValueError as error:
        _here = error


def _prepare(source: Source) -> Result:
    assert _here is not None
    if isinstance(_here, ValueError):
        raise _here
    return prepare_source(source, *_here)


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
