"""Trains on as many ranks as it is launched with: `ranks_script.py FOLDER ACCUMULATION`."""

import sys
from pathlib import Path

import torch
from line_method import LineBatches, LineMethod
from torch import nn

from quickstep.training.config import TrainConfig
from quickstep.training.ranks import Ranks
from quickstep.training.trainer import train


def main() -> None:
    torch.set_num_threads(1)
    folder, accumulation = Path(sys.argv[1]), int(sys.argv[2])
    ranks = Ranks(torch.device("cpu"))
    # Each rank starts elsewhere: the first rank's weights must win. There is no batch norm, whose
    # statistics would be each rank's own.
    torch.manual_seed(ranks.index)
    network = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.25), nn.GroupNorm(2, 8), nn.Linear(8, 1))
    method = LineMethod(network)
    config = TrainConfig(num_steps=6, learning_rate=1e-2, accumulation=accumulation)
    train(method, LineBatches(), config, folder=folder, report=lambda line: None)
    print(f"rank {ranks.index} of {ranks.count}", flush=True)


if __name__ == "__main__":
    main()
