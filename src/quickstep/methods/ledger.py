"""What a method costs: evaluations of networks, so that methods meet at equal compute."""

from typing import NamedTuple

TRAINED = 3.0
"""Forward passes that one with its backward pass costs."""

CHECKPOINTED = 4.0
"""The same where activations are computed again (gradient checkpointing)."""


class Cost(NamedTuple):
    """Evaluations per clip and step, in forward passes of the network on that clip."""

    student: float
    """With its backward pass, which counts two (three with gradient checkpointing)."""

    teacher: float
    """Two for each step of a guided teacher, whose branches run in one batch."""

    target: float
    """Of the network that answers at the earlier time; clips that need no answer are left out."""

    @property
    def total(self) -> float:
        """All together: 6 for a consistency method that leaves nothing out."""
        return self.student + self.teacher + self.target


class Ledger:
    """Counts what a method evaluates.

    Args:
        checkpointing: whether the student computes its activations twice.

    Example:
        >>> ledger = Ledger()
        >>> ledger.count(clips=4, student=4, teacher=8, target=3).total
        5.75
        >>> ledger.mean
        Cost(student=3.0, teacher=2.0, target=0.75)
    """

    def __init__(self, *, checkpointing: bool = False) -> None:
        self.trained = CHECKPOINTED if checkpointing else TRAINED
        self.clips = 0
        self._rows = Cost(0, 0, 0)

    def count(self, *, clips: int, student: int, teacher: int, target: int = 0) -> Cost:
        """Notes one batch.

        Args:
            clips: clips of the batch.
            student: rows that passed the student, with gradient.
            teacher: rows that passed the teacher, both branches of guidance counted.
            target: rows that passed the target network.

        Returns:
            The cost of this batch alone.
        """
        rows = Cost(self.trained * student, float(teacher), float(target))
        self.clips += clips
        self._rows = Cost(*(old + new for old, new in zip(self._rows, rows, strict=True)))
        return Cost(*(row / clips for row in rows))

    @property
    def mean(self) -> Cost:
        """The cost per clip, over all batches since the method was made.

        Raises:
            ValueError: nothing has been counted.
        """
        if not self.clips:
            raise ValueError("the ledger is empty: no batch has been counted")
        return Cost(*(row / self.clips for row in self._rows))
