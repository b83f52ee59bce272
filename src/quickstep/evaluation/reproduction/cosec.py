"""What each table and figure of CoSeC-LCD compares, and whether both papers together are better.

The paper's teacher runs with its guidance at every number of steps, so it does here.
"""

from quickstep.evaluation.reproduction.dancelcm import DANCELCM
from quickstep.evaluation.reproduction.study import (
    COPY,
    ROUND_TRIP,
    Claim,
    Contender,
    Study,
    StudyRow,
    over,
)
from quickstep.methods.phases import STEPS

PAPER = "cosec"

_FRAMES, _CLIPS = (count / sum(STEPS) for count in STEPS)


def _frames(name: str, recipe: str, **weights: str) -> Contender:
    return Contender(f"{name}-frames", f"{recipe}-frames", _weights(weights), share=_FRAMES)


def _clips(name: str, recipe: str, start: Contender, **weights: str) -> Contender:
    return Contender(name, recipe, _weights(weights), start=start, share=_CLIPS)


def _weights(of_terms: dict[str, str]) -> dict[str, str]:
    return {f"method.cosec.{term}_weight": value for term, value in of_terms.items()}


_COSEC_FRAMES = _frames("cosec", "cosec")
REFERENCELCM = _clips("referencelcm", "referencelcm", _frames("referencelcm", "referencelcm"))
COSEC = _clips("cosec", "cosec", _COSEC_FRAMES)
QUICKSTEP_BEST = _clips(
    "quickstep-best", "quickstep-best", _frames("quickstep-best", "quickstep-best")
)
PAIRS = _clips("pairs", "cosec", _frames("pairs", "cosec", eta="0", cons="0"), temporal="0")
"""ReferenceLCM on the batches that CoSeC's terms need: what they change by themselves."""
ETA = _clips("eta", "cosec", _frames("eta", "cosec", cons="0"), temporal="0")
CONS = _clips("eta-cons", "cosec", _COSEC_FRAMES, temporal="0")

_COPY, _ROUND_TRIP = StudyRow(label=COPY), StudyRow(label=ROUND_TRIP)


def _teacher(steps: int, *, printed: str | None = None) -> StudyRow:
    row = None if printed is None else (printed, steps)
    return StudyRow(label="Teacher", steps=steps, guided=True, printed=row)


def _ours(label: str, contender: Contender, steps: int = 2, *, printed: str = "") -> StudyRow:
    row = (printed, steps) if printed else None
    return StudyRow(label=label, contender=contender, steps=steps, printed=row)


def _against_others(name: str, table: int, *claims: Claim, preset: str | None = None) -> Study:
    return Study(
        name=name,
        title="ReferenceLCM and CoSeC-LCD at 2 steps beside their teacher",
        paper=PAPER,
        table=table,
        rows=(
            _COPY,
            _ROUND_TRIP,
            _teacher(20, printed="Champ"),
            _teacher(2),
            _ours("ReferenceLCM", REFERENCELCM, printed="ReferenceLCM (Ours)"),
            _ours("CoSeC-LCD", COSEC, printed="CoSeCLCD (Ours)"),
        ),
        claims=(*over("CoSeC-LCD, 2", "ReferenceLCM, 2", "Teacher, 2"), *claims),
        preset=preset,
    )


_TABLE3 = Study(
    name="cosec-table3",
    title="The teacher at few steps beside CoSeC-LCD at 2",
    paper=PAPER,
    table=3,
    rows=(
        *(_teacher(steps, printed="Champ (Teacher)") for steps in (2, 4, 6, 8)),
        _ours("CoSeC-LCD", COSEC, printed="CoSeC-LCD (Ours)"),
    ),
    claims=over("CoSeC-LCD, 2", *(f"Teacher, {steps}" for steps in (2, 4, 6, 8))),
)

_ADDED = (
    ("ReferenceLCM", REFERENCELCM),
    ("+ ETA (spatial)", ETA),
    ("+ CoNS (spatial)", CONS),
    ("+ ETA (temporal)", COSEC),
)
_PAIRS = _ours("ReferenceLCM, in pairs", PAIRS)

