"""Skeleton pictures: poses drawn in the colours that the networks were trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8

from quickstep.conditions.openpose import OpenPoses
from quickstep.conditions.order import HAND_EDGES, JOINT_COLOURS, LIMBS
from quickstep.conditions.skeleton import Poses

Style = Literal["dwpose", "unianimate"]
Stroke = Literal["upstream", "scaled"]
Colour = tuple[int, int, int]

LIMB_SHADE = 0.6
"""Limbs are drawn at this share of their joint's colour."""

LIMB_COLOURS: tuple[Colour, ...] = tuple(
    (int(r * LIMB_SHADE), int(g * LIMB_SHADE), int(b * LIMB_SHADE))
    for r, g, b in JOINT_COLOURS[: len(LIMBS)]
)


def _hue(turn: float) -> Colour:
    """The fully saturated colour at `turn` (0 to 1) of the colour circle, starting at red."""
    red, green, blue = (
        min(max(abs((turn * 6 + offset) % 6 - 3) - 1, 0.0), 1.0) for offset in (0.0, 4.0, 2.0)
    )
    return round(red * 255), round(green * 255), round(blue * 255)


HAND_EDGE_COLOURS = tuple(_hue(edge / len(HAND_EDGES)) for edge in range(len(HAND_EDGES)))
HAND_POINT_COLOUR: Colour = (0, 0, 255)
FACE_COLOUR: Colour = (255, 255, 255)

SCALED_HAND_COLOURS: tuple[Colour, Colour] = ((128, 128, 255), (128, 255, 128))
"""Colours of the left and the right hand's points in scaled strokes, which tell hands apart."""


@dataclass(frozen=True)
class _Pen:
    """Sizes in pixels of the canvas drawn on, which is `oversampling` times the picture's."""

    limb: float
    joint: float
    hand_edge: int
    hand_point: float
    face: float
    oversampling: int
    hand_colours: tuple[Colour, Colour]


UPSTREAM_PEN = _Pen(4.0, 4.0, 2, 4.0, 3.0, 1, (HAND_POINT_COLOUR, HAND_POINT_COLOUR))


def _scaled_pen(size: tuple[int, int]) -> _Pen:
    """Strokes that keep upstream's look at 512 px and stay legible on small pictures."""
    unit = min(size) / 512
    over = 4 if min(size) <= 256 else 2
    return _Pen(
        limb=max(4 * unit, 0.8) * over,
        joint=max(4 * unit, 1.1) * over,
        hand_edge=round(max(2 * unit, 0.75) * over),
        hand_point=max(2 * unit, 0.5) * over,
        face=max(2 * unit, 0.4) * over,
        oversampling=over,
        hand_colours=SCALED_HAND_COLOURS,
    )


def draw_skeletons(
    poses: Poses | OpenPoses,
    *,
    size: tuple[int, int] | None = None,
    style: Style = "unianimate",
    stroke: Stroke = "upstream",
) -> UInt8[np.ndarray, "f H W 3"]:
    """Draws every frame's skeleton on black.

    Args:
        poses: what to draw; hidden points, and limbs with a hidden end, are left out.
        size: (width, height) of the pictures, by default the poses' own. The poses are
            stretched to it, so that another aspect ratio must be fitted before.
        style: `"dwpose"`: body, hands and face in DWPose's colours, as Champ has them.
            `"unianimate"`: body, feet and hands without the face, red and blue exchanged, as
            UniAnimate's network sees its own files.
        stroke: `"upstream"`: strokes of fixed width in pixels, meant for pictures about 512
            wide and equal to the upstream ones. `"scaled"`: strokes that grow with the
            picture, antialiased, the two hands' points in different colours; legible from
            64 px on.

    Returns:
        RGB pictures.

    Raises:
        ValueError: `size`, `style` or `stroke` is not allowed.
    """
    return np.stack(list(iterate_skeletons(poses, size=size, style=style, stroke=stroke)))


