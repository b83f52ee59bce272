"""One source from file to kept result: the unit that processes and machines share out."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from quickstep.animation.stopwatch import Stopwatch
from quickstep.conditions.detection.sessions import usable_device
from quickstep.config import to_dict
from quickstep.data.footage import Search
from quickstep.networks.encoders import encoders_digest
from quickstep.networks.folder import load_model
from quickstep.networks.mtcnn import load_mtcnn
from quickstep.preparation.clips import ClipMaker, Tools
from quickstep.preparation.poses import DetectedPoses
from quickstep.preparation.settings import Fault, PrepareSettings
from quickstep.preparation.sources import Source, SourceError
from quickstep.preparation.store import Result, Store, noted_fault

BESIDE = "beside"
"""Instead of a detector: poses are read from files beside the footage."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What all sources of a run are prepared with; small, and sent to every process.

    Attributes:
        settings: what a clip is.
        model: whose encoders make latents and embeddings.
        store: folder of the results.
        detector: what finds poses, as `find_detector` takes it; `BESIDE` reads those beside the
            footage.
        device: where networks run.
        num_threads: of each process; 0 leaves them as they are.
    """

    settings: PrepareSettings
    model: str
    store: Path
    detector: str = BESIDE
    device: str = "cpu"
    num_threads: int = 0


def open_tools(job: Job) -> Tools:
    """Loads the networks that a job needs.

    Raises:
        ValueError: the model cannot be read, or its latents are of another size than the clips';
            the detector's files are missing or cannot be run.
    """
    if job.num_threads:
        torch.set_num_threads(job.num_threads)
    finder = None if job.detector == BESIDE else DetectedPoses(search_of(job))
    model = load_model(job.model, device=job.device)
    config: Any = model.vae.config
    cell = 2 ** (len(config.block_out_channels) - 1)
    if any(side % cell for side in job.settings.size):
        raise ValueError(
            f"size must have multiples of {job.model}'s {cell}: got {job.settings.size}"
        )
    return Tools(
        vae=model.vae,
        image_encoder=model.image_encoder,
        face_nets=load_mtcnn(device=job.device),
        finder=finder,
        encoders=encoders_digest(model.vae, model.image_encoder),
        cell=cell,
    )


def search_of(job: Job) -> Search:
    """How a job's detector looks for people."""
    return Search(
        detector=job.detector,
        device=usable_device(torch.device(job.device).type),
        threads=job.num_threads or int(os.environ.get("OMP_NUM_THREADS", "0") or 0),
    )


def prepare_source(source: Source, job: Job, tools: Tools) -> Result:
    """The result of a source: found if it was made before, else made and kept.

    A source that cannot be used is a result, too, with the reason. Only what lies outside of it
    (a full disk) ends the work.

    Raises:
        OSError: the result cannot be kept.
    """
    store = Store(job.store)
    try:
        sha256, num_bytes = store.source_digests(source)
    except SourceError as error:
        return refused(_line(error))
    made_by = decided_by(job, tools)
    key = store.key(source, sha256, made_by)
    found = store.find(key)
    if found is not None:
        return Result(key, sha256, num_bytes, made_by, is_new=False, **found)
    maker = ClipMaker(source, sha256["video"], job.settings, tools, Stopwatch(job.device))
    try:
        made = _made(store, key, maker)
    except (RuntimeError, ArithmeticError, LookupError, TypeError, MemoryError) as error:
        # Not the footage's fault: told, and tried again in the next run.
        reason = f"{type(error).__name__}: {_line(error)}"
        return refused(reason, sha256=sha256, num_bytes=num_bytes)
    return Result(key, sha256, num_bytes, made_by, is_new=True, **made)


def decided_by(job: Job, tools: Tools) -> dict[str, Any]:
    """All that decides a result beside the source."""
    return {
        "settings": to_dict(job.settings),
        "encoders": tools.encoders,
        "detector": "given" if tools.finder is None else dict(tools.finder.origin),
        "cell": tools.cell,
    }


def _made(store: Store, key: str, maker: ClipMaker) -> dict[str, Any]:
    watch = maker.watch
    try:
        with store.writing(key) as writer:
            with watch("all"):
                for piece in maker.pieces():
                    with watch("keep"):
                        writer.add(piece)
            writer.content["seconds"] = watch.seconds
    except ValueError as error:
        # A source that turns out to be damaged keeps none of the clips before that.
        with store.writing(key) as writer:
            writer.add(Fault(reason=_line(error), stage="source"))
            writer.content["seconds"] = watch.seconds
    return writer.content


def refused(reason: str, *, sha256: dict[str, str] | None = None, num_bytes: int = 0) -> Result:
    """The result of a source that could not be worked on; it is not kept, so it is tried again."""
    faults = [noted_fault(Fault(reason=reason, stage="source"))]
    return Result("", sha256 or {}, num_bytes, {}, is_new=True, clips=[], faults=faults, seconds={})


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
