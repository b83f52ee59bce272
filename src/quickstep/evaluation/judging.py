"""One made clip beside the truth under a protocol: its scores, and its features for the set."""

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from quickstep.animation.stopwatch import Stopwatch
from quickstep.data.views import View, same_aspect
from quickstep.evaluation.cache import Record, WorkFolder
from quickstep.evaluation.metrics import clip_metrics, set_metrics
from quickstep.evaluation.networks import Networks
from quickstep.evaluation.pair import Pair, Truth
from quickstep.evaluation.protocols import Protocol
from quickstep.evaluation.sample import Made, Sample, SampleError, add_array


@dataclass(frozen=True)
class Judge:
    """Scores made clips.

    Attributes:
        protocol: how they are framed, and the metrics (those left out are taken off it).
        networks: the networks of its metrics.
        work: where features of the truth are kept.
    """

    protocol: Protocol
    networks: Networks
    work: WorkFolder

    def sample(self, sample: Sample) -> Sample:
        """The frames of a clip that are driven and judged."""
        return sample.every(self.protocol.stride, most=self.protocol.max_frames)

    def expect_frames(self, sample: Sample) -> None:
        """Refuses a clip too short for a network of the protocol, before a video of it is made.

        Raises:
            SampleError: it is shorter than a window.
        """
        for metric in set_metrics(self.protocol.metrics):
            network = self.networks.loaded[metric.network]
            whole = getattr(network, "whole_clips", False)
            needed = 1 if whole else getattr(network, "window", 1)
            if len(sample.frames) < needed:
                raise SampleError(
                    f"{sample.name}: {metric.network} needs clips of {needed} frames or more: got "
                    f"{len(sample.frames)}; --without {metric.name} judges the rest"
                )

    def truth(self, sample: Sample) -> Truth:
        """The truth of a clip as the protocol sees it; worked out once for all its rows."""
        view, by = self.protocol.view(sample.size), self.protocol.truth_filter
        still = (sample.reference.shape[1], sample.reference.shape[0])
        reference = self._like(view, still).frames(sample.reference[None], by=by)
        return Truth(
            frames=view.frames(sample.frames, by=by),
            reference=reference[0],
            mask=None if sample.mask is None else view.mask(sample.mask),
            face_boxes=None if sample.face_boxes is None else view.boxes(sample.face_boxes),
            poses=None if sample.poses is None else view.poses(sample.poses),
        )

    def judge(self, sample: Sample, made: Made, truth: Truth | None = None) -> Record:
        """The record of a made clip.

        Args:
            sample: the clip.
            made: its made video.
            truth: of `truth`, where several videos of one clip are judged.

        Raises:
            SampleError: made and truth differ in length or shape, or cannot be measured.
        """
        watch = Stopwatch(self.networks.device)
        try:
            with watch("view"):
                pair = self.pair(sample, made, truth)
            scores = {}
            for metric in clip_metrics(self.protocol.metrics):
                with watch(f"judge {metric.name}"), torch.no_grad():
                    value = metric.value(pair, self.networks.loaded)
                if math.isinf(value):
                    raise ValueError(f"{metric.name} is infinite: its network or its weights fail")
                scores[metric.name] = value
            digest = frames_digest(pair.truth.frames)
            features = {}
            for metric in set_metrics(self.protocol.metrics):
                with watch(f"judge {metric.name}"):
                    features[metric.network] = self._features(metric.network, pair.made)
                    self.truth_features(metric.network, digest, pair.truth.frames)
        except SampleError:
            raise
        except ValueError as error:
            raise SampleError(f"{sample.name}: {error}") from error
        return Record(
            clip=sample.name,
            sample=sample.digest(),
            num_frames=len(pair.made),
            scores=scores,
            truth=digest,
            num_evaluations=made.num_evaluations,
            notes=made.notes,
            features=features,
            timings={**made.timings, **watch.seconds},
        )

    def pair(self, sample: Sample, made: Made, truth: Truth | None = None) -> Pair:
        """Made and true frames as the protocol sees them.

        Raises:
            SampleError: they differ in length or shape.
        """
        size = (made.frames.shape[2], made.frames.shape[1])
        protocol, count = self.protocol, len(sample.frames)
        if len(made.frames) != count:
            raise SampleError(
                f"{sample.name}: {len(made.frames)} frames were made, the truth has {count}"
            )
        if not same_aspect(size, sample.size) and size != protocol.size:
            raise SampleError(
                f"{sample.name}: {size[0]}x{size[1]} was made, which has not the shape of the "
                f"truth's {sample.size[0]}x{sample.size[1]}"
            )
        view = self._like(protocol.view(sample.size), size)
        return Pair(
            made=view.frames(made.frames, by=protocol.made_filter),
            truth=truth or self.truth(sample),
            seams=made.seams,
        )

    def truth_features(
        self, network: str, truth: str, frames: np.ndarray | None = None
    ) -> Float[np.ndarray, "n d"]:
        """Features of true frames, from the work folder where they are there.

        Args:
            network: the extractor.
            truth: digest of the frames, see `frames_digest`.
            frames: the frames, for when they are not there.
        """
        described: dict[str, Any] = dict(self.networks.describe()[network])
        make = None if frames is None else lambda: self._features(network, frames)
        return self.work.truth_features(truth, {"name": network, **described}, make)

    def _like(self, view: View, picture: tuple[int, int]) -> View:
        """The view of a picture of another resolution, brought to the same size."""
        return replace(self.protocol.view(picture), size=view.size)

    def _features(self, network: str, frames: np.ndarray) -> Float[np.ndarray, "n d"]:
        extract: Any = self.networks.loaded[network]
        with torch.no_grad():
            features = extract(frames)
        found = features.detach().float().cpu().numpy()
        if not np.isfinite(found).all():
            raise ValueError(f"{network} gave features that are not finite")
        return found


def frames_digest(frames: np.ndarray) -> str:
    """SHA-256 of frames, their shape included."""
    total = hashlib.sha256()
    add_array(total, frames)
    return total.hexdigest()