def iterate_skeletons(
    poses: Poses | OpenPoses,
    *,
    size: tuple[int, int] | None = None,
    style: Style = "unianimate",
    stroke: Stroke = "upstream",
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The pictures of `draw_skeletons` one by one, for clips that do not fit into memory."""
    if style not in ("dwpose", "unianimate"):
        raise ValueError(f"style must be 'dwpose' or 'unianimate': got {style!r}")
    if stroke not in ("upstream", "scaled"):
        raise ValueError(f"stroke must be 'upstream' or 'scaled': got {stroke!r}")
    width, height = size if size is not None else poses.size
    if min(width, height) < 1:
        raise ValueError(f"size (width, height) must be positive: got {(width, height)}")
    if isinstance(poses, Poses):
        poses = OpenPoses.of(poses)
    pen = UPSTREAM_PEN if stroke == "upstream" else _scaled_pen((width, height))
    factor = np.array([width, height], dtype=np.float64) / poses.size * pen.oversampling
    canvas_size = (width * pen.oversampling, height * pen.oversampling)
    for frame in range(len(poses.body)):
        canvas = np.zeros((canvas_size[1], canvas_size[0], 3), dtype=np.uint8)
        body = _clipped(poses.body[frame] * factor)
        num_joints = 20 if style == "unianimate" else 18
        _draw_body(canvas, body, poses.body_visible[frame], pen=pen, num_joints=num_joints)
        hands = _clipped(poses.hands[frame] * factor)
        for hand, seen, colour in zip(
            hands, poses.hands_visible[frame], pen.hand_colours, strict=True
        ):
            _draw_hand(canvas, hand, seen, pen=pen, colour=colour)
        if style == "dwpose":
            _draw_face(canvas, _clipped(poses.face[frame] * factor), poses.face_visible[frame], pen)
        if pen.oversampling > 1:
            canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
        yield canvas if style == "dwpose" else np.ascontiguousarray(canvas[..., ::-1])


def _clipped(points: np.ndarray) -> np.ndarray:
    """Points far outside held where integers can still name them; limbs to them keep their way."""
    return points.clip(-1e6, 1e6)


def _draw_body(
    canvas: np.ndarray, body: np.ndarray, visible: np.ndarray, *, pen: _Pen, num_joints: int
) -> None:
    for (start, end), colour in zip(LIMBS[: num_joints - 1], LIMB_COLOURS, strict=False):
        if visible[start] and visible[end]:
            cv2.fillConvexPoly(canvas, _limb(body[start], body[end], pen), colour)
    corners = body.astype(np.int32).tolist()
    for joint in range(num_joints):
        if visible[joint]:
            cv2.circle(canvas, corners[joint], round(pen.joint), JOINT_COLOURS[joint], -1)


def _limb(start: np.ndarray, end: np.ndarray, pen: _Pen) -> np.ndarray:
    """The thin ellipse between two joints, cut to whole pixels and degrees as upstream does."""
    middle, along = (start + end) / 2, start - end
    angle = int(np.degrees(np.arctan2(along[1], along[0])))
    half_length = int(np.hypot(along[0], along[1]) / 2)
    step = 1 if pen.oversampling == 1 else 6
    axes = (half_length, round(pen.limb))
    corners = cv2.ellipse2Poly((int(middle[0]), int(middle[1])), axes, angle, 0, 360, step)
    return np.asarray(corners)


def _draw_hand(
    canvas: np.ndarray, points: np.ndarray, visible: np.ndarray, *, pen: _Pen, colour: Colour
) -> None:
    corners = points.astype(np.int32)
    seen = (visible & (corners > 0).all(axis=1)).tolist()
    where = corners.tolist()
    for (start, end), edge_colour in zip(HAND_EDGES, HAND_EDGE_COLOURS, strict=True):
        if seen[start] and seen[end]:
            cv2.line(canvas, where[start], where[end], edge_colour, pen.hand_edge)
    for point, is_seen in zip(where, seen, strict=True):
        if is_seen:
            cv2.circle(canvas, point, round(pen.hand_point), colour, -1)


def _draw_face(canvas: np.ndarray, points: np.ndarray, visible: np.ndarray, pen: _Pen) -> None:
    corners = points.astype(np.int32)
    for point in corners[visible & (corners > 0).all(axis=1)].tolist():
        cv2.circle(canvas, point, round(pen.face), FACE_COLOUR, -1)
