"""How well the image encoder finds a person again in another pose, against a random encoder.

    python benchmarks/retrieval.py --model runs/clip_dancer/model/image_encoder

Validation identities; each picture must find another picture of the same person among all others.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPVisionModelWithProjection

from quickstep.config import digest
from quickstep.data.dancer import VALIDATION_START
from quickstep.data.prepared import pictures_to_video, prepare_dancer
from quickstep.methods.contrast import cosine_similarity
from quickstep.networks.clip import image_embedding
from quickstep.training.recipes import RECIPES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="runs/clip_dancer/model/image_encoder")
    options = parser.parse_args()
    torch.set_num_threads(2)
    data = replace(RECIPES["unianimate_dancer"].data, num_clips=64, first_seed=VALIDATION_START)
    prepared = prepare_dancer(Path("runs/data") / f"dancer-{digest(data)}", data)
    trained = CLIPVisionModelWithProjection.from_pretrained(options.model).eval()
    torch.manual_seed(0)
    fresh = CLIPVisionModelWithProjection(trained.config).eval()
    for name, encoder in (("trained", trained), ("random", fresh)):
        print(f"{name}: {retrieval(encoder, prepared.frames):.3f} of {len(prepared)} persons")


@torch.no_grad()
def retrieval(encoder: CLIPVisionModelWithProjection, frames: np.ndarray) -> float:
    """Share of persons whose picture at the dance's end finds their reference picture.

    Backgrounds are the same in both pictures of a person; a person on another's ground is not
    tested here.
    """
    both = [
        image_embedding(encoder, pictures_to_video(torch.from_numpy(np.array(frames[:, moment]))))
        for moment in (0, -1)
    ]
    similarity = cosine_similarity(both[1][:, 0], both[0][:, 0])
    return float((similarity.argmax(dim=1) == torch.arange(len(frames))).float().mean())


if __name__ == "__main__":
    main()
