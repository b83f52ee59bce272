"""Weight files of published networks: found, identified by their bytes, read safely, checked.

A number made with the wrong weights looks like any other, so nothing here guesses: a file is
refused unless every weight of the network is in it, of the right shape.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)
_HUB_FILE = re.compile(r"(\w[\w.-]*/\w[\w.-]*)/(\w[\w.-]*(?:/\w[\w.-]*)*)")
_DIGEST_IN_NAME = re.compile(r".*-([0-9a-f]{8,64})\.\w+")
_OPTIONAL = "num_batches_tracked"


class WeightsError(ValueError):
    """Weights that cannot be found, trusted or used; the message is one line and names the file."""


def find_weights(place: str | Path, public_name: str) -> Path:
    """The file of a network's weights.

    Args:
        place: the file, a folder that holds it by its public name, or a file on the hub as
            ``owner/repository/path``. What is on this machine goes first.
        public_name: what the authors call the file.

    Raises:
        WeightsError: no such file, here or on the hub.
    """
    local = Path(place).expanduser()
    if local.is_file():
        return local
    if local.is_dir():
        if (local / public_name).is_file():
            return local / public_name
        raise WeightsError(f"{local}: the folder has no {public_name}")
    on_hub = _HUB_FILE.fullmatch(str(place))
    if on_hub is None:
        raise WeightsError(f"{place}: no such file; give the path of {public_name}")
    try:
        return Path(hf_hub_download(on_hub[1], on_hub[2]))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise WeightsError(
            f"{place}: no such file, and not to be had from the hub; give the path of {public_name}"
        ) from error


def digest_of(path: Path, expected: str | None = None) -> str:
    """The sha256 of a file in hexadecimal, checked against what is known of it.

    Args:
        path: the file.
        expected: the digest it must have, whole or its first 8 digits or more. Without it, a name
            that ends like ``-6726825d.pth`` tells the first digits, as files of torch hub do.

    Raises:
        WeightsError: the file has another digest, or `expected` is none.
        OSError: the file cannot be read.
    """
    if expected is not None and not re.fullmatch(r"[0-9a-f]{8,64}", expected.lower()):
        raise WeightsError(f"a sha256 has 8 to 64 hexadecimal digits: got {expected!r}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    named = _DIGEST_IN_NAME.fullmatch(path.name)
    wanted = expected.lower() if expected else named[1] if named else ""
    if not digest.startswith(wanted):
        raise WeightsError(f"{path}: its sha256 is {digest}, but must be {wanted}")
    return digest


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a torch file that holds nothing but tensors.

    A checkpoint's entry ``state_dict`` is taken, and the prefix ``module.`` that data-parallel
    training leaves is dropped.

    Raises:
        WeightsError: the file is damaged, holds code, or holds no named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, IndexError) as error:
        raise WeightsError(f"{path}: not a weight file that can be read") from error
    except (UnpicklingError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: not a weight file, or one that holds more than tensors"
        ) from error
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        raise WeightsError(f"{path}: it holds no named tensors")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def load_network(
    build: Callable[[], Network], files: Sequence[Path], *, ignored: str = r"(?!)"
) -> Network:
    """A network with the weights of its files, in float32, for evaluation, gradients off.

    Batch norm's counters may be absent, as files older than PyTorch 0.4.1 have none.

    Args:
        build: makes the network; called on the meta device.
        files: which together hold every weight once.
        ignored: pattern of the names in the files that the network has no use for.

    Raises:
        WeightsError: a weight is missing, unknown, or of another shape; the message says which.
    """
    with torch.device("meta"):
        network = build()
    expected = network.state_dict()
    given: dict[str, Tensor] = {}
    for path in files:
        given |= read_weights(path)
    given = {key: value for key, value in given.items() if not re.match(ignored, key)}
    report = mismatch(expected, given)
    if report:
        raise WeightsError(f"{' + '.join(map(str, files))}: {report}")
    zero = torch.tensor(0)
    state = {key: _as_float32(given.get(key, zero)) for key in expected}
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def mismatch(expected: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """What is wrong with weights, in one line of at most three names a kind; empty if nothing.

    Example:
        >>> mismatch({"a": torch.zeros(2)}, {"a": torch.zeros(3), "b": torch.zeros(1)})
        '1 unknown weight (b); 1 weight of another shape (a is (3), not (2))'
    """
    missing = [key for key in expected if key not in given and not key.endswith(_OPTIONAL)]
    unknown = [key for key in given if key not in expected]
    odd = [
        f"{key} is {_shape(given[key])}, not {_shape(expected[key])}"
        for key in expected
        if key in given and given[key].shape != expected[key].shape
    ]
    parts = (
        _listed(missing, "missing weight{s} ({names})"),
        _listed(unknown, "unknown weight{s} ({names})"),
        _listed(odd, "weight{s} of another shape ({names})"),
    )
    return "; ".join(part for part in parts if part)


def _listed(names: list[str], text: str) -> str:
    if not names:
        return ""
    shown = ", ".join([*names[:3], *(["..."] if len(names) > 3 else [])])
    return f"{len(names)} " + text.format(s="s" if len(names) > 1 else "", names=shown)


def _shape(value: Tensor) -> str:
    return f"({', '.join(map(str, value.shape))})"


def _as_float32(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
