"""Model folders: the diffusers layout, and ``quickstep.json`` with what the model was made for.

A folder holds one sub-folder per part (``unet``, ``vae``, ``image_encoder``), each with its
``config.json`` and safetensors, ``model_index.json``, ``quickstep.json`` (:class:`Settings`) and
the model card ``README.md``. Weights are read from safetensors only, never from a pickle.
"""

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from diffusers import AutoencoderKL
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionModelWithProjection
from transformers.utils import logging as transformers_logging

from quickstep.config import from_dict, to_dict
from quickstep.diffusion.sampling import Sampler
from quickstep.diffusion.schedule import Schedule
from quickstep.networks.unianimate import UniAnimateUNet

BUILT_IN = Path(__file__).resolve().parents[1] / "models"
ALIASES = {"dancer": "dancer-unianimate"}
"""The best student of all families has a name of its own."""
SETTINGS_FILE = "quickstep.json"
EMPTY_TEXT_FILE = "empty_text.safetensors"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_FILES = ["*.json", "*.safetensors", "README.md"]
_NETWORKS: dict[str, type[Any]] = {"unianimate": UniAnimateUNet}
_PARTS: dict[str, type[Any]] = {
    "vae": AutoencoderKL,
    "image_encoder": CLIPVisionModelWithProjection,
}


class ModelError(ValueError):
    """A model that cannot be found or read; the message is one line for the user."""


@dataclass(frozen=True)
class ScheduleSettings:
    """The noise schedule a model was trained with.

    Attributes:
        kind: spacing of the betas; ``scaled_linear`` is even in their square roots.
        beta_start: first beta.
        beta_end: last beta, before the rescale to zero terminal SNR.
        num_timesteps: length of the training grid.
        zero_terminal_snr: whether the last step is rescaled to pure noise.
    """

    kind: Literal["linear", "scaled_linear"] = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    num_timesteps: int = 1000
    zero_terminal_snr: bool = True

    def build(self) -> Schedule:
        """The schedule's tables."""
        make = Schedule.linear if self.kind == "linear" else Schedule.scaled_linear
        schedule = make(
            beta_start=self.beta_start, beta_end=self.beta_end, num_timesteps=self.num_timesteps
        )
        return schedule.with_zero_terminal_snr() if self.zero_terminal_snr else schedule


