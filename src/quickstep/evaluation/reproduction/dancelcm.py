"""What each table and figure of DanceLCM compares: contenders, steps, and the paper's own rows."""

from quickstep.evaluation.reproduction.study import (
    COPY,
    ROUND_TRIP,
    Claim,
    Contender,
    Study,
    StudyRow,
    over,
)

PAPER = "dancelcm"

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
SEGMENTS = {
    1: ABLATIONS["w/o Segmented distillation"],
    2: Contender("two-segments", "dancelcm", {"method.num_segments": "2"}),
    4: Contender("four-segments", "dancelcm", {"method.num_segments": "4"}),
}
"""DanceLCM's own recipe is one of them, by its content, so that its run is."""
AS_PRINTED = Contender(
    "as-printed",
    "dancelcm",
    {"method.num_segments": "2", "method.pair": "skip", "method.target": "ema"},
)
"""The paper's own K, target and, as read here, pairs; the small recipes have others."""

_COPY, _ROUND_TRIP = StudyRow(label=COPY), StudyRow(label=ROUND_TRIP)
_TEACHER_50 = StudyRow(label="Teacher", steps=50, guided=True, printed=("UniAnimate", 50))
_TEACHER_4 = StudyRow(label="Teacher", steps=4, guided=True)
_UNGUIDED_4 = StudyRow(label="Teacher, unguided", steps=4)
"""As many evaluations as a student of 4 steps has; with guidance a step has two."""


def _ours(steps: int = 4, *, printed: str = "DanceLCM") -> StudyRow:
    return StudyRow(label="DanceLCM", contender=DANCELCM, steps=steps, printed=(printed, steps))


def _baseline(label: str, contender: Contender, steps: int = 4) -> StudyRow:
    return StudyRow(label=label, contender=contender, steps=steps, printed=(label, steps))


_ACCELERATED = (
    _baseline("VideoLCM", VIDEOLCM),
    _baseline("PeRFlow", PERFLOW),
    _baseline("MultiStep CM", MULTISTEP_CM),
)


def _against_others(name: str, table: int, *, preset: str | None = None) -> Study:
    return Study(
        name=name,
        title="DanceLCM beside its teacher and the accelerated baselines",
        paper=PAPER,
        table=table,
        rows=(
            *(_COPY, _ROUND_TRIP, _TEACHER_50, _TEACHER_4, _UNGUIDED_4),
            *(*_ACCELERATED, _ours()),
        ),
        claims=over(
            "DanceLCM, 4",
            *("Teacher, 4", "Teacher, unguided, 4"),
            *("VideoLCM, 4", "PeRFlow, 4", "MultiStep CM, 4"),
        ),
        preset=preset,
    )


_TABLE3 = Study(
    name="dancelcm-table3",
    title="What each part of DanceLCM adds",
    paper=PAPER,
    table=3,
    rows=(
        _ours(),
        *(
            StudyRow(label=label, contender=contender, steps=4, printed=(label, 4))
            for label, contender in ABLATIONS.items()
        ),
    ),
    claims=over("DanceLCM, 4", *(f"{label}, 4" for label in ABLATIONS)),
)

_TABLE4 = Study(
    name="dancelcm-table4",
    title="DanceLCM and VideoLCM at 8, 4, 2 and 1 steps",
    paper=PAPER,
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
    paper=PAPER,
    table=5,
    rows=(
        *(
            StudyRow(
                label=f"K = {count}", contender=who, steps=4, printed=(f"DanceLCM, K = {count}", 4)
            )
            for count, who in SEGMENTS.items()
        ),
        StudyRow(label="K = 2, as printed", contender=AS_PRINTED, steps=4),
    ),
    claims=over("K = 2, 4", "K = 1, 4", "K = 4, 4"),
)

_FIG1 = Study(
    name="dancelcm-fig1",
    title="VideoLCM and DanceLCM, 4 steps, to look at",
    paper=PAPER,
    table=None,
    rows=(_baseline("VideoLCM", VIDEOLCM), _ours()),
    claims=over("DanceLCM, 4", "VideoLCM, 4"),
)

_FIG4 = Study(
    name="dancelcm-fig4",
    title="DanceLCM with each part taken away, to look at",
    paper=PAPER,
    table=None,
    rows=_TABLE3.rows,
    claims=_TABLE3.claims,
)

_FIG5 = Study(
    name="dancelcm-fig5",
    title="The face told as latents, as a CLIP embedding, and not at all",
    paper=PAPER,
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
    claims=over("VAE face, 4", "CLIP face, 4", "w/o face, 4"),
)

_FIG6 = Study(
    name="dancelcm-fig6",
    title="The teacher at many and few steps beside DanceLCM, to look at",
    paper=PAPER,
    table=None,
    rows=(
        StudyRow(label="Teacher", steps=2, guided=True),
        _TEACHER_4,
        StudyRow(label="Teacher", steps=8, guided=True),
        _TEACHER_50,
        _ours(),
    ),
    claims=over("DanceLCM, 4", "Teacher, 2", "Teacher, 4"),
)

DANCELCM_STUDIES = (
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
"""In the paper's order."""
