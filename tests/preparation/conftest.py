"""Small footage with skeletons beside it, and a job that prepares it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quickstep.conditions.skeleton import Poses
from quickstep.data.clip import Clip, read_clip
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.video import write_video
from quickstep.preparation import sharing
from quickstep.preparation.clips import Tools
from quickstep.preparation.settings import PrepareSettings
from quickstep.preparation.work import Job, open_tools

SIDE = 64


@pytest.fixture(scope="session", autouse=True)
def _networks_loaded_once():
    """Every run of these tests asks for the same networks."""
    loaded: dict[tuple[str, ...], Tools] = {}

    def open_once(job: Job) -> Tools:
        asked = (job.model, job.device, job.detector)
        if asked not in loaded:
            loaded[asked] = open_tools(job)
        return loaded[asked]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "open_tools", open_once)
        yield


@pytest.fixture(scope="session")
def dancers(tmp_path_factory) -> Path:
    """Clip folders of four dancers, 20 frames each."""
    folder = tmp_path_factory.mktemp("dancers") / "clips"
    write_dancer_clips(folder, num_clips=4, num_frames=20, size=SIDE, seed=11)
    return folder


@pytest.fixture(scope="session")
def dances(dancers: Path) -> list[Clip]:
    return [read_clip(folder, with_maps=False) for folder in sorted(dancers.glob("0*"))]


@pytest.fixture(scope="session")
def film(dances: list[Clip]) -> Callable[..., tuple[Path, np.ndarray, Poses]]:
    """Writes a dancer's video with its skeletons beside it; `number` says whose."""

    def write(path: Path, *, number: int = 0, num_frames: int = 12, fps: float = 12, **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = dances[number].frames[:num_frames]
        poses = dances[number].poses[slice(num_frames)]
        write_video(path, frames, fps=fps, full_colour=True, **options)
        poses.write(path.with_suffix(".npz"))
        return path, frames, poses

    return write


@pytest.fixture
def job(tmp_path: Path) -> Job:
    settings = PrepareSettings(size=(SIDE, SIDE), fps=12.0, num_frames=8, min_frames=4)
    return Job(settings=settings, model="dancer", store=tmp_path / "store")
