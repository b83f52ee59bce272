"""Tasks shared out to processes, of which any may die at any time.

The standard library's pool takes the death of one for the end of all, does not say which task it
was at, and can wait for ever when it comes while another is being started.
"""

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Task = TypeVar("Task")
Answer = TypeVar("Answer")

Opener = Callable[[], Callable[[Task], Answer]]
"""Called once in each process; gives what does the tasks. Both must be known by name."""

ATTEMPTS = 2
"""Processes that may die at a task before it is given up."""
_PATIENCE = 30.0


class ProcessesError(ValueError):
    """No process is left to work; the message is one line."""


@dataclass(frozen=True)
class GivenUp:
    """Instead of an answer: every process that was at the task died."""

    attempts: int


@dataclass
class _Worker:
    """A process and what it is at.

    Attributes:
        process: the process.
        line: to it; it ends when the process does.
        task: number of the task, or None while it opens what it works with.
    """

    process: Any
    line: Connection
    task: int | None = None


class _Sharing(Generic[Task, Answer]):
    """The processes of one job and the tasks that are left."""

    def __init__(self, tasks: Sequence[Task], opener: Opener[Task, Answer]) -> None:
        self.tasks, self.opener = tasks, opener
        self.waiting = deque(range(len(tasks)))
        self.deaths: dict[int, int] = {}
        self.workers: list[_Worker] = []
        self._context = multiprocessing.get_context("spawn")

    def start(self) -> None:
        """One more process."""
        here, there = self._context.Pipe()
        process = self._context.Process(target=_work, args=(there, self.opener), daemon=True)
        process.start()
        there.close()  # so that the line ends with the process
        self.workers.append(_Worker(process, here))

    def answers(self) -> Iterator[tuple[int, Answer | GivenUp]]:
        """Every task's answer as they come."""
        left = len(self.tasks)
        while left:
            if not self.workers:
                raise ProcessesError("every process ended before it could work")
            ready = wait([worker.line for worker in self.workers])
            for worker in [one for one in self.workers if one.line in ready]:
                for answer in self._heard(worker):
                    left -= 1
                    yield answer

    def _heard(self, worker: _Worker) -> Iterator[tuple[int, Answer | GivenUp]]:
        """The answer of a process that says something, if it is one; gives it the next task."""
        try:
            answer = worker.line.recv()
        except (EOFError, OSError):
            yield from self._mourned(worker)
            return
        if isinstance(answer, Exception):
            raise answer
        if worker.task is not None:
            yield worker.task, answer
        self._give_next(worker)

    def _give_next(self, worker: _Worker) -> None:
        worker.task = self.waiting.popleft() if self.waiting else None
        if worker.task is None:
            self.workers.remove(worker)
            _ended(worker)
            return
        with suppress(OSError):  # it has died; its line says so when it is asked next
            worker.line.send(self.tasks[worker.task])

    def _mourned(self, worker: _Worker) -> Iterator[tuple[int, GivenUp]]:
        """Starts another process for what a dead one was at, last of all, or gives that up."""
        self.workers.remove(worker)
        _ended(worker)
        task = worker.task
        if task is None:  # there may be no room for so many: the others go on
            return
        self.deaths[task] = self.deaths.get(task, 0) + 1
        if self.deaths[task] < ATTEMPTS:
            self.waiting.append(task)
        else:
            yield task, GivenUp(self.deaths[task])
        if self.waiting:
            self.start()

    def end(self) -> None:
        """Ends all processes; they put away what they were writing."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            _ended(worker)


def answers_of(
    tasks: Sequence[Task], opener: Opener[Task, Answer], *, workers: int
) -> Iterator[tuple[int, Answer | GivenUp]]:
    """The answer to each task by its number, as they come.

    A process that dies costs no more than what it was at, which another does anew at the end; a
    task at which `ATTEMPTS` of them die is given up. One that dies while it opens what it works
    with is not replaced.

    Args:
        tasks: what is to be done; they are sent to processes.
        opener: makes what does them. An error of it, and an `OSError` of a task, end the job.
        workers: processes at once.

    Raises:
        ProcessesError: no process is left.
        ValueError: what they work with cannot be opened.
        OSError: likewise, or as a task raised it.
    """
    sharing = _Sharing(tasks, opener)
    try:
        for _ in range(min(workers, len(tasks))):
            sharing.start()
        yield from sharing.answers()
    finally:
        sharing.end()


def _ended(worker: _Worker) -> None:
    worker.line.close()
    worker.process.join(_PATIENCE)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _work(line: Connection, opener: Opener[Any, Any]) -> None:
    """A process: opens what it works with, and does tasks until the line ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it ends it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # what is half-written is removed
    try:
        answer_to = opener()
    except (ValueError, OSError) as error:
        line.send(error)
        return
    with suppress(EOFError, OSError):
        line.send(None)
        while True:
            task = line.recv()
            try:
                answer = answer_to(task)
            except OSError as error:
                answer = error
            line.send(answer)
