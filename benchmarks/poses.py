"""How near a detector's keypoints come to the dancer's own, on persons whom no training saw.

    python benchmarks/poses.py --split test --clips 64 -o docs/results/poses.json

Pictures go through the whole runner: box, crop, keypoints. PCK counts the points that are really
seen within a share of the torso's length; a person who is not found counts as missed.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from quickstep.conditions.detection.accuracy import detection_accuracy
from quickstep.conditions.detection.sessions import load_detector
from quickstep.data.dancer import TEST_START, VALIDATION_START
from quickstep.data.detectors import find_detector
from quickstep.data.pose_sets import PoseData, prepare_poses

STARTS = {"validation": VALIDATION_START, "test": TEST_START}


def measured(name: str, *, split: str, preset: str, clips: int, size: int) -> dict[str, float]:
    data = PoseData(num_clips=clips, size=size, presets=(preset,), first_seed=STARTS[split])
    detector = load_detector(find_detector(name), threads=1)
    with tempfile.TemporaryDirectory() as folder:
        poses = prepare_poses(Path(folder) / "set", data)
        pictures, truths = list(poses.pictures()), list(poses.truths())
    start = time.perf_counter()
    found = list(detector.people(pictures))
    seconds = time.perf_counter() - start
    numbers = detection_accuracy(found, truths)
    return {**numbers, "pictures": len(pictures), "milliseconds": 1000 * seconds / len(pictures)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detector", default="dancer")
    parser.add_argument("--split", choices=STARTS, default="validation")
    parser.add_argument("--clips", type=int, default=64, help="clips of each preset")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    rows = {
        preset: measured(
            asked.detector, split=asked.split, preset=preset, clips=asked.clips, size=asked.size
        )
        for preset in ("plain", "rich", "catwalk")
    }
    origin = json.loads(find_detector(asked.detector).origin())
    result = {"detector": origin, "split": asked.split, "size": asked.size, "rows": rows}
    text = json.dumps(result, indent=1)
    print(text)
    if asked.output is not None:
        asked.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
