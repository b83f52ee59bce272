"""A picture of what an evaluation judged: the truth and every row's video at a few moments.

    quickstep evaluate dancer clips --protocol dancer --steps 4 2 1 --videos runs/videos
    python benchmarks/strips.py clips runs/videos --output strips.png

Each clip has a block of lines, each line starts with the reference. The rows are the folders that
``--videos`` wrote, in the order of ``--rows`` or else of their names.
"""

import argparse
import textwrap
from pathlib import Path

import numpy as np

from quickstep.data.image import write_image
from quickstep.data.sheet import contact_sheet, moments
from quickstep.data.video import read_video
from quickstep.evaluation.sample import Sample
from quickstep.evaluation.samples import open_samples

LABEL_LETTERS = 10


def main() -> None:
    options = parsed()
    names = options.rows or sorted(each.name for each in options.videos.iterdir() if each.is_dir())
    samples = open_samples(options.data)
    lines = [
        line
        for clip in samples.names[: options.clips]
        for line in block(samples.read(clip), options.videos, names, count=options.moments)
    ]
    write_image(options.output, contact_sheet(lines))
    print(options.output)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", nargs="*", help="names of folders in VIDEOS")
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--moments", type=int, default=4)
    return parser.parse_args()


def block(
    sample: Sample, videos: Path, names: list[str], *, count: int
) -> list[tuple[str, list[np.ndarray]]]:
    """The lines of a clip."""
    shown = moments(len(sample.frames), count=count)
    rows = {"truth": sample.frames}
    rows |= {name: read_video(videos / name / f"{sample.name}.mp4").frames for name in names}
    return [
        (label(name), [sample.reference, *(frames[moment] for moment in shown)])
        for name, frames in rows.items()
    ]


def label(name: str) -> str:
    return textwrap.fill(name.replace("_", " "), LABEL_LETTERS)


if __name__ == "__main__":
    main()
