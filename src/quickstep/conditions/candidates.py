"""Where the joints of a skeleton picture may be: discs in a joint's colour and ends of limbs."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from quickstep.conditions.colours import JOINT_CLASS, LIMB_CLASS, NONE, Layers
from quickstep.conditions.order import LIMBS

MAX_DISCS = 8
END_QUALITY = 0.2
"""Quality of a place that only the end of a limb tells of, below any disc that can be seen."""

_LEAST_QUALITY = 0.12


@dataclass(frozen=True)
class Candidates:
    """Places where one joint may be, none of them perhaps right.

    Attributes:
        places: pixels; the middle of the first pixel is at a half.
        quality: up to 1, how much of a joint's disc is to be seen there.
        cost: what speaks against each, 0 when nothing does.
    """

    places: Float[np.ndarray, "n 2"]
    quality: Float[np.ndarray, " n"]
    cost: Float[np.ndarray, " n"] | float = 0.0


def joint_candidates(layers: Layers, *, radius: float, num_joints: int) -> list[Candidates]:
    """For each joint, where a disc of its colour or the end of one of its limbs is seen."""
    disc = disc_kernel(radius)
    pixels = _pixels_by_class(layers.joint)
    discs = {
        colour: _discs(layers, colour, pixels.get(colour), disc) for colour in set(JOINT_CLASS)
    }
    ends = _limb_ends(layers, radius=radius, num_joints=num_joints)
    found = []
    for joint in range(num_joints):
        places, quality = discs[JOINT_CLASS[joint]]
        extra = [end for end in ends[joint] if _is_far(end, places, radius)]
        found.append(
            Candidates(
                places=np.array([*places, *extra], dtype=np.float64).reshape(-1, 2),
                quality=np.array([*quality, *[END_QUALITY] * len(extra)], dtype=np.float64),
            )
        )
    return found


def disc_kernel(radius: float) -> Float[np.ndarray, "h w"]:
    """A filled circle as drawn, its values summing to one."""
    reach = int(np.ceil(radius))
    offsets = np.arange(-reach, reach + 1)
    inside = offsets[:, None] ** 2 + offsets[None, :] ** 2 <= (radius + 0.05) ** 2
    return inside / inside.sum()


def joint_radius(layers: Layers) -> float:
    """The radius of the joints' discs in a picture, or 0 when too few stand free."""
    radii: list[float] = []
    for colour, pixels in _pixels_by_class(layers.joint).items():
        if colour in (0, 12):  # hidden by the face; the same blue as hands
            continue
        round_ones = [
            area
            for _, _, width, height, area in _pieces(pixels)
            if max(width, height) <= 1.4 * min(width, height)
        ]
        if round_ones:  # smaller ones are bits of a hand's bones
            radii.append(float(np.sqrt(max(round_ones) / np.pi)))
    return float(np.median(radii)) if len(radii) >= 3 else 0.0


def _pixels_by_class(classes: UInt8[np.ndarray, "H W"]) -> dict[int, Int[np.ndarray, "n 2"]]:
    """Row and column of every pixel of each class."""
    rows, columns = np.nonzero(classes != NONE)
    which = classes[rows, columns]
    places = np.stack([rows, columns], axis=1)
    return {int(one): places[which == one] for one in np.unique(which)}


def _pieces(pixels: Int[np.ndarray, "n 2"]) -> list[tuple[int, int, int, int, int]]:
    """Left, top, width, height and area of each connected piece, the largest first."""
    (top, left), (bottom, right) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    mask = np.zeros((bottom - top + 1, right - left + 1), dtype=np.uint8)
    mask[pixels[:, 0] - top, pixels[:, 1] - left] = 1
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    pieces = [(x + left, y + top, w, h, area) for x, y, w, h, area in stats[1:].tolist()]
    return sorted(pieces, key=lambda piece: -piece[4])


