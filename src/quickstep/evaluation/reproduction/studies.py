"""What each table and figure of DanceLCM compares: contenders, steps, and the paper's own rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from quickstep.evaluation.published import PublishedRow, published_rows

PAPER = "dancelcm"


@dataclass(frozen=True)
class Contender:
    """A student to be trained, the same way but for what it is named for.

    Attributes:
        name: short, for folders.
        recipe: of the method, without its data: ``dancelcm`` stands for ``dancelcm_dancer``.
        changes: fields of the recipe, as ``--set`` takes them.
    """

    name: str
    recipe: str
    changes: Mapping[str, str] = field(default_factory=dict)


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
    printed: tuple[str, int] | None = None


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
        table: the paper's table whose rows stand beside; None for a figure.
        rows: in the table's order.
        claims: what the paper's numbers or text say, to be held against ours.
        preset: of the dancer, where it is not the recipe's own.
    """

    name: str
    title: str
    table: int | None
    rows: tuple[StudyRow, ...]
    claims: tuple[Claim, ...]
    preset: str | None = None

    @property
    def contenders(self) -> tuple[Contender, ...]:
        """The students it needs, each once."""
        found = {row.contender.name: row.contender for row in self.rows if row.contender}
        return tuple(found.values())


DANCELCM = Contender("dancelcm", "dancelcm")
VIDEOLCM = Contender("videolcm", "videolcm")
PERFLOW = Contender("perflow", "perflow")
MULTISTEP_CM = Contender("multistep-cm", "multistep_cm")
ABLATIONS = {
    "w/o Segmented distillation": Contender(
        "one-segment", "dancelcm", {"method.num_segments": "1"}
    ),
    "w/o GT supervision": Contender("no-head", "dancelcm", {"method.auxiliary_weight": "0"}),
    "w/o Motion-focused loss": Contender("no-motion", "dancelcm", {"method.motion_weight": "0"}),
    "w/o Facial fidelity enhancement": Contender("no-face", "dancelcm", {"face": "none"}),
}
CLIP_FACE = Contender("clip-face", "dancelcm", {"face.feature": "clip"})
FOUR_SEGMENTS = Contender("four-segments", "dancelcm", {"method.num_segments": "4"})

COPY, ROUND_TRIP = "copy", "round trip"
"""Baselines: the reference held still, and what the teacher's autoencoder keeps of the truth."""

_COPY, _ROUND_TRIP = StudyRow(label=COPY), StudyRow(label=ROUND_TRIP)
_TEACHER_50 = StudyRow(label="UniAnimate", steps=50, guided=True, printed=("UniAnimate", 50))
_TEACHER_4 = StudyRow(label="UniAnimate", steps=4)


def _ours(steps: int = 4, *, printed: str = "DanceLCM") -> StudyRow:
    return StudyRow(label="DanceLCM", contender=DANCELCM, steps=steps, printed=(printed, steps))


def _baseline(label: str, contender: Contender, steps: int = 4) -> StudyRow:
    return StudyRow(label=label, contender=contender, steps=steps, printed=(label, steps))


_ACCELERATED = (
    _baseline("VideoLCM", VIDEOLCM),
    _baseline("PeRFlow", PERFLOW),
    _baseline("MultiStep CM", MULTISTEP_CM),
)


def _over(better: str, *others: str) -> tuple[Claim, ...]:
    return tuple(Claim(better=better, worse=other) for other in others)


def _against_others(name: str, table: int, *, preset: str | None = None) -> Study:
    return Study(
        name=name,
        title="DanceLCM beside its teacher and the accelerated baselines",
        table=table,
        rows=(_COPY, _ROUND_TRIP, _TEACHER_50, _TEACHER_4, *_ACCELERATED, _ours()),
        claims=_over(
            "DanceLCM, 4",
            *("UniAnimate, 4", "VideoLCM, 4", "PeRFlow, 4", "MultiStep CM, 4"),
        ),
        preset=preset,
    )


