"""Networks written as ONNX files, their weights stored in half precision."""

import importlib.util
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

PACKAGES = ("onnx", "onnxscript")
_SMALL = 1024
"""Weights of fewer numbers stay as they are: they cost nothing."""


def check_onnx_export() -> None:
    """Refuses to begin what could not be exported in the end.

    Raises:
        ValueError: a package is missing, with how to install it.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ValueError(
            f"ONNX files need {' and '.join(missing)}: pip install {' '.join(PACKAGES)}"
        )


def write_onnx(
    network: nn.Module,
    path: Path,
    *,
    picture: tuple[int, int],
    argument: str,
    outputs: Sequence[str],
) -> None:
    """Writes a network of pictures, any number of them at once.

    Args:
        network: takes ``n 3 H W`` float32.
        path: the file.
        picture: (height, width) of a picture.
        argument: name of the argument of its `forward`.
        outputs: names of its outputs.
    """
    import onnx

    example = torch.zeros(2, 3, *picture)
    network = network.eval().cpu()
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                (example,),
                input_names=["input"],
                output_names=list(outputs),
                dynamic_shapes={argument: {0: torch.export.Dim("batch")}},
                dynamo=True,
                verbose=False,
            )
    finally:
        quiet.setLevel(level)
    assert program is not None
    model = program.model_proto
    _halve(model)
    for node in (*model.graph.node, *model.graph.input, *model.graph.output):
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.save(model, str(path))


def _halve(model: Any) -> None:
    """Stores large weights as float16, each behind a node that casts it back when it is loaded."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weights in model.graph.initializer:
        values = numpy_helper.to_array(weights)
        if weights.data_type != TensorProto.FLOAT or values.size < _SMALL:
            continue
        name = weights.name
        weights.CopyFrom(numpy_helper.from_array(values.astype("float16"), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
