"""How a run that trains a feature network begins and what it leaves behind."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

from quickstep.data.corruptions import PICTURE_CORRUPTIONS
from quickstep.data.feature_batches import CORRUPTIONS, FeatureBatches
from quickstep.data.prepared import PreparedSet, pictures_to_video
from quickstep.files import folder_written_beside
from quickstep.methods.features import FeatureLearning, FeatureTasks
from quickstep.networks.features.dancer import DancerFeatures
from quickstep.training.recipe_kinds import FeatureRecipe

FEATURES_PART = "features"


def feature_learning(
    recipe: FeatureRecipe,
    *,
    dances: PreparedSet,
    people: PreparedSet,
    init: str | Path | None = None,
    device: torch.device | str = "cpu",
) -> tuple[FeatureLearning, FeatureBatches]:
    """The method and the batches of a recipe.

    Args:
        recipe: the recipe.
        dances: its clips, rendered.
        people: its clips of persons in several scenes, rendered.
        init: a model folder of another such run, whose weights the features start from.
        device: where the network goes.

    Raises:
        ValueError: ``init`` is no such folder, or of another shape; or numbers that do not fit.
    """
    features = DancerFeatures(
        widths=recipe.widths,
        frame_width=recipe.frame_width,
        video_width=recipe.video_width,
        face_width=recipe.face_width,
    )
    if init is not None:
        _start_from(features, Path(init))
    tasks = FeatureTasks(
        features,
        picture_corruptions=len(PICTURE_CORRUPTIONS),
        corruptions=len(CORRUPTIONS),
        grid=recipe.grid,
    )
    nn.Module.to(tasks, device)
    batches = FeatureBatches(
        dances,
        people,
        scenes=recipe.people.scenes,
        lengths=recipe.lengths,
        clips=recipe.clips,
        persons=recipe.persons,
        faces=recipe.faces,
        face_side=recipe.data.size // 2,
        cell=recipe.data.cell,
        seed=recipe.train.seed,
    )
    return FeatureLearning(tasks, recipe.method), batches


def export_features(path: Path, tasks: FeatureTasks, *, dances: PreparedSet) -> Path:
    """Writes the calibrated network, without the heads that it learned by.

    Args:
        path: the folder to make or replace; the network is in its part `FEATURES_PART`.
        tasks: what was trained.
        dances: clean clips; the first 256 set the scale of the features.
    """
    features = tasks.features.eval()
    device = next(features.parameters()).device
    features.calibrate(
        [
            pictures_to_video(torch.from_numpy(np.array(frames[1:]))).to(device)
            for frames in dances.frames[:256]
        ]
    )
    with folder_written_beside(path) as beside:
        features.save_pretrained(beside / FEATURES_PART, safe_serialization=True)
    return path


def _start_from(features: DancerFeatures, folder: Path) -> None:
    part = folder / FEATURES_PART
    if not part.is_dir():
        raise ValueError(f"--init {folder} holds no features: it has no folder {FEATURES_PART!r}")
    source = DancerFeatures.from_pretrained(part, use_safetensors=True)
    state: Mapping[str, torch.Tensor] = source.state_dict()
    try:
        features.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(f"--init {folder} is of another shape: {error}") from error
