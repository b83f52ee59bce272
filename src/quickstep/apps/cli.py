"""The command ``quickstep``: picks a sub-command and turns a user's mistake into one line."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from quickstep.apps.animate import animate
from quickstep.apps.console import error_line, plain_warnings
from quickstep.apps.curve import curve
from quickstep.apps.dancer import dancer
from quickstep.apps.demo import demo
from quickstep.apps.evaluate import evaluate
from quickstep.apps.export import export
from quickstep.apps.import_checkpoints import (
    import_animate_anyone,
    import_champ,
    import_unianimate,
)
from quickstep.apps.learning import distill, train
from quickstep.apps.maps import maps
from quickstep.apps.plan import plan_animate, plan_distill
from quickstep.apps.poses import poses
from quickstep.apps.prepare import prepare
from quickstep.apps.reproduce import reproduce

COMMANDS: dict[str, Callable[..., Any]] = {
    "animate": animate,
    "demo": demo,
    "poses": poses,
    "dancer": dancer,
    "maps": maps,
    "prepare": prepare,
    "train": train,
    "distill": distill,
    "evaluate": evaluate,
    "curve": curve,
    "reproduce": reproduce,
    "export": export,
    "import unianimate": import_unianimate,
    "import champ": import_champ,
    "import animate-anyone": import_animate_anyone,
    "plan animate": plan_animate,
    "plan distill": plan_distill,
}
DESCRIPTION = "Human image animation in 2 to 4 denoising steps."
TRACEBACK = "QUICKSTEP_TRACEBACK"
"""Environment variable that lets errors through, for those who look for a defect."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code: 0, or 2 when what the user gave cannot be used.

    Args:
        arguments: the words after ``quickstep``; those of the process unless given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if " ".join(words[:2]) in COMMANDS:
        words[:2] = [" ".join(words[:2])]
    try:
        with plain_warnings():
            code = tyro.extras.subcommand_cli_from_dict(
                COMMANDS,
                prog="quickstep",
                description=DESCRIPTION,
                args=words,
                sort_subcommands=False,
            )
    except KeyboardInterrupt:
        print("quickstep: stopped", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        if os.environ.get(TRACEBACK):
            raise
        print(f"quickstep: error: {error_line(error)}", file=sys.stderr)
        return 2
    return int(code or 0)
