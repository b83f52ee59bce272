import pytest

from quickstep.apps.console import SECONDS_BETWEEN_LINES, Progress


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self) -> float:
            return self.now

    return Clock()


def test_without_a_terminal_a_line_now_and_then_tells_the_time_left(clock, capsys):
    assert 10 <= SECONDS_BETWEEN_LINES <= 20
    with Progress(clock) as progress:
        for done in range(1, 11):
            progress("judging videos", done, 40)
            clock.now += 5
    assert capsys.readouterr().err.splitlines() == [
        "judging videos: 4 of 40, about 3 min 00 s left",
        "judging videos: 7 of 40, about 2 min 45 s left",
        "judging videos: 10 of 40, about 2 min 30 s left",
    ]


def test_what_is_soon_done_says_nothing(clock, capsys):
    with Progress(clock) as progress:
        for stage in ("one", "other"):
            progress(stage, 1, 2)
            clock.now += 5
            progress(stage, 2, 2)
    assert capsys.readouterr().err == ""


def test_a_stages_first_report_knows_no_time_left(clock, capsys):
    progress = Progress(clock)
    clock.now += 20
    progress("measuring", 3, 8)
    clock.now += 20
    progress("measuring", 5, 8)
    progress.restart()
    clock.now += 20
    progress("measuring", 1, 8)
    assert capsys.readouterr().err.splitlines() == [
        "measuring: 3 of 8",
        "measuring: 5 of 8, about 30 s left",
        "measuring: 1 of 8",
    ]


def test_progress_of_evaluate_and_curve_go_through_it():
    from quickstep.apps import curve, evaluate

    assert curve.Progress is evaluate.Progress is Progress
