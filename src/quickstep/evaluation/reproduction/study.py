"""What a study is: contenders to be trained, rows to be judged, and what the paper says of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from quickstep.evaluation.published import PublishedRow, published_rows

Figure = Literal["frames", "changes", "details"]
"""What the picture shows: some moments; heat maps of what changes there as well; or cut-outs of
the face, enlarged, with the row's sharpness."""

COPY, ROUND_TRIP = "copy", "round trip"
"""Baselines: the reference held still, and what the teacher's autoencoder keeps of the truth."""


@dataclass(frozen=True)
class Contender:
    """A student to be trained, the same way but for what it is named for.

    Attributes:
        name: short, for folders.
        recipe: of the method, without its data: ``dancelcm`` stands for ``dancelcm_dancer``.
        changes: fields of the recipe, as ``--set`` takes them.
        start: who it goes on from, trained first.
        share: of the budget; what is left is its start's.
    """

    name: str
    recipe: str
    changes: Mapping[str, str] = field(default_factory=dict)
    start: "Contender | None" = None
    share: float = 1.0

    @property
    def phases(self) -> "Iterator[Contender]":
        """Those it goes on from, and itself at last."""
        if self.start is not None:
            yield from self.start.phases
        yield self


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """A row: a contender, the teacher or a baseline, at a number of steps.

    Attributes:
        label: in the table.
        contender: who makes the videos; None for the teacher, or for a baseline without steps.
        steps: denoising steps; None for ``copy`` and ``round trip``.
        guided: whether the teacher runs with its guidance.
        printed: the paper's row, (method, steps) in `quickstep.evaluation.published`.
    """

    label: str
    contender: Contender | None = None
    steps: int | None = None
    guided: bool = False
    printed: tuple[str, int | None] | None = None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The paper puts one row above another."""

    better: str
    worse: str


@dataclass(frozen=True, kw_only=True)
class Study:
    """A table or a figure.

    Attributes:
        name: as it is asked for.
        title: what it asks.
        paper: whose it is, ``dancelcm`` or ``cosec``; empty for our own question.
        table: the paper's table whose rows stand beside; None for a figure.
        rows: in the table's order.
        claims: what the paper's numbers or text say, to be held against ours.
        preset: of the dancer, where it is not the recipe's own.
        judged: of the dancer for the judged clips alone, where no student was trained on it.
        figure: what the picture shows.
        left_out: names of the rows that were taken away (`only_rows`).
    """

    name: str
    title: str
    paper: str
    table: int | None
    rows: tuple[StudyRow, ...]
    claims: tuple[Claim, ...]
    preset: str | None = None
    judged: str | None = None
    figure: Figure = "frames"
    left_out: tuple[str, ...] = ()

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The students it needs, each once."""
        found = {row.contender.name: row.contender for row in self.rows if row.contender}
        return tuple(found.values())


def over(better: str, *others: str) -> tuple[Claim, ...]:
    """One row above each of the others."""
    return tuple(Claim(better=better, worse=other) for other in others)


def row_name(row: StudyRow) -> str:
    """A row's name in claims: its label and steps."""
    return row.label if row.steps is None else f"{row.label}, {row.steps}"


def only_rows(study: Study, names: Sequence[str]) -> Study:
    """The study with some of its rows alone, and the claims that are of these.

    Args:
        study: the whole.
        names: of rows, by label and steps (``"Teacher, 20"``), or by label for all its steps.

    Raises:
        ValueError: no such row; the message lists those there are.
    """
    known = {row_name(row): row for row in study.rows}
    for name in names:
        if name not in {*known, *(row.label for row in study.rows)}:
            raise ValueError(f"no row {name!r} in {study.name}: rows are {'; '.join(known)}")
    kept = [name for name, row in known.items() if name in names or row.label in names]
    return replace(
        study,
        rows=tuple(known[name] for name in kept),
        claims=tuple(each for each in study.claims if {each.better, each.worse} <= set(kept)),
        left_out=tuple(name for name in known if name not in kept),
    )


def printed_row(study: Study, row: StudyRow) -> PublishedRow | None:
    """The paper's own row: in the study's table, or in table 1, where that refers to it."""
    if row.printed is None:
        return None
    for table in (study.table, 1):
        for each in published_rows():
            found = (each.paper, each.table, each.method, each.steps)
            if found == (study.paper, table, *row.printed):
                return each
    return None


def printed_metrics(study: Study) -> list[str]:
    """The metrics that the paper prints in the study's table, in its order."""
    printed = [
        each.printed
        for each in published_rows()
        if (each.paper, each.table) == (study.paper, study.table)
    ]
    return list(dict.fromkeys(metric for values in printed for metric in values))
