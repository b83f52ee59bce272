"""How sources are shared out to the machines of a Ray cluster: Ray Data, the same code a source."""

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from quickstep.preparation.sharing import Numbered, SharingError
from quickstep.preparation.sources import Source
from quickstep.preparation.store import Result
from quickstep.preparation.work import Job, open_tools, prepare_source

INSTALL = "pip install 'quickstep[ray]'"
ADDRESS = "RAY_ADDRESS"
"""Environment variable that names a running cluster; Ray is started on this machine without it."""
STORE_BYTES = 200_000_000
"""Of a Ray started here: rows are names and numbers, clips go straight into the cache."""


_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
"""Environment of a Ray started here, unless set: no report over the network, no news of its own."""


class Preparer:
    """A worker of the cluster: networks loaded once, then one source after the other.

    What goes wrong is handed back as a value: raised here, Ray would wrap it.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.trouble = job, None
        try:
            self.tools = open_tools(job)
        except ValueError as error:
            self.trouble = error

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The number of a source, with its result or an error, pickled as its source is."""
        return {"number": row["number"], "outcome": pickle.dumps(self._outcome(row["source"]))}

    def _outcome(self, source: bytes) -> Result | Exception:
        if self.trouble is not None:
            return self.trouble
        try:
            return prepare_source(pickle.loads(source), self.job, self.tools)
        except OSError as error:
            return error


def prepare_on_ray(sources: Sequence[Source], job: Job, *, workers: int) -> Iterator[Numbered]:
    """Every source by its number, from the workers of a cluster, as they are ready.

    Footage and cache must be under the same paths on all machines. A worker that dies is started
    anew, and what it was at is tried again.

    Args:
        sources: what is to be prepared.
        job: with what; `Job.num_threads` holds for each worker.
        workers: how many; each takes a processor of the cluster's for each thread, and a GPU if
            networks run on one.

    Raises:
        SharingError: Ray is not installed, cannot be reached or gives up.
        ValueError: the networks cannot be loaded.
        OSError: a result cannot be kept.
    """
    if find_spec("ray") is None or find_spec("pyarrow") is None:
        raise SharingError(f"--engine ray needs Ray Data: {INSTALL}")
    from ray import data  # pyright: ignore[reportMissingImports]
    from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

    with _cluster(workers, job):
        _say_only_errors()
        rows = [
            {"number": number, "source": pickle.dumps(source)}
            for number, source in enumerate(sources)
        ]
        worker: Any = Preparer
        results = data.from_items(rows, override_num_blocks=len(rows)).map(
            worker,
            fn_constructor_args=(job,),
            compute=data.ActorPoolStrategy(size=min(workers, len(rows))),
            num_cpus=max(job.num_threads, 1),
            num_gpus=float(job.device.startswith("cuda")),
        )
        try:
            for row in results.iter_rows():
                outcome = pickle.loads(row["outcome"])
                if isinstance(outcome, Exception):
                    raise outcome
                yield int(row["number"]), outcome
        except RayError as error:
            line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise SharingError(
                f"Ray gave up: {line}: what is finished is kept; run again"
            ) from error


def _say_only_errors() -> None:
    """Leaves what Ray Data does to its own log file, and the terminal to this program."""
    from ray.data import DataContext  # pyright: ignore[reportMissingImports]

    DataContext.get_current().enable_progress_bars = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)


@contextmanager
def _cluster(workers: int, job: Job) -> Iterator[None]:
    """A connection to the cluster that the environment names, or to one of this machine alone."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray  # pyright: ignore[reportMissingImports]

    own: dict[str, Any] = {}
    if not os.environ.get(ADDRESS):
        num_cpus = workers * max(job.num_threads, 1)
        own = {"num_cpus": num_cpus, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = os.environ.get(ADDRESS, "this machine")
        line = next(iter(str(error).splitlines()), "")
        raise SharingError(f"Ray cannot be reached on {where}: {line}") from error
    try:
        yield
    finally:
        ray.shutdown()