_TABLE4 = Study(
    name="cosec-table4",
    title="What each term of CoSeC-LCD adds, at 2 steps",
    paper=PAPER,
    table=4,
    rows=(
        _PAIRS,
        *(
            StudyRow(label=label, contender=contender, steps=2, printed=(label, None))
            for label, contender in _ADDED
        ),
    ),
    claims=(
        *(
            Claim(better=f"{more}, 2", worse=f"{less}, 2")
            for (less, _), (more, _) in zip(_ADDED, _ADDED[1:], strict=False)
        ),
        *over("+ ETA (spatial), 2", "ReferenceLCM, in pairs, 2"),
    ),
)

_TABLE5 = Study(
    name="cosec-table5",
    title="CoSeC-LCD and its teacher where neither was trained: other rooms, clothes and cameras",
    paper=PAPER,
    table=5,
    rows=(
        _teacher(20, printed="Champ (Teacher)"),
        *(
            row
            for steps in (1, 2, 4)
            for row in (
                _teacher(steps, printed="Champ (Teacher)"),
                _ours("CoSeC-LCD", COSEC, steps, printed="CoSeC-LCD (Ours)"),
            )
        ),
    ),
    claims=tuple(
        Claim(better=f"CoSeC-LCD, {steps}", worse=f"Teacher, {steps}") for steps in (1, 2, 4)
    ),
    judged="wild",
)

_FIG4 = Study(
    name="cosec-fig4",
    title="CoSeC-LCD and its teacher at 2 steps, and the teacher at 20, to look at",
    paper=PAPER,
    table=None,
    rows=(_teacher(2), _ours("CoSeC-LCD", COSEC), _teacher(20)),
    claims=over("CoSeC-LCD, 2", "Teacher, 2"),
)

_FIG5 = Study(
    name="cosec-fig5",
    title="With and without the temporal term: what changes from frame to frame",
    paper=PAPER,
    table=None,
    rows=(_ours("without", CONS), _ours("with", COSEC)),
    claims=over("with, 2", "without, 2"),
    figure="changes",
)

_FIG6 = Study(
    name="cosec-fig6",
    title="ReferenceLCM, with ETA, and with CoNS: how sharp they are",
    paper=PAPER,
    table=None,
    rows=(
        _ours("ReferenceLCM", REFERENCELCM),
        _PAIRS,
        _ours("+ ETA", ETA),
        _ours("+ ETA + CoNS", CONS),
    ),
    claims=(
        *(
            Claim(better=f"ReferenceLCM{which}, 2", worse="+ ETA, 2")
            for which in ("", ", in pairs")
        ),
        *over("+ ETA + CoNS, 2", "+ ETA, 2", "ReferenceLCM, 2"),
    ),
    figure="details",
)

_FIG7 = Study(
    name="cosec-fig7",
    title="Dancers of stone, paint and neon: styles that no student has seen",
    paper=PAPER,
    table=None,
    rows=(_teacher(4), _ours("CoSeC-LCD", COSEC, 4), _teacher(20)),
    claims=over("CoSeC-LCD, 4", "Teacher, 4"),
    judged="styles",
)

_BEST = Study(
    name="quickstep-best",
    title="Both papers together beside each alone",
    paper="",
    table=None,
    rows=tuple(
        _ours(label, contender, steps)
        for steps in (2, 4)
        for label, contender in (
            ("DanceLCM", DANCELCM),
            ("CoSeC-LCD", COSEC),
            ("both", QUICKSTEP_BEST),
        )
    ),
    claims=tuple(
        claim
        for steps in (2, 4)
        for claim in over(f"both, {steps}", f"DanceLCM, {steps}", f"CoSeC-LCD, {steps}")
    ),
)

COSEC_STUDIES = (
    _against_others("cosec-table1", 1, Claim(better="Teacher, 20", worse="CoSeC-LCD, 2")),
    _against_others(
        "cosec-table2", 2, Claim(better="CoSeC-LCD, 2", worse="Teacher, 20"), preset="catwalk"
    ),
    _TABLE3,
    _TABLE4,
    _TABLE5,
    _FIG4,
    _FIG5,
    _FIG6,
    _FIG7,
    _BEST,
)
"""In the paper's order, and the question that neither paper asks."""
