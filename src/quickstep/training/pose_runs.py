"""How a run that trains a pose detector begins, what it shows, and what it leaves behind."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from quickstep.conditions.detection.accuracy import detection_accuracy
from quickstep.conditions.detection.detector import Detector, People
from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.skeleton import Poses
from quickstep.data.image import write_image
from quickstep.data.pose_batches import PoseBatches
from quickstep.data.pose_sets import PoseSet
from quickstep.files import folder_written_beside
from quickstep.methods.pose_learning import PoseLearning
from quickstep.networks.pose_detector import COARSER_CROP, COARSER_PICTURE, CROP, SIDE, PoseDetector
from quickstep.training.onnx_export import check_onnx_export, write_onnx
from quickstep.training.recipe_kinds import PoseRecipe
from quickstep.training.record import Preview

DETECTOR_PART = "detector"


def pose_learning(
    recipe: PoseRecipe,
    *,
    poses: PoseSet,
    init: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> tuple[PoseLearning, PoseBatches]:
    """The method and the batches of a recipe.

    Args:
        recipe: the recipe.
        poses: its pictures, rendered.
        init: a model folder of another such run, whose weights the detector starts from.
        device: where the networks go.

    Raises:
        ValueError: ``init`` is no such folder, or of another shape; or a package that the export
            needs is missing.
    """
    check_onnx_export()
    detector = PoseDetector(
        finder_widths=recipe.finder_widths,
        reader_widths=recipe.reader_widths,
    )
    if init is not None:
        _start_from(detector, Path(init))
    nn.Module.to(detector, device)
    batches = PoseBatches(
        poses,
        crops=recipe.crops,
        scenes=recipe.scenes,
        crop=CROP,
        side=SIDE,
        coarser=(COARSER_CROP, COARSER_PICTURE),
        seed=recipe.train.seed,
    )
    return PoseLearning(detector, recipe.method), batches


def torch_detector(networks: PoseDetector, *, batch: int = 8) -> Detector:
    """The networks in training as a detector, as their ONNX files will be one."""
    device = next(networks.parameters()).device

    @torch.no_grad()
    def find(squares: np.ndarray) -> np.ndarray:
        return networks.finder(torch.from_numpy(squares).to(device)).cpu().numpy()

    @torch.no_grad()
    def read(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        across, down = networks.reader(torch.from_numpy(crops).to(device))
        return across.cpu().numpy(), down.cpu().numpy()

    return Detector(find, read, side=SIDE, crop=CROP, batch=batch)


def preview_poses(
    folder: Path, step: int, *, networks: PoseDetector, unseen: PoseSet, count: int = 12
) -> Preview:
    """Writes ``previews/<step>.png``: unseen dancers, found and true skeletons; logs PCK."""
    found = list(torch_detector(networks).people(unseen.pictures()))
    numbers = detection_accuracy(found, unseen.truths())
    size = (unseen.frames.shape[3], unseen.frames.shape[2])
    draw = partial(draw_skeletons, size=size, style="dwpose", stroke="scaled")
    columns = []
    for picture, people, truth in zip(unseen.pictures(), found, unseen.truths(), strict=True):
        drawn = draw(_first_of(people, size)), draw(_poses(truth.keypoints, truth.scores, size))
        columns.append(np.concatenate([picture, drawn[0][0], drawn[1][0]]))
        if len(columns) == count:
            break
    path = folder / "previews" / f"{step:06d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.concatenate(columns, axis=1))
    return Preview(path, numbers=numbers)


def _first_of(people: People, size: tuple[int, int]) -> Poses:
    if not len(people):
        return Poses.hidden(num_frames=1, size=size, fps=1.0)
    return _poses(people.keypoints[0], people.scores[0], size)


def _poses(keypoints: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> Poses:
    sure = scores[None].clip(0, 1)
    return Poses(keypoints[None], scores=sure, visible=sure >= 0.3, size=size, fps=1.0)


def _start_from(detector: PoseDetector, folder: Path) -> None:
    part = folder / DETECTOR_PART
    if not part.is_dir():
        raise ValueError(f"--init {folder} holds no detector: it has no folder {DETECTOR_PART!r}")
    source = PoseDetector.from_pretrained(part, use_safetensors=True)
    try:
        detector.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise ValueError(f"--init {folder} is of another shape: {error}") from error


def export_detector(path: Path, networks: PoseDetector) -> Path:
    """Writes the networks as they are, and as two ONNX files that DWPose's take the place of.

    Args:
        path: the folder to make or replace: ``detector`` for another run to start from,
            ``finder.onnx`` and ``reader.onnx`` to run.
        networks: what was trained.
    """
    with folder_written_beside(path) as beside:
        networks.save_pretrained(beside / DETECTOR_PART, safe_serialization=True)
        write_onnx(
            networks.finder,
            beside / "finder.onnx",
            picture=(SIDE, SIDE),
            argument="picture",
            outputs=["output"],
        )
        write_onnx(
            networks.reader,
            beside / "reader.onnx",
            picture=(CROP[1], CROP[0]),
            argument="crop",
            outputs=["simcc_x", "simcc_y"],
        )
    return path
