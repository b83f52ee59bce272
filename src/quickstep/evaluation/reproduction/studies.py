"""The studies by name: the tables and figures of both papers, and what neither of them asks."""

from quickstep.evaluation.reproduction.cosec import COSEC_STUDIES
from quickstep.evaluation.reproduction.dancelcm import DANCELCM_STUDIES
from quickstep.evaluation.reproduction.study import Study

STUDIES: dict[str, Study] = {study.name: study for study in (*DANCELCM_STUDIES, *COSEC_STUDIES)}
"""All studies by name."""


def find_study(name: str) -> Study:
    """The study of a name.

    Raises:
        ValueError: there is none; the message lists those there are.
    """
    if name not in STUDIES:
        raise ValueError(f"no study {name!r}: studies are {', '.join(STUDIES)}")
    return STUDIES[name]
