"""Tiny ONNX files with DWPose's interface and answers known beforehand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CROP, CELLS = 64, (24, 32), 84


def write_constant(
    path: Path,
    shape: tuple[int | str, int, int, int],
    outputs: dict[str, np.ndarray],
) -> Path:
    """A network that always answers the same for each picture of a batch.

    The constants are added to the picture's mean times zero, so that every row of a batch has its
    own and the input is used.
    """
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "axes"], ["column"]),
    ]
    constants = [
        numpy_helper.from_array(np.zeros((), np.float32), "zero"),
        numpy_helper.from_array(np.array([1, 2]), "axes"),
    ]
    described = []
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value[None].astype(np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Add", ["column", f"{name}_value"], [name]))
        described.append(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [shape[0], *value.shape])
        )
    picture = helper.make_tensor_value_info("input", TensorProto.FLOAT, list(shape))
    graph = helper.make_graph(nodes, "constant", [picture], described, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def finder_answer(*boxes: tuple[float, float, float, float, float]) -> np.ndarray:
    """YOLOX's raw answer for boxes of (centre x, centre y, width, height, score) in its square.

    Each box is told by the cell of stride 8 that holds its centre; all other cells are empty.
    """
    answer = np.zeros((CELLS, 85), dtype=np.float32)
    for x, y, width, height, score in boxes:
        column, row = int(x // 8), int(y // 8)
        cell = answer[row * (SIDE // 8) + column]
        cell[:2] = x / 8 - column, y / 8 - row
        cell[2:4] = np.log(width / 8), np.log(height / 8)
        cell[4], cell[5] = score, 1.0
    return answer


def reader_answer(places: np.ndarray, scores: np.ndarray) -> dict[str, np.ndarray]:
    """SimCC scores that are highest at given places of the crop, multiples of half a pixel."""
    across = np.zeros((133, CROP[0] * 2), dtype=np.float32)
    down = np.zeros((133, CROP[1] * 2), dtype=np.float32)
    for point, ((x, y), score) in enumerate(zip(places, scores, strict=True)):
        across[point, round(x * 2)] = score
        down[point, round(y * 2)] = score + 0.05 * (score > 0)
    return {"simcc_x": across, "simcc_y": down}
