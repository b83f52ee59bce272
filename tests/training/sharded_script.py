"""Distils a small network, its weights sharded or not: see `main` for the arguments."""

import copy
import sys
from pathlib import Path

import torch

from quickstep.diffusion.schedule import Schedule
from quickstep.methods.consistency import Consistency, ConsistencyConfig
from quickstep.networks.heads import WithAuxiliaryHead
from quickstep.networks.unianimate import UniAnimateConditions, UniAnimateUNet
from quickstep.teachers.protocol import Denoiser
from quickstep.training.config import TrainConfig
from quickstep.training.ranks import Ranks
from quickstep.training.trainer import train


class Clips:
    """Random clips, drawn by the batch's number."""

    def batch(self, index: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(index)
        return {
            "latents": torch.randn(2, 3, 4, 8, 8, generator=generator),
            "image": torch.randn(2, 1, 16, generator=generator),
            "pose": torch.rand(2, 3, 3, 64, 64, generator=generator),
        }


def main() -> None:
    torch.set_num_threads(1)
    folder, steps, sharding, accumulation = sys.argv[1:]
    ranks = Ranks(torch.device("cpu"))
    torch.manual_seed(0)
    network = UniAnimateUNet(
        width=32,
        multipliers=(1, 1),
        num_res_blocks=1,
        attn_scales=(1.0,),
        head_dim=16,
        num_first_heads=2,
        context_width=16,
        num_text_tokens=0,
        condition_width=8,
        resolution=(64, 64),
        dropout=0.0,
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    schedule = Schedule.scaled_linear().with_zero_terminal_snr()
    method = Consistency(
        WithAuxiliaryHead(copy.deepcopy(network)),
        Denoiser(network, schedule),
        ConsistencyConfig(guidance=2.0, auxiliary_weight=0.1, skip_target=False),
        conditions=lambda batch: UniAnimateConditions(image=batch["image"], pose=batch["pose"]),
    )
    config = TrainConfig(
        num_steps=int(steps),
        learning_rate=1e-3,
        decay_fraction=0.0,
        accumulation=int(accumulation),
        sharding="fsdp2" if sharding == "fsdp2" else "none",
    )
    train(
        method,
        Clips(),
        config,
        folder=Path(folder),
        resume=Path(folder).exists(),
        report=lambda line: None,
    )
    shards = sum(type(each).__name__ == "DTensor" for each in method.trainable.parameters())
    teacher = sum(type(each).__name__ == "DTensor" for each in network.parameters())
    print(f"rank {ranks.index} of {ranks.count}: {shards > 0} {teacher > 0}", flush=True)


if __name__ == "__main__":
    main()