@dataclass(frozen=True)
class Settings:
    """What a model was made for and how it wants to be run: the content of ``quickstep.json``.

    Attributes:
        role: a teacher runs at any number of steps; a student at those it was trained for.
        method: how it was trained, as ``denoising`` or ``dancelcm``.
        family: which network class the ``unet`` folder holds.
        sampler: the sampler to use unless another is asked for.
        steps_allowed: numbers of steps it was trained for; empty means any.
        steps_best: number of steps to use unless another is asked for.
        guidance: classifier-free guidance scale g in ``u + g (c - u)``; 1 means none.
        schedule: the noise schedule.
        parametrisation: what the network predicts.
        grid_skip: distance of the training grid's points, in timesteps.
        segments: number of segments of a segmented student; None for others.
        anchor: the lowest segment edge: noise-free, or t = 0 as reference code has it.
        frames: clip length trained on, the reference frame not counted; longer dances run
            through overlapping windows of this length.
        fps: frame rate trained on.
        size: picture size trained on, (width, height) in pixels.
        pose_style: how skeletons are drawn, see ``conditions.drawing``.
        stroke: how thick they are drawn, see ``conditions.drawing``.
        reference_everywhere: whether the network is told the reference picture in every frame,
            through the channels by which upstream is told that it is the first frame. The public
            model is not; a small one learns far sooner from it to keep the ground.
        noise_offset: strength of the noise added per frame and channel on top of white noise.
        encoders_of: another model whose autoencoder and image encoder are used, so that models
            shipped together hold them once; empty when the folder has its own.
        licence: of the weights, those of the teacher included.
        recipe: name of the recipe that made it.
        recipe_digest: twelve hexadecimal digits that name the recipe's full content.
    """

    role: Literal["teacher", "student"]
    method: str
    family: Literal["unianimate"] = "unianimate"
    sampler: Sampler = "ddim"
    steps_allowed: tuple[int, ...] = ()
    steps_best: int = 50
    guidance: float = 1.0
    schedule: ScheduleSettings = ScheduleSettings()
    parametrisation: Literal["epsilon", "v", "clean", "flow"] = "v"
    grid_skip: int = 20
    segments: int | None = None
    anchor: Literal["clean", "first"] = "clean"
    frames: int = 16
    fps: float = 12.0
    size: tuple[int, int] = (128, 128)
    pose_style: Literal["dwpose", "unianimate"] = "unianimate"
    stroke: Literal["upstream", "scaled"] = "scaled"
    reference_everywhere: bool = False
    noise_offset: float = 0.0
    encoders_of: str = ""
    licence: str = "Apache-2.0"
    recipe: str = ""
    recipe_digest: str = ""

    def __post_init__(self) -> None:
        """Refuses settings that no run could follow."""
        for name, hint in get_type_hints(type(self)).items():
            allowed, value = get_args(hint), getattr(self, name)
            if get_origin(hint) is Literal and value not in allowed:
                names = ", ".join(allowed)
                raise ValueError(f"Settings.{name} must be one of {names}: got {value!r}")
        for name in ("steps_best", "grid_skip", "frames", "fps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"Settings.{name} must be positive: got {getattr(self, name)}")
        if self.sampler in ("edges", "segment", "perflow") and self.segments is None:
            raise ValueError(
                f"Settings.segments must be given for the sampler {self.sampler!r}: got None"
            )


@dataclass
class Model:
    """The parts of a model folder, ready to run.

    Attributes:
        network: the denoiser, in evaluation mode, gradients off.
        vae: pictures to latents and back.
        image_encoder: the CLIP vision tower that turns the reference into tokens.
        schedule: noise schedule.
        settings: what the model was made for.
        name: what it was asked for as: a built-in name, a folder or a hub id.
        card: text of the model card.
    """

    network: Any
    vae: AutoencoderKL
    image_encoder: CLIPVisionModelWithProjection
    schedule: Schedule
    settings: Settings
    name: str
    card: str = ""


def built_in_models() -> list[str]:
    """Names of the models shipped inside the package."""
    if not BUILT_IN.is_dir():
        return []
    found = {path.parent.name for path in BUILT_IN.glob(f"*/{SETTINGS_FILE}")}
    return sorted(found | {alias for alias, name in ALIASES.items() if name in found})


def find_model(name_or_path: str | Path) -> Path:
    """The folder of a model: a built-in name, a local folder, or a hub id to download.

    Args:
        name_or_path: a name of :func:`built_in_models`, a model folder, a run folder with a
            model folder ``model`` inside, or a hub id ``owner/name``.

    Raises:
        ModelError: nothing by that name, with the names there are.
    """
    name = str(name_or_path)
    local = Path(name).expanduser()
    for folder in (BUILT_IN / ALIASES.get(name, name), local, local / "model"):
        if (folder / SETTINGS_FILE).is_file():
            return folder
    if local.exists():
        raise ModelError(f"{name} is not a model folder: it has no {SETTINGS_FILE}")
    if _HUB_ID.fullmatch(name) and not name.startswith("."):
        return _download(name)
    names = ", ".join(built_in_models()) or "none in this install"
    raise ModelError(f"unknown model {name!r}: built-in models are {names}; or give a folder")


def read_settings(folder: str | Path) -> Settings:
    """Reads ``quickstep.json`` strictly.

    Raises:
        ModelError: no such file, not JSON, or a field that is unknown or of no allowed value.
    """
    path = Path(folder) / SETTINGS_FILE
    try:
        return from_dict(Settings, json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: {error}") from error


def load_model(
    name_or_path: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Loads a model: a built-in name, a model folder, a run folder, or a hub id.

    Args:
        name_or_path: see :func:`find_model`.
        device: where the parts go.
        dtype: of the network; the autoencoder and the image encoder stay in float32, because
            they run once per clip and their rounding would show.

    Raises:
        ModelError: no such model, or a folder that cannot be read, in one line.
    """
    folder = find_model(name_or_path)
    settings = read_settings(folder)
    network = _load_part(_NETWORKS[settings.family], folder / "unet", dtype)
    _load_empty_text(network, folder)
    home = find_model(settings.encoders_of) if settings.encoders_of else folder
    parts = {name: _load_part(kind, home / name, torch.float32) for name, kind in _PARTS.items()}
    card = folder / "README.md"
    return Model(
        network=network.to(device),
        vae=parts["vae"].to(device),
        image_encoder=parts["image_encoder"].to(device),
        schedule=settings.schedule.build(),
        settings=settings,
        name=str(name_or_path),
        card=card.read_text() if card.is_file() else "",
    )


def save_model(
    path: str | Path,
    *,
    parts: Mapping[str, nn.Module],
    settings: Settings,
    card: str,
    half: bool = False,
) -> Path:
    """Writes a model folder beside ``path`` and renames it into place: whole, or not at all.

    Args:
        path: the folder to make; a model folder already there is replaced, anything else kept.
        parts: ``unet``, ``vae`` and ``image_encoder``; with ``settings.encoders_of`` only the
            first is written.
        settings: what the model was made for.
        card: text of the model card.
        half: store the weights as float16, half the size; they load as any type.

    Raises:
        ValueError: a part is missing or unknown, a weight does not fit float16, or ``path`` is
            something other than a model folder.
    """
    path = Path(path)
    wanted = {"unet", *_PARTS}
    if set(parts) != wanted:
        raise ValueError(f"parts must be {sorted(wanted)}: got {sorted(parts)}")
    if path.exists() and not (path / SETTINGS_FILE).is_file():
        raise ValueError(f"{path} exists and is not a model folder: it is left as it is")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        _write_folder(beside, parts=parts, settings=settings, card=card, half=half)
        _swap_in(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return path


def _write_folder(
    folder: Path, *, parts: Mapping[str, Any], settings: Settings, card: str, half: bool
) -> None:
    folder.mkdir()
    index: dict[str, Any] = {"_class_name": "Animator"}
    own = {"unet": parts["unet"]} if settings.encoders_of else parts
    for name, part in sorted(own.items()):
        with _no_progress_bar():
            part.save_pretrained(folder / name, safe_serialization=True)
        if half:
            _halve(folder / name)
        index[name] = [type(part).__module__.split(".")[0], type(part).__name__]
    text = getattr(parts["unet"], "empty_text", None)
    if isinstance(text, torch.Tensor) and text.numel():
        save_file({"tokens": text.detach().cpu().contiguous()}, folder / EMPTY_TEXT_FILE)
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / SETTINGS_FILE).write_text(json.dumps(to_dict(settings), indent=2) + "\n")
    (folder / "README.md").write_text(card)


def _halve(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        halved = {}
        for key, value in load_file(path).items():
            halved[key] = value.half() if value.is_floating_point() else value
            if not bool(torch.isfinite(halved[key]).all()):
                raise ValueError(f"{key} of {folder.name} does not fit float16: save with half off")
        save_file(halved, path, metadata={"format": "pt"})


def _swap_in(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    path.rename(old)
    new.rename(path)
    shutil.rmtree(old)


def _load_part(kind: type[Any], folder: Path, dtype: torch.dtype) -> Any:
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    options["dtype" if kind is CLIPVisionModelWithProjection else "torch_dtype"] = dtype
    try:
        with _no_progress_bar():
            part = kind.from_pretrained(str(folder), **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{folder} cannot be loaded: {reason}") from error
    return part.eval().requires_grad_(False)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keeps transformers from drawing a bar for every part that is read or written."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def _load_empty_text(network: Any, folder: Path) -> None:
    path = folder / EMPTY_TEXT_FILE
    if path.is_file():
        tokens = load_file(path)["tokens"]
        network.set_empty_text(tokens)


def _download(name: str) -> Path:
    try:
        folder = Path(snapshot_download(name, allow_patterns=_HUB_FILES))
    except RepositoryNotFoundError as error:
        raise ModelError(f"unknown model {name!r}: no such folder, nor on the hub") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"unknown model {name!r}: no such folder, and the hub cannot be reached; "
            f"built-in models are {', '.join(built_in_models()) or 'none in this install'}"
        ) from error
    if not (folder / SETTINGS_FILE).is_file():
        raise ModelError(f"{name} on the hub is not a quickstep model: it has no {SETTINGS_FILE}")
    return folder


def with_settings(model: Model, **changes: Any) -> Model:
    """A copy of ``model`` whose settings differ in the fields given; the parts are shared."""
    return dataclasses.replace(model, settings=dataclasses.replace(model.settings, **changes))
