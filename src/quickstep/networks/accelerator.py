"""Accelerator files: what turns a teacher into its few-step student, small enough to hand round.

A folder holds ``pytorch_lora_weights.safetensors`` (low-rank matrices only, named as peft and
diffusers name them, their scale multiplied in), ``quickstep_extras.safetensors`` when the student
has parts its teacher lacks, and ``unet/config.json``, the settings of the student's network.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from quickstep.networks.adapters import Adapted
from quickstep.networks.extension import added_parts, extended

LORA_FILE = "pytorch_lora_weights.safetensors"
EXTRAS_FILE = "quickstep_extras.safetensors"
_PREFIX = "unet."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


def write_accelerator(folder: Path, student: Adapted, *, half: bool = False) -> None:
    """Writes a student's own weights into an existing folder.

    Args:
        folder: where to.
        student: the adapted network.
        half: store them as float16.

    Raises:
        ValueError: a weight does not fit float16.
    """
    lora: dict[str, Tensor] = {}
    for name, low_rank in student.low_ranks().items():
        lora[f"{_PREFIX}{name}{_DOWN}"] = low_rank.lora_A.weight
        lora[f"{_PREFIX}{name}{_UP}"] = low_rank.scale * low_rank.lora_B.weight
    _save(lora, folder / LORA_FILE, half=half)
    extras = dict(student.extras.named_parameters())
    if extras:
        _save(extras, folder / EXTRAS_FILE, half=half)
    student.base.save_config(folder / "unet")


def read_accelerator(folder: Path, teacher: nn.Module) -> Adapted:
    """Puts the accelerator of a folder on a teacher's denoising network, which it shares.

    Raises:
        OSError: a file is missing.
        ValueError: the files belong to another network; one line.
    """
    ranks = {
        name.removeprefix(_PREFIX).removesuffix(_DOWN): len(value)
        for name, value in load_file(folder / LORA_FILE).items()
        if name.endswith(_DOWN)
    }
    base = extended(teacher, **_added_settings(folder / "unet" / "config.json", teacher))
    student = Adapted(base, ranks, new=added_parts(teacher, base))
    load_accelerator(folder, student)
    return student.eval().requires_grad_(False)


@torch.no_grad()
def load_accelerator(folder: Path, student: Adapted) -> None:
    """Gives an adapted network the weights of a folder.

    Raises:
        OSError: a file is missing.
        ValueError: the files belong to another network; one line.
    """
    lora = load_file(folder / LORA_FILE)
    extras = load_file(folder / EXTRAS_FILE) if (folder / EXTRAS_FILE).is_file() else {}
    weights = {f"adapter.{name.removeprefix(_PREFIX)}": value for name, value in lora.items()}
    weights |= {f"extras.{name}": value for name, value in extras.items()}
    try:
        student.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the accelerator is of another network: {reason[:300]}") from error
    for low_rank in student.low_ranks().values():
        low_rank.lora_B.weight.div_(low_rank.scale)  # the files have it multiplied in


def network_digest(network: nn.Module) -> str:
    """Twelve hexadecimal digits that name a network's weights, rounded to float16.

    So a teacher and the same teacher exported at half the size have one name.
    """
    total = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        total.update(key.encode())
        total.update(value.detach().half().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:12]


def _added_settings(path: Path, teacher: nn.Module) -> dict[str, Any]:
    """Settings of the student's network that its teacher's has other values for."""
    config: Any = teacher.config
    wanted = json.loads(path.read_text())
    return {
        name: value
        for name, value in wanted.items()
        if not name.startswith("_") and _plain(config.get(name)) != value
    }


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _save(weights: Mapping[str, Tensor], path: Path, *, half: bool) -> None:
    packed = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    if half:
        packed = {name: value.half() for name, value in packed.items()}
    for name, value in packed.items():
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"{name} does not fit float16: save with half off")
    save_file(packed, path, metadata={"format": "pt"})
