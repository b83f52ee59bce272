"""Model folders: the diffusers layout, and ``quickstep.json`` with what the model was made for.

A folder holds one sub-folder per part (``unet``, ``vae``, ``image_encoder``), each with its
``config.json`` and safetensors, ``model_index.json``, ``quickstep.json`` (:class:`Settings`) and
the model card ``README.md``. Weights are read from safetensors only, never from a pickle.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.utils import logging as diffusers_bars
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPVisionModelWithProjection
from transformers.utils import logging as transformers_bars

from quickstep.config import from_dict, to_dict
from quickstep.diffusion.schedule import Schedule
from quickstep.files import folder_written_beside
from quickstep.networks.accelerator import network_digest, read_accelerator, write_accelerator
from quickstep.networks.adapters import Adapted
from quickstep.networks.cards import with_head, without_head
from quickstep.networks.families import NETWORKS, network_parts, whole_network
from quickstep.networks.hub import HubError, fetch, is_hub_id
from quickstep.networks.settings import ScheduleSettings, Settings

__all__ = [
    "Model",
    "ModelError",
    "ScheduleSettings",
    "Settings",
    "built_in_models",
    "find_model",
    "load_model",
    "read_settings",
    "save_model",
]

BUILT_IN = Path(__file__).resolve().parents[1] / "models"
ALIASES = {"dancer": "dancer-unianimate"}
"""The best student of all families has a name of its own."""
SETTINGS_FILE = "quickstep.json"
EMPTY_TEXT_FILE = "empty_text.safetensors"
_DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
_PARTS: dict[str, type[Any]] = {
    "vae": AutoencoderKL,
    "image_encoder": CLIPVisionModelWithProjection,
}


class ModelError(ValueError):
    """A model that cannot be found or read; the message is one line for the user."""


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
        place: where it runs, if its weights wait elsewhere between their uses.
    """

    network: Any
    vae: AutoencoderKL
    image_encoder: CLIPVisionModelWithProjection
    schedule: Schedule
    settings: Settings
    name: str
    card: str = ""
    place: torch.device | None = None

    @property
    def device(self) -> torch.device:
        """Where it runs: what the parts are told must be there."""
        return self.place or next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the network."""
        return next(self.network.parameters()).dtype

    @property
    def parts(self) -> dict[str, Any]:
        """All networks by the names of their folders."""
        encoders = {"vae": self.vae, "image_encoder": self.image_encoder}
        return {**network_parts(self.network), **encoders}


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
    if is_hub_id(name):
        return _fetched(name)
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
    dtype: torch.dtype | None = torch.float32,
    teacher: str | Path | None = None,
    fuse: bool = True,
) -> Model:
    """Loads a model: a built-in name, a model folder, a run folder, or a hub id.

    An accelerator is put on the teacher it names, whose weights must be the ones it was made for.

    Args:
        name_or_path: see :func:`find_model`.
        device: where the parts go.
        dtype: of the network, None for what it is stored in; the autoencoder and the image encoder
            are in float32, because they run once per clip and their rounding would show. Weights
            of the type they are stored in stay in their file, from which the system reads them as
            they are used; others are copies.
        teacher: of an accelerator, where its teacher is instead of where the folder says.
        fuse: merge an accelerator into the teacher's weights: a full student, whose steps cost no
            more. Without, the network is an `Adapted` one whose base is the teacher.

    Raises:
        ModelError: no such model, or a folder that cannot be read, in one line.
    """
    folder = find_model(name_or_path)
    settings = read_settings(folder)
    base = _base_of(folder, settings, teacher=teacher)
    exact = torch.float32 if settings.teacher else dtype
    network = _load_network(base, read_settings(base), exact)
    if settings.teacher:
        network = _accelerated(network, folder, settings, fuse=fuse)
        if dtype is not None:
            nn.Module.to(network, dtype)  # diffusers' own warns of every change of type
        settings = replace(settings, teacher="", teacher_digest="") if fuse else settings
    encoders_of = read_settings(base).encoders_of
    home = find_model(encoders_of) if encoders_of else base
    parts = {name: _load_part(kind, home / name, torch.float32) for name, kind in _PARTS.items()}
    card = folder / "README.md"
    return Model(
        network=network.to(device),
        vae=parts["vae"].to(device),
        image_encoder=parts["image_encoder"].to(device),
        schedule=settings.schedule.build(),
        settings=settings,
        name=str(name_or_path),
        card=without_head(card.read_text()) if card.is_file() else "",
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
        parts: ``unet`` and what else is of the family's network (`network_parts`), ``vae`` and
            ``image_encoder``. What ``settings.encoders_of`` and ``reference_of`` name is not
            written, and of an `Adapted` network only what its teacher lacks.
        settings: what the model was made for.
        card: text of the model card.
        half: store the weights as float16, half the size; they load as any type.

    Raises:
        ValueError: a part is missing or unknown, a weight does not fit float16, or ``path`` is
            something other than a model folder.
    """
    wanted = {*NETWORKS[settings.family], *_PARTS}
    if set(parts) != wanted:
        raise ValueError(f"parts must be {sorted(wanted)}: got {sorted(parts)}")
    if isinstance(parts["unet"], Adapted) != bool(settings.teacher):
        raise ValueError("settings.teacher is for an adapted network, and needed for one")
    with new_model_folder(path) as folder:
        _write_folder(folder, parts=parts, settings=settings, card=card, half=half)
    return Path(path)


