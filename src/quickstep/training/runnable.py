"""Whether a student can be trained and run the way its recipe says, before it is."""

import warnings
from collections.abc import Sequence

from quickstep.diffusion.sampling import Sampler, expect_sampler, plan, segment_times
from quickstep.diffusion.segments import Segments
from quickstep.training.config import TrainConfig


def expect_runnable(
    sampler: Sampler,
    *,
    steps: Sequence[int],
    best: int,
    segments: Segments,
    told: bool = False,
    learns_lines: bool = False,
) -> None:
    """Refuses a sampler or steps that the student could not be run with.

    Args:
        sampler: how it is run.
        steps: numbers of steps that it is meant for; none for any.
        best: the number used unless another is asked for.
        segments: of the time axis.
        told: whether it is told the edge it shall land on.
        learns_lines: whether it learns PeRFlow's straight lines.

    Raises:
        ValueError: the sampler belongs to other students, or a number of steps to none.
    """
    expect_sampler(sampler, segments=segments, told=told, learns_lines=learns_lines)
    if steps and best not in steps:
        raise ValueError(f"steps_best must be one of steps_allowed={tuple(steps)}: got {best}")
    for count in dict.fromkeys((*steps, best)):
        try:
            times = segment_times(count, segments, told=told)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # fewer steps than segments blur, but run
                plan(times, sampler=sampler, segments=segments, told=told)
        except ValueError as error:
            raise ValueError(f"steps_allowed: {count} cannot be run: {error}") from error


def expect_teacher_dtype(dtype: str, train: TrainConfig) -> None:
    """Refuses frozen weights of another type than the run could mix with what learns.

    Raises:
        ValueError: half precision without autocast, or on weights that are spread over ranks.
    """
    if dtype != "float32" and (train.precision != "bf16" or train.sharding != "none"):
        raise ValueError(
            "teacher_dtype must be float32 but with train.precision=bf16 and no sharding: got "
            f"{dtype!r}"
        )
