"""How well the image encoder finds a person again: in the same room, and in another one.

    python benchmarks/retrieval.py --model dancer-unianimate-teacher

Validation identities. Each person's picture at the end of a dance must find that person's reference
picture among all references: those of the same clips, where the ground is the same in both, and
those of second clips, where dance, camera, room and light are others. An untrained encoder of the
same shape stands beside, and chance.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPVisionModelWithProjection

from quickstep.config import digest
from quickstep.data.dancer import VALIDATION_START
from quickstep.data.people import PeopleData
from quickstep.data.prepared import pictures_to_video, prepare_dancer
from quickstep.methods.contrast import cosine_similarity
from quickstep.networks.clip import image_embedding
from quickstep.networks.folder import load_model

PERSONS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", default="dancer-unianimate-teacher", help="a model or its folder"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the clips are kept")
    options = parser.parse_args()
    data = PeopleData(
        num_clips=2 * PERSONS, num_frames=16, size=128, first_seed=VALIDATION_START, scenes=2
    )
    prepared = prepare_dancer(options.runs / "data" / f"dancer-{digest(data)}", data)
    references, ends = (np.array(prepared.frames[:, moment]) for moment in (0, -1))
    trained = load_model(options.model).image_encoder
    torch.manual_seed(0)
    fresh = CLIPVisionModelWithProjection(trained.config).eval()
    for name, encoder in (("trained", trained), ("untrained", fresh)):
        same = retrieved(encoder, ends[::2], references[::2])
        other = retrieved(encoder, ends[::2], references[1::2])
        print(f"{name}: {same} of {PERSONS} in the same room, {other} in another room")
    print(f"chance: 1 of {PERSONS}")


@torch.no_grad()
def retrieved(
    encoder: CLIPVisionModelWithProjection, pictures: np.ndarray, references: np.ndarray
) -> int:
    """How many pictures are nearest to the reference of their own person."""
    embeddings = [
        image_embedding(encoder, pictures_to_video(torch.from_numpy(some)))[:, 0]
        for some in (pictures, references)
    ]
    similarity = cosine_similarity(*embeddings)
    return int((similarity.argmax(dim=1) == torch.arange(len(pictures))).sum())


if __name__ == "__main__":
    main()
