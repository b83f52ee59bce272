"""The runner on ONNX files with known answers: every number is worked out by hand."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from onnx_files import CROP, SIDE, finder_answer, reader_answer, write_constant

from quickstep.conditions.detection.crops import Crop
from quickstep.conditions.detection.detector import Detector
from quickstep.conditions.detection.sessions import DetectorError, DetectorFiles, load_detector

RNG = np.random.default_rng(0)
PLACES = np.stack([RNG.integers(0, 2 * side, 133) / 2 for side in CROP], axis=1)
SCORES = np.where(np.arange(133) % 7 == 0, 0.0, 0.2 + 0.005 * np.arange(133))
TWO = ((20.0, 30.0, 16.0, 24.0, 0.9), (44.0, 30.0, 8.0, 8.0, 0.5))


def pair(folder: Path, *, batch: int | str = "batch", boxes=TWO) -> DetectorFiles:
    finder = write_constant(
        folder / "finder.onnx", (batch, 3, SIDE, SIDE), {"output": finder_answer(*boxes)}
    )
    reader = write_constant(
        folder / "reader.onnx", (batch, 3, CROP[1], CROP[0]), reader_answer(PLACES, SCORES)
    )
    return DetectorFiles(finder=finder, reader=reader, name="tiny")


def frames(count: int) -> list[np.ndarray]:
    return [np.full((96, 128, 3), shade, np.uint8) for shade in range(count)]


@pytest.mark.parametrize("batch", ["batch", 1])
def test_people_are_where_the_answers_say(tmp_path: Path, batch: int | str):
    found = list(load_detector(pair(tmp_path, batch=batch), threads=1).people(frames(11)))
    assert [len(people) for people in found] == [2] * 11
    scale = SIDE / 128
    for people in found:
        np.testing.assert_allclose(people.certainty, [0.9, 0.5], rtol=1e-6)
        boxes = [[12, 18, 28, 42], [40, 26, 48, 34]]
        np.testing.assert_allclose(people.boxes, np.array(boxes) / scale, rtol=1e-5)
        for person in range(2):
            crop = Crop.round_box(people.boxes[person], CROP)
            sides = np.array(crop.sides)
            marked = SCORES > 0
            expected = PLACES / CROP * sides + crop.centre - sides / 2
            np.testing.assert_allclose(
                people.keypoints[person][marked], expected[marked], rtol=1e-4
            )
            np.testing.assert_allclose(people.scores[person], SCORES, rtol=1e-5)


def test_nobody_is_nobody_and_not_the_whole_picture(tmp_path: Path):
    found = list(load_detector(pair(tmp_path, boxes=()), threads=1).people(frames(2)))
    assert [len(people) for people in found] == [0, 0]
    assert found[0].keypoints.shape == (0, 133, 2)


def test_the_threshold_is_the_callers(tmp_path: Path):
    detector = load_detector(pair(tmp_path), threads=1)
    assert [len(one) for one in detector.people(frames(1), threshold=0.6)] == [1]


def test_networks_see_blue_first_and_normalised_crops():
    seen = {}

    def find(squares: np.ndarray) -> np.ndarray:
        seen["square"] = squares
        return np.repeat(finder_answer(TWO[0])[None], len(squares), axis=0)

    def read(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen["crop"] = crops
        answer = reader_answer(PLACES, SCORES)
        return answer["simcc_x"][None], answer["simcc_y"][None]

    red = np.zeros((SIDE, SIDE, 3), np.uint8)
    red[..., 0] = 200
    list(Detector(find, read, side=SIDE, crop=CROP).people([red]))
    assert seen["square"][0, :, 0, 0].tolist() == [0, 0, 200]
    middle = seen["crop"][0, :, CROP[1] // 2, CROP[0] // 2]
    np.testing.assert_allclose(
        middle, [-123.675 / 58.395, -116.28 / 57.12, (200 - 103.53) / 57.375], rtol=1e-5
    )


def test_a_crowd_is_bounded(tmp_path: Path):
    crowd = [(8.0 * x + 4, 8.0 * y + 4, 6.0, 6.0, 0.9) for x in range(8) for y in range(8)]
    found = list(load_detector(pair(tmp_path, boxes=crowd), threads=1).people(frames(1)))
    assert len(found[0]) == 10


def test_the_origin_names_both_files_by_their_bytes(tmp_path: Path):
    files = pair(tmp_path)
    origin = json.loads(files.origin())
    assert origin["detector"] == "tiny"
    digest = hashlib.sha256(files.reader.read_bytes()).hexdigest()
    assert origin["reader"] == {"file": "reader.onnx", "sha256": digest}


def test_files_that_are_no_networks_are_named(tmp_path: Path):
    files = pair(tmp_path)
    files.finder.write_bytes(b"no network")
    with pytest.raises(DetectorError, match=r"finder\.onnx: not an ONNX file that can be run"):
        load_detector(files)
    files.finder.write_bytes(b"")
    with pytest.raises(DetectorError, match=r"finder\.onnx: not an ONNX file that can be run"):
        load_detector(files)
    files.finder.unlink()
    with pytest.raises(DetectorError, match=r"finder\.onnx: no such file"):
        load_detector(files)


def test_networks_in_each_others_place_are_named(tmp_path: Path):
    files = pair(tmp_path)
    with pytest.raises(DetectorError, match=r"reader\.onnx: not a finder of people"):
        load_detector(DetectorFiles(finder=files.reader, reader=files.finder, name="wrong"))
    with pytest.raises(DetectorError, match=r"finder\.onnx: not a reader of 133 keypoints"):
        load_detector(DetectorFiles(finder=files.finder, reader=files.finder, name="wrong"))


def test_a_reader_of_other_keypoints_is_named(tmp_path: Path):
    files = pair(tmp_path)
    answer = {name: value[:17] for name, value in reader_answer(PLACES, SCORES).items()}
    write_constant(files.reader, ("batch", 3, CROP[1], CROP[0]), answer)
    with pytest.raises(DetectorError, match=r"133 x 48 and 133 x 64.*\[17, 48\]"):
        load_detector(files)


def test_a_provider_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(DetectorError, match="cannot run on 'tpu' here, only by .*CPU"):
        load_detector(pair(tmp_path), device="tpu")