@contextmanager
def new_model_folder(path: str | Path) -> Iterator[Path]:
    """A folder beside ``path`` that takes its place at the end of the ``with``: whole, or not.

    Args:
        path: the folder to make; a model folder already there is replaced, anything else kept.

    Raises:
        ValueError: ``path`` is something other than a model folder.
    """
    path = Path(path)
    if path.exists() and not (path / SETTINGS_FILE).is_file():
        raise ValueError(f"{path} exists and is not a model folder: it is left as it is")
    with folder_written_beside(path) as beside:
        yield beside


def describe_folder(
    folder: Path, *, classes: Mapping[str, type], settings: Settings, card: str
) -> None:
    """Writes the files that make a folder of parts a model folder, ``quickstep.json`` the last.

    Args:
        folder: where the parts' folders are.
        classes: of the parts, by their folder's name.
        settings: what the model was made for.
        card: text of the model card; its head, which the hub reads, is written from the settings.
    """
    index: dict[str, Any] = {"_class_name": "Animator"}
    for name, kind in sorted(classes.items()):
        index[name] = [kind.__module__.split(".")[0], kind.__name__]
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / "README.md").write_text(with_head(card, settings))
    (folder / SETTINGS_FILE).write_text(json.dumps(to_dict(settings), indent=2) + "\n")


def _write_folder(
    folder: Path, *, parts: Mapping[str, Any], settings: Settings, card: str, half: bool
) -> None:
    own = {name: part for name, part in parts.items() if not _home_elsewhere(name, settings)}
    if isinstance(parts["unet"], Adapted):
        own = {}
        write_accelerator(folder, parts["unet"], half=half)
    for name, part in own.items():
        with _no_progress_bar():
            part.save_pretrained(folder / name, safe_serialization=True)
        if half:
            _halve(folder / name)
    text = getattr(parts["unet"], "empty_text", None)
    if isinstance(text, torch.Tensor) and text.numel():
        save_file({"tokens": text.detach().cpu().contiguous()}, folder / EMPTY_TEXT_FILE)
    classes = {name: type(part) for name, part in own.items()}
    describe_folder(folder, classes=classes, settings=settings, card=card)


def _halve(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        halved = {}
        for key, value in load_file(path).items():
            halved[key] = value.half() if value.is_floating_point() else value
            if not bool(torch.isfinite(halved[key]).all()):
                raise ValueError(f"{key} of {folder.name} does not fit float16: save with half off")
        save_file(halved, path, metadata={"format": "pt"})


def _load_part(kind: type[Any], folder: Path, dtype: torch.dtype | None) -> Any:
    dtype = _stored_dtype(folder) if dtype is None else dtype
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": True}
    options["dtype" if kind is CLIPVisionModelWithProjection else "torch_dtype"] = dtype
    try:
        with _no_progress_bar():
            part = kind.from_pretrained(str(folder), **options)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{folder} cannot be loaded: {reason}") from error
    return part.eval().requires_grad_(False)


def _stored_dtype(folder: Path) -> torch.dtype:
    """The type of most of a part's weights."""
    found: Counter[torch.dtype] = Counter()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for each in (value for key, value in header.items() if key != "__metadata__"):
            first, last = each["data_offsets"]
            found[_DTYPES[each["dtype"]]] += last - first
    return found.most_common(1)[0][0] if found else torch.float32


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    """Keeps transformers and diffusers from drawing bars for parts that are read or written."""
    drawing = [
        each for each in (transformers_bars, diffusers_bars) if each.is_progress_bar_enabled()
    ]
    for each in drawing:
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each in drawing:
            each.enable_progress_bar()


def _base_of(folder: Path, settings: Settings, *, teacher: str | Path | None) -> Path:
    """The folder with the network's weights: an accelerator's are its teacher's."""
    if not settings.teacher:
        if teacher is not None:
            raise ModelError(f"{folder} is no accelerator: it takes no teacher (got {teacher})")
        return folder
    try:
        return find_model(teacher or settings.teacher)
    except ModelError as error:
        raise ModelError(f"{folder} is an accelerator and needs its teacher: {error}") from error


def _accelerated(network: nn.Module, folder: Path, settings: Settings, *, fuse: bool) -> Any:
    found = network_digest(network)
    if found != settings.teacher_digest:
        raise ModelError(
            f"{folder} was made for a teacher with the weights {settings.teacher_digest}, "
            f"{settings.teacher}: got one with {found}"
        )
    parts = network_parts(network)
    try:
        student = read_accelerator(folder, parts["unet"])
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} cannot be loaded: {error}") from error
    return whole_network({**parts, "unet": student.fuse() if fuse else student})


def _load_network(base: Path, settings: Settings, dtype: torch.dtype | None) -> Any:
    parts = {}
    for name, kind in NETWORKS[settings.family].items():
        elsewhere = _home_elsewhere(name, settings)
        parts[name] = _load_part(kind, (find_model(elsewhere) if elsewhere else base) / name, dtype)
    _load_empty_text(parts["unet"], base)
    return whole_network(parts)


def _home_elsewhere(part: str, settings: Settings) -> str:
    """The model that a part is of, where that is another one."""
    if part in _PARTS:
        return settings.encoders_of
    return "" if part == "unet" else settings.reference_of


def _load_empty_text(network: Any, folder: Path) -> None:
    path = folder / EMPTY_TEXT_FILE
    if path.is_file():
        tokens = load_file(path)["tokens"]
        network.set_empty_text(tokens)


def _fetched(name: str) -> Path:
    try:
        folder = fetch(name)
    except HubError as error:
        names = ", ".join(built_in_models()) or "none in this install"
        raise ModelError(f"{error}; built-in models are {names}") from error
    if not (folder / SETTINGS_FILE).is_file():
        raise ModelError(f"{name} on the hub is not a quickstep model: it has no {SETTINGS_FILE}")
    return folder
