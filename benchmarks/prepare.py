"""Throughput of `quickstep prepare` by stage, and what part of its time is whose.

    python benchmarks/prepare.py -o docs/results/prepare.json
    python benchmarks/prepare.py --footage 512 --size 512 512 --frames 32

Rendered dancers are prepared in one process and one thread, poses found by the detector. Each
stage's seconds are wall time. Shares are processor time of three kinds, measured around the calls:

- networks: the detector's two, the autoencoder, the image encoder and the face detector's three;
- codecs: PyAV decoding the footage (with the conversion to RGB) and encoding the clips' videos,
  Pillow encoding pictures;
- our own code: all the rest, from the hash of a file to the manifest.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from quickstep.data.dancer import VALIDATION_START, DancerSeeds, render_clip
from quickstep.data.video import write_video
from quickstep.preparation import clips, frames, prepare, sharing, store
from quickstep.preparation.clips import Tools
from quickstep.preparation.poses import DetectedPoses
from quickstep.preparation.settings import PrepareSettings
from quickstep.preparation.sources import find_sources
from quickstep.preparation.splits import SplitPlan
from quickstep.preparation.work import Job, open_tools

FPS = 12.0


class Clock:
    """Processor time in calls, by kind."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def around(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A call that adds its processor time to a kind."""

        def timed(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return call(*args, **options)
            finally:
                self.seconds[kind] += time.process_time() - start

        return timed

    def each(self, kind: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same for a call that gives items one by one."""

        def timed(*args: Any, **options: Any) -> Any:
            following = self.around(kind, iter(call(*args, **options)).__next__)
            while True:
                try:
                    item = following()
                except StopIteration:
                    return
                yield item

        return timed

    def watch(self, tools: Tools) -> Tools:
        """The same tools, their networks timed."""
        finder = tools.finder
        assert isinstance(finder, DetectedPoses)
        detector = finder._detector
        finder._detector = dataclasses.replace(
            detector,
            find=self.around("detector", detector.find),
            read=self.around("detector", detector.read),
        )
        vae: Any = tools.vae
        vae.encode = self.around("autoencoder", vae.encode)
        encoder: Any = tools.image_encoder
        encoder.forward = self.around("image encoder", encoder.forward)
        nets: Any = tools.face_nets
        for name in ("pnet", "rnet", "onet"):
            network = getattr(nets, name)
            network.forward = self.around("face detector", network.forward)
        return tools

    def watch_codecs(self) -> None:
        """Times decoding and encoding where the preparation calls them."""
        frames.timed_frames = self.each("decoding", frames.timed_frames)
        clips.write_video = self.around("encoding", clips.write_video)
        clips.png = store.png = self.around("encoding", clips.png)


NETWORKS = ("detector", "autoencoder", "image encoder", "face detector")
CODECS = ("decoding", "encoding")


def warm_up(home: Path, job: Job) -> None:
    """One short video prepared, so that what is imported or loaded on first use is not counted."""
    render(home / "first", count=1, num_frames=16, side=64)
    short = dataclasses.replace(job.settings, size=(64, 64), num_frames=16)
    first = dataclasses.replace(job, settings=short, store=home / "first-store")
    sources = find_sources(home / "first")
    prepare.prepare_footage(sources, home / "first-out", first, split=SplitPlan())


def full_size(tools: Tools) -> Tools:
    """The same with Stable Diffusion's autoencoder and CLIP's ViT-H, untrained."""
    shape: dict[str, Any] = {
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
    }
    vae = AutoencoderKL(**shape)
    config = CLIPVisionConfig(
        hidden_size=1280,
        intermediate_size=5120,
        num_hidden_layers=32,
        num_attention_heads=16,
        patch_size=14,
        projection_dim=1024,
    )
    encoder = CLIPVisionModelWithProjection(config)
    return dataclasses.replace(tools, vae=vae.eval(), image_encoder=encoder.eval())


def measured(home: Path, out: Path, job: Job, *, is_full_size: bool) -> dict[str, Any]:
    """One preparation of all footage: seconds by stage, processor seconds by kind."""
    clock = Clock()
    tools = open_tools(job)
    tools = clock.watch(full_size(tools) if is_full_size else tools)
    clock.watch_codecs()
    sharing.open_tools = lambda job: tools
    start, processor = time.perf_counter(), time.process_time()
    summary = prepare.prepare_footage(find_sources(home), out, job, split=SplitPlan())
    wall, processor = time.perf_counter() - start, time.process_time() - processor
    assert summary.manifest is not None
    kinds = {name: clock.seconds[name] for name in (*NETWORKS, *CODECS)}
    networks = sum(kinds[name] for name in NETWORKS)
    codecs = sum(kinds[name] for name in CODECS)
    own = processor - networks - codecs
    count = len(summary.manifest["clips"])
    num_frames = sum(clip["num_frames"] for clip in summary.manifest["clips"])
    stages = {name: value for name, value in summary.seconds.items() if name != "all"}
    stages["shards and report"] = wall - summary.seconds["all"]
    return {
        "clips": count,
        "frames": num_frames,
        "wall_seconds": wall,
        "processor_seconds": processor,
        "clips_per_minute": 60 * count / wall,
        "stage_clips_per_minute": {name: 60 * count / each for name, each in stages.items()},
        "stage_seconds": stages,
        "kind_seconds": {**kinds, "our own code": own},
        "shares": {
            "networks": networks / processor,
            "codecs": codecs / processor,
            "our own code": own / processor,
        },
        "own_milliseconds_per_frame": 1000 * own / num_frames,
    }


def render(home: Path, *, count: int, num_frames: int, side: int) -> None:
    home.mkdir()
    for number in range(count):
        seeds = DancerSeeds.of(VALIDATION_START + number)
        clip = render_clip(seeds, num_frames=num_frames, size=side, fps=FPS)
        write_video(home / f"{number:02d}.mp4", clip.rgb.numpy(), fps=FPS, crf=18)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--frames", type=int, default=32, help="of each video and clip")
    parser.add_argument("--footage", type=int, default=512, help="side of the videos in pixels")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 512), help="of the clips")
    parser.add_argument("--detector", default="dancer")
    parser.add_argument("--model", default="dancer")
    parser.add_argument(
        "--full-size",
        action="store_true",
        help="autoencoder and image encoder as large as UniAnimate's, of random weights",
    )
    parser.add_argument("-o", "--output", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = PrepareSettings(
        size=tuple(asked.size),
        fps=FPS,
        num_frames=asked.frames,
        people="largest",
    )
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        render(home / "films", count=asked.videos, num_frames=asked.frames, side=asked.footage)
        job = Job(
            settings=settings,
            model=asked.model,
            store=home / "store",
            detector=asked.detector,
            num_threads=1,
        )
        warm_up(home, job)
        result = measured(home / "films", home / "out", job, is_full_size=asked.full_size)
    asked_for = {name: value for name, value in vars(asked).items() if name != "output"}
    text = json.dumps({"asked": asked_for, **result}, indent=1)
    print(text)
    if asked.output is not None:
        asked.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
