"""Trains in children that are killed at every flush to the disk in turn; says what was left.

Forks, so that torch is imported once. Run as a script: `kill_script.py FOLDER`.
"""

import os
import signal
import sys
from pathlib import Path

import torch
from line_method import LineBatches, LineMethod

from quickstep.training.config import TrainConfig
from quickstep.training.trainer import train

CONFIG = TrainConfig(num_steps=40, learning_rate=1e-2, checkpoint_every=1, accumulation=2)


def run(folder: Path) -> None:
    train(LineMethod(), LineBatches(), CONFIG, folder=folder, resume=True, report=lambda line: None)


def die_at_flush(number: int) -> None:
    """The process kills itself, with no chance to clean up, at flush `number`.

    No flush is made: what a killed process wrote is there for the next, and disks may be slow.
    """
    flushes = iter(range(10**6))

    def fsync(handle: int) -> None:
        if next(flushes) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = fsync  # pyright: ignore[reportAttributeAccessIssue]


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    die_at_flush(-1)  # that is, never
    run(folder / "whole")  # first: it also imports what is imported late, once for all children
    kills = 0
    for number in range(32):
        child = os.fork()
        if child == 0:
            die_at_flush(number)
            run(folder / "killed")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    print("kills", kills)
    print("step", (folder / "killed" / "latest").read_text().strip())
    run(folder / "killed")


if __name__ == "__main__":
    main()
