import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from quickstep.conditions.faces import (
    Face,
    detect_faces,
    face_crop,
    kept_boxes,
    largest_face,
    pyramid_scales,
)
from quickstep.data.image import read_image
from quickstep.networks.mtcnn import MTCNN, load_mtcnn

UPSTREAM_BOX = (181.1, 62.2, 267.7, 172.1)
UPSTREAM_EYES = ((205, 102), (247, 104))
"""What facenet-pytorch 2.6.0 finds on the astronaut, at a probability of 1.000."""


@pytest.fixture(scope="module")
def nets() -> MTCNN:
    return load_mtcnn()


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """Eileen Collins, NASA, public domain; 512x512."""
    return skimage.data.astronaut()


def at_side(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def test_astronauts_face_is_where_upstream_finds_it(nets: MTCNN, astronaut: np.ndarray):
    (face,) = detect_faces(astronaut, nets)
    np.testing.assert_allclose(face.box, UPSTREAM_BOX, atol=0.1)
    np.testing.assert_allclose(face.landmarks[:2], UPSTREAM_EYES, atol=0.6)
    assert face.probability > 0.999
    left, right, nose, mouth_left, mouth_right = np.array(face.landmarks)
    assert left[0] < nose[0] < right[0] and mouth_left[0] < nose[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


@pytest.mark.parametrize(
    ("side", "box"),
    [
        (200, (70.8, 25.0, 104.2, 67.5)),
        (256, (90.9, 31.5, 134.2, 88.3)),
        (700, (245.4, 89.6, 362.1, 235.6)),
    ],
)
def test_upstreams_box_at_other_sizes(
    nets: MTCNN, astronaut: np.ndarray, side: int, box: tuple[float, ...]
):
    (face,) = detect_faces(at_side(astronaut, side), nets)
    np.testing.assert_allclose(face.box, box, atol=0.1)


def test_the_same_picture_gives_the_same_faces(nets: MTCNN, astronaut: np.ndarray):
    small = at_side(astronaut, 200)
    assert detect_faces(small, nets) == detect_faces(small.copy(), nets)


def test_cocos_face_is_found_round_its_annotated_nose(nets: MTCNN, shared: Path):
    picture = read_image(shared / "media" / "coco785.jpg")
    notes = json.loads((shared / "media" / "coco785.json").read_text())
    nose = notes["annotations"][0]["keypoints"][:2]
    (face,) = detect_faces(picture, nets)
    np.testing.assert_allclose(face.landmarks[2], nose, atol=4.0)
    assert face.box[0] < nose[0] < face.box[2] and face.box[1] < nose[1] < face.box[3]


def test_several_faces_are_found_the_largest_first(nets: MTCNN, astronaut: np.ndarray):
    picture = np.full((420, 900, 3), 90, dtype=np.uint8)
    sides, corners = (160, 400, 260), (0, 180, 600)
    for side, corner in zip(sides, corners, strict=True):
        picture[:side, corner : corner + side] = at_side(astronaut, side)
    faces = detect_faces(picture, nets)
    assert len(faces) == 3
    for face, which in zip(faces, (1, 2, 0), strict=True):
        scale = sides[which] / 512
        expected = np.array(UPSTREAM_BOX) * scale + (corners[which], 0) * 2
        np.testing.assert_allclose(face.box, expected, atol=8 * scale + 1)
    assert largest_face(faces) == faces[0]


def test_a_face_cut_by_the_edge_keeps_its_place(nets: MTCNN, astronaut: np.ndarray):
    (face,) = detect_faces(np.ascontiguousarray(astronaut[80:, 195:]), nets)
    np.testing.assert_allclose(np.array(face.box) + (195, 80) * 2, UPSTREAM_BOX, atol=12)


@pytest.mark.parametrize("side", [0, 1, 5, 11, 12, 19, 20, 21, 33])
def test_tiny_pictures_hold_no_face(nets: MTCNN, astronaut: np.ndarray, side: int):
    picture = np.ascontiguousarray(astronaut[100 : 100 + side, 200 : 200 + side])
    assert detect_faces(picture, nets) == []
    assert detect_faces(np.zeros((side, 90, 3), dtype=np.uint8), nets) == []


@pytest.mark.parametrize("name", ["black", "grey", "white", "noise", "coffee", "chelsea"])
def test_pictures_without_a_face_give_none(nets: MTCNN, name: str):
    levels = {"black": 0, "grey": 127, "white": 255}
    if name in levels:
        picture = np.full((90, 120, 3), levels[name], dtype=np.uint8)
    elif name == "noise":
        picture = np.random.default_rng(0).integers(0, 256, (200, 160, 3), dtype=np.uint8)
    else:
        picture = getattr(skimage.data, name)()
    assert detect_faces(picture, nets) == []
    assert largest_face([]) is None


@pytest.mark.parametrize("mode", ["L", "RGBA", "F"])
def test_pictures_of_any_mode_come_through_the_reader(
    nets: MTCNN, astronaut: np.ndarray, tmp_path: Path, mode: str
):
    path = tmp_path / "picture.tiff"
    Image.fromarray(at_side(astronaut, 256)).convert(mode).save(path)
    (face,) = detect_faces(read_image(path), nets)
    np.testing.assert_allclose(face.box, np.array(UPSTREAM_BOX) / 2, atol=4.0)


def test_what_is_no_picture_is_refused(nets: MTCNN):
    picture = np.zeros((40, 40, 3), dtype=np.uint8)
    for wrong in (picture / 255.0, picture[..., 0], picture.repeat(2, axis=2)):
        with pytest.raises(ValueError, match=r"RGB bytes \(H, W, 3\): got"):
            inspect.unwrap(detect_faces)(wrong, nets)
    with pytest.raises(ValueError, match="min_face must be 12 pixels or more: got 11.5"):
        detect_faces(picture, nets, min_face=11.5)
    with pytest.raises(ValueError, match="min_probability must be from 0 to 1: got 95.0"):
        detect_faces(picture, nets, min_probability=95.0)
    with pytest.raises(ValueError, match="max_side must be 12 pixels or more: got 0"):
        detect_faces(picture, nets, max_side=0)


class Rectangles:
    """Networks that know where a bright rectangle is: faces with an exact answer.

    A crop is a face when its middle is bright, a window when its rim is dark as well; offsets lead
    to the rectangle: generous ones at first, so that the next crop holds all of it.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def propose(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.seen.append(picture.shape)
        windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], (12, 12))[::2, ::2]
        flat = windows.reshape(-1, 12, 12)
        probability, offsets = self._answers(flat)
        rim = np.concatenate([flat[:, [0, -1]], flat[:, :, [0, -1]].transpose(0, 2, 1)], axis=1)
        probability = probability * (rim.max(axis=(1, 2)) < 150)
        offsets = (12 * offsets + np.array([-2, -2, 1, 1])) / 11  # of a box from 1 to 12
        shape = windows.shape[:2]
        return probability.reshape(shape), offsets.reshape(*shape, 4).astype(np.float32)

    def refine(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.seen.append(crops.shape)
        probability, offsets = self._answers(crops[..., 0])
        return probability, offsets + np.array([-1, -1, 1, 1], dtype=np.float32) / 24

    def judge(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.seen.append(crops.shape)
        probability, offsets = self._answers(crops[..., 0], edge=0.5)
        box = offsets + np.array([0, 0, 1, 1], dtype=np.float32)
        middle = (box[:, None, :2] + box[:, None, 2:]) / 2
        return probability, offsets, np.repeat(middle, 5, axis=1)

    def _answers(self, grey: np.ndarray, edge: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
        side = grey.shape[1]
        light = (grey - 127.5).clip(0) / 127.5
        ends = []
        for axis in (1, 2):
            profile = light.max(axis=axis)
            along = profile > edge
            low = along.argmax(axis=1)
            high = side - along[:, ::-1].argmax(axis=1)
            ends.append((low, high))
        (top, bottom), (left, right) = ends[1], ends[0]
        offsets = np.stack([left, top, right - side, bottom - side], axis=1) / side
        bright = light[:, side // 2, side // 2]
        return (0.99 * bright).astype(np.float32), offsets.astype(np.float32)


@pytest.mark.parametrize("shape", [(140, 100), (97, 211), (400, 320)])
def test_the_cascade_keeps_track_of_places(shape: tuple[int, int]):
    height, width = shape
    box = (0.3 * width, 0.35 * height, 0.3 * width + 40, 0.35 * height + 47)
    picture = np.full((height, width, 3), 127, dtype=np.uint8)
    x0, y0, x1, y1 = (round(one) for one in box)
    picture[y0:y1, x0:x1] = 255
    (face,) = detect_faces(picture, Rectangles())
    # Counted from 1; crops are cut to whole pixels, which moves a box by up to one.
    np.testing.assert_allclose(face.box, (x0 + 1, y0 + 1, x1, y1), atol=1.5)
    np.testing.assert_allclose(face.landmarks, [((x0 + x1) / 2, (y0 + y1) / 2)] * 5, atol=1.5)


def test_a_large_picture_is_scaled_down_first_and_its_boxes_back():
    picture = np.full((900, 1500, 3), 127, dtype=np.uint8)
    picture[300:500, 600:780] = 255
    nets = Rectangles()
    (face,) = detect_faces(picture, nets, max_side=300)
    np.testing.assert_allclose(face.box, (605, 305, 780, 500), atol=5 * 1.75)
    assert max(nets.seen[0]) <= 300 * 12 / 20 + 1  # the pyramid rounds up


def test_a_picture_full_of_candidates_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("quickstep.conditions.faces.MOST_CANDIDATES", 30)

    class Eager(Rectangles):
        def _answers(self, grey: np.ndarray, edge: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
            ones = np.ones(len(grey), dtype=np.float32)
            return ones, np.zeros((len(grey), 4), dtype=np.float32)

    nets = Eager()
    assert detect_faces(np.zeros((100, 200, 3), dtype=np.uint8), nets)
    assert [shape[0] for shape in nets.seen if len(shape) == 4] == [30, 30]


def test_boxes_without_any_area_do_no_harm():
    class Collapsing(Rectangles):
        def _answers(self, grey: np.ndarray, edge: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
            offsets = np.tile(np.array([2, 2, -2, -2], dtype=np.float32), (len(grey), 1))
            return np.ones(len(grey), dtype=np.float32), offsets

    assert detect_faces(np.zeros((60, 60, 3), dtype=np.uint8), Collapsing()) == []


def test_faces_that_are_moved_out_of_the_picture_are_left_out():
    class Fleeing(Rectangles):
        def _answers(self, grey: np.ndarray, edge: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
            ones = np.ones(len(grey), dtype=np.float32)
            return ones, np.full((len(grey), 4), 9.0 * (grey.shape[1] == 48), dtype=np.float32)

    assert detect_faces(np.zeros((60, 60, 3), dtype=np.uint8), Fleeing()) == []


def test_suppression_by_hand():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 8], [2, 2, 5, 5], [20, 20, 30, 30]], dtype=float)
    scores = np.array([0.9, 0.8, 0.95, 0.1])
    # shares of the union: .8 of the first two, .09 and less of the third with them
    assert kept_boxes(boxes, scores, overlap=0.7).tolist() == [2, 0, 3]
    assert kept_boxes(boxes, scores, overlap=0.85).tolist() == [2, 0, 1, 3]
    # the third lies wholly inside the first two
    assert kept_boxes(boxes, scores, overlap=0.7, of_smaller=True).tolist() == [2, 3]
    assert kept_boxes(boxes[:0], scores[:0], overlap=0.7).tolist() == []


corner_and_size = st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 20)] * 2)


@settings(max_examples=60, deadline=None)
@given(corners=st.lists(corner_and_size, min_size=1, max_size=12), data=st.data())
def test_suppression_keeps_the_best_and_whatever_stays_is_apart(corners, data):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in corners], dtype=float)
    scores = np.array(data.draw(st.permutations(range(len(boxes)))), dtype=float)
    kept = kept_boxes(boxes, scores, overlap=0.4)
    assert kept[0] == scores.argmax()
    assert (np.diff(scores[kept]) < 0).all()
    ious = [[iou(boxes[one], boxes[other]) for other in kept] for one in range(len(boxes))]
    for one in range(len(boxes)):
        better = [share for share, other in zip(ious[one], kept, strict=True) if other != one]
        if one in kept:
            assert max(better, default=0) <= 0.4
        else:
            assert max(better) > 0.4


def iou(a: np.ndarray, b: np.ndarray) -> float:
    common = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common))


def test_the_pyramid_runs_from_the_smallest_face_to_the_shorter_side():
    scales = pyramid_scales(640, 480, min_face=20.0)
    assert scales[0] == 12 / 20
    np.testing.assert_allclose(np.divide(scales[1:], scales[:-1]), 0.709)
    assert 480 * scales[-1] >= 12 > 480 * scales[-1] * 0.709
    assert pyramid_scales(640, 19, min_face=20.0) == []


def ramps(height: int, width: int) -> np.ndarray:
    """Red grows by 1 a column, green by 1 a row."""
    row, column = np.mgrid[0:height, 0:width]
    return np.stack([column, row, 0 * row], axis=-1).astype(np.uint8)


def test_a_crop_of_its_own_size_is_the_pictures_pixels():
    picture = ramps(120, 90)
    crop = face_crop(picture, (20.0, 30.0, 60.0, 50.0), size=52)
    np.testing.assert_array_equal(crop, picture[14:66, 14:66])


def test_a_crop_is_centred_and_in_proportion():
    crop = face_crop(ramps(200, 220), (80.0, 90.0, 120.0, 130.0), size=104).astype(float)
    across, down = crop[52, :, 0], crop[:, 52, 1]
    place = 0.5 * (np.arange(104) + 0.5) - 0.5
    np.testing.assert_allclose(across[4:-4], 74 + place[4:-4], atol=0.75)
    np.testing.assert_allclose(down[4:-4], 84 + place[4:-4], atol=0.75)


@pytest.mark.parametrize("corner", [(-20.0, -15.0), (70.0, -15.0), (-20.0, 95.0), (70.0, 95.0)])
def test_a_crop_that_sticks_out_is_moved_inside(corner: tuple[float, float]):
    picture = ramps(120, 90)
    x, y = corner
    crop = face_crop(picture, (x, y, x + 40, y + 40), size=52)
    left, top = (0 if x < 0 else 90 - 52), (0 if y < 0 else 120 - 52)
    np.testing.assert_array_equal(crop, picture[top : top + 52, left : left + 52])


def test_a_picture_too_narrow_is_mirrored_at_its_edges():
    picture = ramps(120, 40)
    crop = face_crop(picture, (5.0, 30.0, 35.0, 70.0), size=52)  # 52 wide round column 20
    np.testing.assert_array_equal(crop[:, 6:46], picture[24:76])
    np.testing.assert_array_equal(crop[:, :6], crop[:, 7:13][:, ::-1])
    np.testing.assert_array_equal(crop[:, 46:], crop[:, 39:45][:, ::-1])


def test_a_crop_is_antialiased():
    board = (np.indices((260, 260)).sum(axis=0) % 2 * 255).astype(np.uint8)
    crop = face_crop(np.repeat(board[..., None], 3, axis=2), (30.0, 30.0, 230.0, 230.0), size=26)
    assert np.ptp(crop) <= 4 and abs(crop.mean() - 127.5) < 2


def test_the_astronauts_crop_holds_the_whole_face(nets: MTCNN, astronaut: np.ndarray):
    (face,) = detect_faces(astronaut, nets)
    crop = face_crop(astronaut, face.box)
    assert crop.shape == (256, 256, 3) and crop.dtype == np.uint8
    (again,) = detect_faces(crop, nets)
    np.testing.assert_allclose(np.add(again.box[:2], again.box[2:]) / 2, (128, 128), atol=8)
    assert again.box[3] - again.box[1] == pytest.approx(256 / 1.3, rel=0.1)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((10.0, 10.0, 10.0, 20.0), "x0 < x1"),
        ((100.0, 10.0, 120.0, 20.0), "touch the picture of 90x120"),
        ((10.0, -30.0, 20.0, 0.0), "touch the picture of 90x120"),
        ((float("nan"), 0.0, 1.0, 1.0), "four finite numbers"),
        ((1.0, 2.0, 3.0), "four finite numbers"),
        ((0.0, 0.0, 1e9, 1e9), "must not dwarf the picture of 90x120"),
    ],
)
def test_boxes_round_nothing_are_refused(box: tuple[float, ...], reason: str):
    with pytest.raises(ValueError, match=reason):
        face_crop(ramps(120, 90), box)


@pytest.mark.parametrize(("size", "margin"), [(0, 1.3), (64, 0.0), (64, float("nan"))])
def test_crops_of_no_size_are_refused(size: int, margin: float):
    with pytest.raises(ValueError, match="size and margin must be positive"):
        face_crop(ramps(120, 90), (10.0, 10.0, 20.0, 20.0), size=size, margin=margin)


def test_the_largest_face_is_the_one_with_most_pixels():
    faces = [Face((0.0, 0.0, w, h), 0.99, ()) for w, h in ((9.0, 4.0), (6.0, 7.0), (5.0, 5.0))]
    assert largest_face(faces) is faces[1]
