"""Prepared sets of real clips: clip folders cut, drawn and laid down once, as the dancer's are.

For hundreds of clips on one disk; a prepared set holds raw pictures.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from quickstep.conditions.drawing import draw_skeletons
from quickstep.data.clip import Clip, ClipInfo, read_clip, read_clip_info
from quickstep.data.prepared import (
    PreparedSet,
    Report,
    cell_share,
    note_rows,
    open_arrays,
    rows_done,
)
from quickstep.data.turns import in_turn
from quickstep.data.views import View


@dataclass(frozen=True, kw_only=True)
class FolderData:
    """Which real clips a prepared set holds.

    Attributes:
        folder: clip folders in the layout of `quickstep.data.clip`.
        unseen: clip folders for previews, of other persons; empty for no previews.
        num_frames: frames of a row; a longer clip gives several rows, what is left over none.
            Batches take theirs from a row at any stride that fits.
        stride: every how many frames of the video one is taken.
        size: (width, height) that the clips are cut and brought to.
        cell: pixels per latent cell.
    """

    folder: str = ""
    unseen: str = ""
    num_frames: int = 32
    stride: int = 1
    size: tuple[int, int] = (512, 768)
    cell: int = 8

    def __post_init__(self):
        for name in ("num_frames", "stride", "cell"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")
        if any(side < 1 or side % self.cell for side in self.size):
            raise ValueError(
                f"size must have positive multiples of cell={self.cell}: got {self.size}"
            )

    def rows(self) -> list[tuple[Path, int]]:
        """The clip and the first frame of every row, clips by name.

        Raises:
            ValueError: there is no folder, or no clip long enough in it.
        """
        if not self.folder:
            raise ValueError("data.folder must name a folder of clip folders: got none")
        home = Path(self.folder)
        if not home.is_dir():
            raise FileNotFoundError(f"{home}: no such folder")
        span = (self.num_frames - 1) * self.stride + 1
        found = [
            (folder, start)
            for folder in sorted(home.iterdir())
            if (folder / "clip.json").is_file()
            for start in range(0, read_clip_info(folder).num_frames - span + 1, span)
        ]
        if not found:
            raise ValueError(f"{home}: no clip folder of {span} frames or more in it")
        return found


@in_turn
def prepare_folders(folder: Path, data: FolderData, *, report: Report | None = None) -> PreparedSet:
    """Cuts and draws the clips of ``data`` into ``folder``, going on where it was stopped.

    The person's share of cells comes from the clips' masks; a clip without one has 0 everywhere,
    and a face box that is not known is empty.

    Raises:
        ValueError: no clips, a clip that cannot be read, or a set made from other clips.
    """
    rows = data.rows()
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.loads(json.dumps(asdict(data))) | {
        "rows": [[path.name, start] for path, start in rows]
    }
    persons = [_person_of(path) for path, _ in rows]
    done = rows_done(folder, settings, stage="rendered")
    files = open_arrays(
        folder,
        rows=len(rows),
        num_frames=data.num_frames,
        size=data.size,
        cell=data.cell,
        fresh=done == 0,
    )
    for number, (path, start) in enumerate(rows):
        if number < done:
            continue
        for name, value in _row(read_clip(path), start, data).items():
            files[name][number] = value
        note_rows(folder, settings, stage="rendered", done=number + 1, persons=persons)
        if report:
            report(number + 1, len(rows), "cutting clips")
    return PreparedSet(folder)


def _person_of(folder: Path) -> str:
    """Who a clip shows: whom its folder names, or else the folder itself."""
    identity = read_clip_info(folder).identity
    return folder.name if identity == ClipInfo.identity else identity


def _row(clip: Clip, start: int, data: FolderData) -> dict[str, np.ndarray]:
    taken = slice(start, start + (data.num_frames - 1) * data.stride + 1, data.stride)
    height, width = clip.frames.shape[1:3]
    view = View.centred((width, height), size=data.size)
    still = View.centred(clip.reference.shape[1::-1], size=data.size)
    return {
        "frames": np.concatenate(
            [
                still.frames(clip.reference[None], by="pillow-bicubic"),
                view.frames(clip.frames[taken], by="pillow-bicubic"),
            ]
        ),
        "poses": np.concatenate(list(_drawn(clip, taken, view=view, still=still))),
        "person": _person(clip, taken, view=view, data=data),
        "boxes": _boxes(clip, taken, view=view, still=still, count=data.num_frames),
    }


def _drawn(
    clip: Clip, taken: slice, *, view: View, still: View
) -> Iterator[UInt8[np.ndarray, "f H W 3"]]:
    for place, poses in ((still, clip.reference_pose), (view, clip.poses[taken])):
        yield draw_skeletons(place.poses(poses), size=place.size, stroke="scaled")


def _person(clip: Clip, taken: slice, *, view: View, data: FolderData) -> np.ndarray:
    width, height = (side // data.cell for side in data.size)
    share = np.zeros((data.num_frames + 1, height, width), np.uint8)
    if clip.mask is not None:
        mask = torch.from_numpy(view.mask(clip.mask[taken]))
        share[1:] = cell_share(mask, data.cell).numpy()
    return share


def _boxes(clip: Clip, taken: slice, *, view: View, still: View, count: int) -> np.ndarray:
    boxes = np.zeros((count + 1, 4), np.float32)
    own, others = clip.info.reference_face_box, clip.info.face_box
    if own:
        boxes[:1] = still.boxes(np.array([own], np.float32))
    if others:
        boxes[1:] = view.boxes(np.array(others, np.float32)[taken])
    return boxes
