"""The detector's two networks from ONNX files, run by onnxruntime."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from quickstep.conditions.detection.crops import BINS
from quickstep.conditions.detection.detector import Detector
from quickstep.conditions.order import NUM_KEYPOINTS

INSTALL = "pip install 'quickstep[poses]'"

_BATCH = 8
_CELL = 85
_ANY = -1
_ON_THE_CPU = "CPUExecutionProvider"
_PROVIDERS = {"cpu": _ON_THE_CPU, "cuda": "CUDAExecutionProvider"}


class DetectorError(ValueError):
    """A detector that cannot be found or run; the message is one line."""


@dataclass(frozen=True)
class DetectorFiles:
    """Two ONNX files that belong together.

    Attributes:
        finder: finds people; YOLOX's interface, as ``yolox_l.onnx``.
        reader: reads a person's keypoints; RTMPose's with SimCC, as ``dw-ll_ucoco_384.onnx``.
        name: what the pair is called.
    """

    finder: Path
    reader: Path
    name: str

    def origin(self) -> str:
        """Name and sha256 of both files as JSON, to be kept with what they found."""
        files = {"finder": self.finder, "reader": self.reader}
        described = {
            role: {"file": path.name, "sha256": _sha256(path)} for role, path in files.items()
        }
        return json.dumps({"detector": self.name, **described})


def load_detector(files: DetectorFiles, *, device: str = "cpu", threads: int = 0) -> Detector:
    """Makes a detector of two ONNX files.

    Pictures and crops are asked in batches where a file's first axis is free, else one by one.

    Args:
        files: the files.
        device: ``cpu``, or ``cuda`` for onnxruntime's GPU provider.
        threads: of the CPU; 0 takes all of its cores.

    Raises:
        DetectorError: onnxruntime is missing or has no such provider, or a file is missing, is
            no ONNX file, or has another interface; one line.
    """
    finder = _Network(files.finder, device=device, threads=threads)
    reader = _Network(files.reader, device=device, threads=threads)
    height, width = finder.picture_size
    if height != width or not finder.gives([[_ANY, _CELL]]):
        raise DetectorError(
            f"{files.finder}: not a finder of people: it needs a square input and one output of "
            f"{_CELL} numbers a cell, as yolox_l.onnx: got {finder.interface}"
        )
    size = reader.picture_size
    if not reader.gives([[NUM_KEYPOINTS, BINS * size[1]], [NUM_KEYPOINTS, BINS * size[0]]]):
        raise DetectorError(
            f"{files.reader}: not a reader of {NUM_KEYPOINTS} keypoints: its outputs must be "
            f"{NUM_KEYPOINTS} x {BINS * size[1]} and {NUM_KEYPOINTS} x {BINS * size[0]}, as "
            f"dw-ll_ucoco_384.onnx's: got {reader.interface}"
        )

    def find(squares: np.ndarray) -> np.ndarray:
        return finder(squares)[0]

    def read(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        across, down = reader(crops)
        return across, down

    return Detector(find, read, side=height, crop=(size[1], size[0]), batch=_BATCH)


def usable_device(device: str) -> str:
    """``cuda`` when that is asked for and onnxruntime here can do it, else ``cpu``."""
    try:
        import onnxruntime
    except ImportError:
        return "cpu"
    return device if _PROVIDERS.get(device) in onnxruntime.get_available_providers() else "cpu"


class _Network:
    """One ONNX file with one picture for input."""

    def __init__(self, path: Path, *, device: str, threads: int):
        self.path = path
        self.session = _session(path, device=device, threads=threads)
        inputs = self.session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        fixed = len(shape) == 4 and all(isinstance(side, int) for side in shape[2:])
        if len(inputs) != 1 or not fixed or shape[1] != 3 or inputs[0].type != "tensor(float)":
            raise DetectorError(
                f"{path}: its input must be one float picture of 3 channels and fixed size: "
                f"got {[one.shape for one in inputs]}"
            )
        self.input_name = inputs[0].name
        self.picture_size: tuple[int, int] = (shape[2], shape[3])
        self.one_by_one = isinstance(shape[0], int)
        outputs = self.session.get_outputs()
        self.output_names = [one.name for one in outputs]
        self.output_shapes = [list(one.shape)[1:] for one in outputs]

    def gives(self, wanted: list[list[int]]) -> bool:
        """Whether the outputs have these shapes; a file may leave any side open."""
        return len(self.output_shapes) == len(wanted) and all(
            len(shape) == len(sides)
            and all(
                not isinstance(side, int) or needed in (side, _ANY)
                for side, needed in zip(shape, sides, strict=True)
            )
            for shape, sides in zip(self.output_shapes, wanted, strict=True)
        )

    @property
    def interface(self) -> str:
        """Input and outputs, for a person to read."""
        return f"input {list(self.picture_size)}, outputs {self.output_shapes}"

    def __call__(self, pictures: np.ndarray) -> list[np.ndarray]:
        """The outputs of a batch."""
        if not self.one_by_one or len(pictures) == 1:
            return self._asked(pictures)
        answers = [self._asked(pictures[one : one + 1]) for one in range(len(pictures))]
        return [np.concatenate(outputs) for outputs in zip(*answers, strict=True)]

    def _asked(self, pictures: np.ndarray) -> list[np.ndarray]:
        answer: Sequence[Any] = self.session.run(self.output_names, {self.input_name: pictures})
        return [np.asarray(output) for output in answer]


def _session(path: Path, *, device: str, threads: int) -> Any:
    try:
        import onnxruntime

        states = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except ImportError as error:
        raise DetectorError(f"finding poses needs onnxruntime: {INSTALL}") from error
    if not path.is_file():
        raise DetectorError(f"{path}: no such file")
    provider = _PROVIDERS.get(device, "")
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise DetectorError(
            f"onnxruntime cannot run on {device!r} here, only by {', '.join(available)}; "
            "for a GPU: pip install onnxruntime-gpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    broken = (states.Fail, states.InvalidProtobuf, states.InvalidGraph, states.InvalidArgument)
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=list(dict.fromkeys([provider, _ON_THE_CPU]))
        )
    except (*broken, states.NotImplemented, states.RuntimeException) as error:
        raise DetectorError(f"{path}: not an ONNX file that can be run") from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
