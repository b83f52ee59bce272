"""`reproduce` from the command line: some rows of a study, and what cannot be meant."""

import json

import pytest

from quickstep.apps.cli import main
from quickstep.evaluation.reproduction import study_runs


@pytest.fixture
def reproduce(model_folders, tmp_path, monkeypatch):
    """Runs the command with the tiny teacher; a tiny student stands for all trainings."""
    trained = []

    def stand_in(contender, terms, **options):
        trained.append(contender.name)
        return model_folders / "student"

    def run(*words):
        options = {
            **{"--size": "lab", "--teacher": model_folders / "teacher", "--split": "validation"},
            **{"--clips": 2, "--seeds": 1, "--runs": tmp_path / "runs", "-o": tmp_path / "pages"},
        }
        given = [str(word) for pair in options.items() for word in pair]
        changes = ["--set", "data.size=64", "--set", "data.num_clips=16", "--device", "cpu"]
        return main(["reproduce", *given, *changes, *words]), trained

    monkeypatch.setattr(study_runs, "trained", stand_in)
    return run


def test_some_rows_of_a_table_are_made_and_the_page_tells_the_others(reproduce, tmp_path, capsys):
    code, trained = reproduce("cosec-table1", "--rows", "copy", "CoSeC-LCD", "Teacher, 2")
    assert (code, trained) == (0, ["cosec"])
    numbers, page, picture = capsys.readouterr().out.split()
    made = json.loads((tmp_path / "pages" / "cosec-table1-unianimate.json").read_text())
    assert [row["row"] for row in made["rows"]] == ["copy", "Teacher, 2", "CoSeC-LCD, 2"]
    left_out = ["round trip", "Teacher, 20", "ReferenceLCM, 2"]
    assert made["left_out"] == left_out
    text = (tmp_path / "pages" / "cosec-table1-unianimate.md").read_text()
    assert f"Rows that were left out: {'; '.join(left_out)}." in text
    assert "CoSeC-LCD, 2 over Teacher, 2" in text and "over ReferenceLCM" not in text
    assert [path.rpartition("/")[2] for path in (numbers, page, picture)] == [
        f"cosec-table1-unianimate.{suffix}" for suffix in ("json", "md", "jpg")
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cosec-table9",), "no study 'cosec-table9'"),
        (("cosec-fig5", "--rows", "without", "between"), "no row 'between' in cosec-fig5"),
        (("cosec-fig5", "--rows", "with", "--rate", "eta-cons=1e-4"), "no student 'eta-cons'"),
        (("cosec-fig5", "--seeds", "0"), "seeds must be at least 1: got 0"),
        (("cosec-fig5", "--clips", "1"), "clips must be at least 2: got 1"),
        (("cosec-fig5", "--family", "champ"), "set --family unianimate"),
        (("cosec-fig5", "--rate", "cosec=inf"), "must be above 0, and finite: got 'cosec=inf'"),
        (("cosec-fig5", "--rate", "cosec=1e-4", "--rate", "cosec=2e-4"), "gives 'cosec' twice"),
        (("cosec-fig5", "--sweep", "1e-4", "0"), "--sweep must be above 0, and finite: got 0"),
        (("cosec-fig5", "--sweep", "1e-4", "1e-4"), "--sweep must try different rates"),
        (("cosec-fig5", "--sweep-by", "psnr"), "--sweep-by has no effect without --sweep"),
        (("cosec-table1", "--rows", "copy", "--sweep", "1e-4"), "no student of these rows is with"),
        (
            ("cosec-fig5", "--set", "train.learning_rate=1e-3", "--sweep", "1e-4"),
            "--set train.learning_rate has no effect beside --sweep",
        ),
        (("dancelcm-table1", "--set", "method.pair=skip"), "no field 'method.pair' in PeRFlow"),
    ],
)
def test_what_cannot_be_meant_is_one_line(reproduce, tmp_path, capsys, words, message):
    code, trained = reproduce(*words)
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and message in line
    assert trained == [] and not (tmp_path / "pages").exists()
