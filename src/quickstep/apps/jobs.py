"""One video to make, from the command line or a line of a file of jobs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quickstep.apps.options import check_output, read_person

SamplerName = Literal["ddim", "lcm", "edges", "segment", "tcd", "perflow"]

BlendName = Literal["smooth", "mean", "loop"]

BetasName = Literal["linear", "scaled_linear"]

JOB_FIELDS = {
    "image": str,
    "driving": str,
    "output": str,
    "compare": str,
    "reference_pose": str,
    "detector": str,
    "person": str,
    "seed": int,
    "steps": int,
    "guidance": float,
}
PATH_FIELDS = ("image", "driving", "output", "compare", "reference_pose")


@dataclass(frozen=True)
class Job:
    """One video to make: files, seed and steps."""

    image: Path
    driving: Path
    output: Path
    compare: Path | None = None
    reference_pose: Path | None = None
    detector: str = "dancer"
    person: str = "largest"
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    sampler: SamplerName | None = None
    times: Literal["trailing", "upstream"] = "trailing"
    gamma: float | None = None
    noise_prior: bool = False
    upstream_noise: bool = False
    first_frame: bool = False
    blend: BlendName = "smooth"
    betas: BetasName | None = None
    align: bool = True

    def check(self) -> None:
        """Refuses missing inputs and outputs that cannot be written, before anything is loaded."""
        inputs = [self.image, self.driving]
        inputs += [self.reference_pose] if self.reference_pose else []
        for path in inputs:
            if not path.exists():
                raise FileNotFoundError(f"{path}: no such file or folder")
        read_person(self.person)
        check_output(self.output, suffixes=[".mp4"], inputs=inputs)
        if self.compare:
            check_output(self.compare, suffixes=[".mp4"], inputs=[*inputs, self.output])


def read_jobs(path: Path, common: dict[str, Any]) -> list[Job]:
    """Reads a file of jobs, one JSON object a line; fields left out come from the command line.

    Raises:
        ValueError: a line that is no job; the message names the line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    jobs = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip():
            try:
                jobs.append(_read_job(line, common))
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
    if not jobs:
        raise ValueError(f"{path}: there is no job in it")
    return jobs


def _read_job(line: str, common: dict[str, Any]) -> Job:
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise ValueError(f"a job must be a JSON object: got {type(fields).__name__}")
    for name, value in fields.items():
        kind = JOB_FIELDS.get(name)
        if kind is None:
            raise ValueError(f"no field {name!r}: fields are {', '.join(JOB_FIELDS)}")
        if not isinstance(value, (int, float) if kind is float else kind):
            raise ValueError(f"{name} must be {kind.__name__}: got {value!r}")
    missing = [name for name in ("image", "driving", "output") if name not in fields]
    if missing:
        raise ValueError(f"a job needs {missing[0]!r}")
    paths = {name: Path(value) for name, value in fields.items() if name in PATH_FIELDS}
    return Job(**{**common, **fields, **paths})
