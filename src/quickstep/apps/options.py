"""Options that read the same in every command, and the checks made before any work is done."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import tyro

if TYPE_CHECKING:
    import torch

    from quickstep.conditions.detection.tracking import Choice
    from quickstep.data.footage import Search

Device: TypeAlias = Annotated[
    str, tyro.conf.arg(help="where to run; 'auto' takes the accelerator if there is one")
]
DtypeName: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]
Dtype: TypeAlias = Annotated[
    DtypeName,
    tyro.conf.arg(help="number type of the network; 'auto' is float32 on a CPU, else bfloat16"),
]
Json: TypeAlias = Annotated[
    bool, tyro.conf.arg(help="print one JSON object on stdout when done", name="json")
]
OffloadName: TypeAlias = Annotated[
    Literal["none", "model", "group"],
    tyro.conf.arg(
        help="weights that wait on the CPU while an accelerator works: those of parts not in use "
        "('model'), or of all layers but one ('group': least memory, slow)"
    ),
]
VaeSlicing: TypeAlias = Annotated[
    bool, tyro.conf.arg(help="decode frames one by one, for less memory")
]
VaeTiling: TypeAlias = Annotated[
    bool,
    tyro.conf.arg(
        help="encode and decode pictures in overlapping tiles, for less memory; changes them a bit"
    ),
]
Detector: TypeAlias = Annotated[
    str,
    tyro.conf.arg(
        metavar="NAME",
        help="what finds poses in footage: 'dancer' (built in, knows procedural dancers only), "
        "'dwpose' (two files of yours), a folder or hub id, or FINDER.onnx,READER.onnx",
    ),
]
Person: TypeAlias = Annotated[
    str,
    tyro.conf.arg(
        metavar="WHO",
        help="who of several people: 'largest', a number from the left from 0, a point X,Y or a "
        "box X0,Y0,X1,Y1 in pixels of the first frame that shows people",
    ),
]


def read_person(text: str) -> "Choice":
    """Who is followed, from an option's text.

    Raises:
        ValueError: it is none of the forms.

    Example:
        >>> read_person("largest"), read_person("1"), read_person("30,40.5")
        ('largest', 1, (30.0, 40.5))
    """
    if text == "largest":
        return "largest"
    words = text.split(",")
    try:
        if len(words) == 1 and int(text) >= 0:
            return int(text)
        numbers = tuple(float(word) for word in words)
    except ValueError:
        numbers = ()
    if len(numbers) in (2, 4) and all(map(math.isfinite, numbers)):
        return numbers  # type: ignore[return-value]
    raise ValueError(f"--person must be largest, a number from 0, X,Y or X0,Y0,X1,Y1: got {text!r}")


def search_of(detector: str, person: str, *, device: str, **options: float) -> "Search":
    """How poses are found in footage, from options; a GPU is used where onnxruntime has one."""
    from quickstep.conditions.detection.sessions import usable_device
    from quickstep.data.footage import Search

    return Search(
        detector=detector,
        person=read_person(person),
        device=usable_device(device),
        threads=int(os.environ.get("OMP_NUM_THREADS", "0") or 0),
        **options,
    )


def chosen_device(name: str) -> "torch.device":
    """The device that a name stands for.

    Raises:
        ValueError: no such device on this machine.
    """
    import torch

    if name == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"--device must be auto or one of this machine: got {name!r}") from error
    return device


def chosen_dtype(name: DtypeName, device: "torch.device") -> "torch.dtype":
    """The number type that a name stands for on a device."""
    import torch

    if name == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return getattr(torch, name)


def check_output(path: Path, *, suffixes: Sequence[str], inputs: Sequence[Path] = ()) -> None:
    """Refuses an output that could not be written, before the work and not after it.

    Raises:
        ValueError: another suffix, or the file is one of the inputs.
        OSError: it is a folder, or its folder cannot be written to.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: the output must end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if any(path.resolve() == other.resolve() for other in inputs):
        raise ValueError(f"{path} is an input: writing it would destroy it")
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Refuses a folder that cannot be made or written to; makes nothing.

    Raises:
        OSError: a part of the path is a file, or writing is not permitted.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise NotADirectoryError(f"{existing} is a file: {folder} cannot be made there")
    whose = {"effective_ids": os.access in os.supports_effective_ids}
    if not os.access(existing, os.W_OK | os.X_OK, **whose):
        raise PermissionError(f"{existing} cannot be written to")