_TABLE3 = Study(
    name="dancelcm-table3",
    title="What each part of DanceLCM adds",
    table=3,
    rows=(
        _ours(),
        *(
            StudyRow(label=label, contender=contender, steps=4, printed=(label, 4))
            for label, contender in ABLATIONS.items()
        ),
    ),
    claims=_over("DanceLCM, 4", *(f"{label}, 4" for label in ABLATIONS)),
)

_TABLE4 = Study(
    name="dancelcm-table4",
    title="DanceLCM and VideoLCM at 8, 4, 2 and 1 steps",
    table=4,
    rows=tuple(
        row
        for steps in (8, 4, 2, 1)
        for row in (_baseline("VideoLCM", VIDEOLCM, steps), _ours(steps))
    ),
    claims=(
        *(Claim(better=f"DanceLCM, {steps}", worse=f"VideoLCM, {steps}") for steps in (8, 4, 2, 1)),
        *(
            Claim(better=f"DanceLCM, {more}", worse=f"DanceLCM, {fewer}")
            for more, fewer in ((8, 4), (4, 2), (2, 1))
        ),
    ),
)

_TABLE5 = Study(
    name="dancelcm-table5",
    title="DanceLCM with 1, 2 and 4 segments at 4 steps",
    table=5,
    rows=tuple(
        StudyRow(
            label=f"K = {count}", contender=who, steps=4, printed=(f"DanceLCM, K = {count}", 4)
        )
        for count, who in (
            (1, ABLATIONS["w/o Segmented distillation"]),
            (2, DANCELCM),
            (4, FOUR_SEGMENTS),
        )
    ),
    claims=_over("K = 2, 4", "K = 1, 4", "K = 4, 4"),
)

_FIG1 = Study(
    name="dancelcm-fig1",
    title="VideoLCM and DanceLCM, 4 steps, to look at",
    table=None,
    rows=(_baseline("VideoLCM", VIDEOLCM), _ours()),
    claims=_over("DanceLCM, 4", "VideoLCM, 4"),
)

_FIG4 = Study(
    name="dancelcm-fig4",
    title="DanceLCM with each part taken away, to look at",
    table=None,
    rows=_TABLE3.rows,
    claims=_TABLE3.claims,
)

_FIG5 = Study(
    name="dancelcm-fig5",
    title="The face told as latents, as a CLIP embedding, and not at all",
    table=None,
    rows=(
        StudyRow(
            label="w/o face",
            contender=ABLATIONS["w/o Facial fidelity enhancement"],
            steps=4,
        ),
        StudyRow(label="CLIP face", contender=CLIP_FACE, steps=4),
        StudyRow(label="VAE face", contender=DANCELCM, steps=4),
    ),
    claims=_over("VAE face, 4", "CLIP face, 4", "w/o face, 4"),
)

_FIG6 = Study(
    name="dancelcm-fig6",
    title="The teacher at many and few steps beside DanceLCM, to look at",
    table=None,
    rows=(
        StudyRow(label="UniAnimate", steps=2),
        _TEACHER_4,
        StudyRow(label="UniAnimate", steps=8),
        _TEACHER_50,
        _ours(),
    ),
    claims=_over("DanceLCM, 4", "UniAnimate, 2", "UniAnimate, 4"),
)

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        _against_others("dancelcm-table1", 1),
        _against_others("dancelcm-table2", 2, preset="catwalk"),
        _TABLE3,
        _TABLE4,
        _TABLE5,
        _FIG1,
        _FIG4,
        _FIG5,
        _FIG6,
    )
}
"""All studies by name."""


def find_study(name: str) -> Study:
    """The study of a name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in STUDIES:
        raise ValueError(f"no study {name!r}: studies are {', '.join(STUDIES)}")
    return STUDIES[name]


def row_name(row: StudyRow) -> str:
    """A row's name in claims: its label and steps."""
    return row.label if row.steps is None else f"{row.label}, {row.steps}"


def printed_row(study: Study, row: StudyRow) -> PublishedRow | None:
    """The paper's own row: in the study's table, or in table 1, where that refers to it."""
    if row.printed is None:
        return None
    for table in (study.table, 1):
        for each in published_rows():
            if (each.paper, each.table, each.method, each.steps) == (PAPER, table, *row.printed):
                return each
    return None