def _discs(
    layers: Layers,
    colour: int,
    pixels: Int[np.ndarray, "n 2"] | None,
    disc: Float[np.ndarray, "h w"],
) -> tuple[list[np.ndarray], list[float]]:
    """The best places of a disc of one colour, each with the share of it that is seen.

    Pixels of the colour count for a disc, black and limbs against it, and whatever is drawn
    over joints (other joints, hands, face) neither way: so half a disc still has its middle.
    """
    if pixels is None:
        return [], []
    places: list[np.ndarray] = []
    quality: list[float] = []
    reach = disc.shape[0] // 2
    most = MAX_DISCS * (4 if colour == 12 else 1)
    for x, y, width, height, _ in _pieces(pixels)[: 2 * most]:
        top, left = max(y - 2 * reach, 0), max(x - 2 * reach, 0)
        window = np.s_[top : y + height + 2 * reach, left : x + width + 2 * reach]
        evidence = np.where(layers.bright[window], 0.0, -1.0).astype(np.float32)
        evidence[layers.joint[window] == colour] = 1.0
        seen = cv2.filter2D(evidence, -1, disc, borderType=cv2.BORDER_REPLICATE)
        best = float(seen.max())
        if best < _LEAST_QUALITY:
            continue
        rows, columns = _around_peak(seen, best, reach)
        places.append(np.array([columns.mean() + left + 0.5, rows.mean() + top + 0.5]))
        quality.append(best)
    kept = sorted(range(len(places)), key=lambda one: -quality[one])[:most]
    return [places[one] for one in kept], [quality[one] for one in kept]


def _around_peak(
    seen: Float[np.ndarray, "h w"], best: float, reach: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the values hardly below the highest, near it."""
    rows, columns = np.nonzero(seen >= best - 0.03)
    row, column = np.unravel_index(int(seen.argmax()), seen.shape)
    near = np.maximum(np.abs(rows - row), np.abs(columns - column)) <= reach
    return rows[near], columns[near]


def _limb_ends(layers: Layers, *, radius: float, num_joints: int) -> list[list[np.ndarray]]:
    """For each joint, the ends of the visible parts of its limbs."""
    ends: list[list[np.ndarray]] = [[] for _ in range(num_joints)]
    pixels = _pixels_by_class(layers.limb)
    for (start, end), colour in zip(LIMBS[: num_joints - 1], LIMB_CLASS, strict=False):
        points = _large_pieces(pixels.get(colour))
        if len(points) < max(6.0, radius**2):
            continue
        middle = points.mean(axis=0)
        _, axes = np.linalg.eigh(np.cov((points - middle).T))
        along = (points - middle) @ axes[:, 1]
        if np.ptp(along) < 5 * radius:  # where two limbs meet, their blurred colours mix
            continue
        for reach in (along.min() - 1.0, along.max() + 1.0):
            place = middle + reach * axes[:, 1]
            ends[start].append(place)
            ends[end].append(place)
    return ends


def _large_pieces(pixels: Int[np.ndarray, "n 2"] | None) -> Float[np.ndarray, "m 2"]:
    """Middles (x, y) of the pixels, without pieces that are small beside the largest: noise."""
    if pixels is None:
        return np.zeros((0, 2))
    kept = np.zeros(len(pixels), dtype=np.bool_)
    pieces = _pieces(pixels)
    for left, top, width, height, area in pieces:
        if area >= 0.25 * pieces[0][4]:
            inside = (pixels >= (top, left)) & (pixels < (top + height, left + width))
            kept |= inside.all(axis=1)
    return pixels[kept][:, ::-1] + 0.5


def _is_far(place: np.ndarray, others: list[np.ndarray], radius: float) -> bool:
    return all(float(np.hypot(*(place - other))) > 1.5 * radius for other in others)


def limb_support(
    layers: Layers,
    limb: int,
    starts: Float[np.ndarray, "n 2"],
    ends: Float[np.ndarray, "m 2"],
    *,
    black_cost: float,
) -> Float[np.ndarray, "n m"]:
    """How well each pair of places is joined by a limb: 1 when its colour is seen all along.

    Samples of the line that lie on another limb or on something bright count nothing, since
    the limb may be hidden there; black ones count against it.
    """
    share = np.linspace(0.15, 0.85, 15)[:, None]
    line = starts[:, None, None] * (1 - share) + ends[None, :, None] * share
    height, width = layers.black.shape
    columns = line[..., 0].astype(int).clip(0, width - 1)
    rows = line[..., 1].astype(int).clip(0, height - 1)
    right = layers.limb[rows, columns] == LIMB_CLASS[limb]
    black = layers.black[rows, columns]
    return (right - black_cost * black).mean(axis=2)
