"""Tasks that kill the processes at them: the others are done, and nothing waits for ever."""

from functools import partial
from pathlib import Path

import pytest

from dying import Dangerous, open_at_once, open_never, open_not, open_one
from quickstep.processes import GivenUp, ProcessesError, answers_of

pytestmark = pytest.mark.timeout(120)


def attempts(folder: Path, number: int) -> int:
    return len(list(folder.glob(f"{number}-*")))


def test_tasks_are_done_once_each(tmp_path):
    tasks = [Dangerous(number, tmp_path) for number in range(7)]
    found = dict(answers_of(tasks, open_at_once, workers=3))
    assert found == {number: number**2 for number in range(7)}
    assert [attempts(tmp_path, number) for number in range(7)] == [1] * 7


@pytest.mark.parametrize("workers", [1, 3])
def test_a_task_that_kills_once_is_done_anew_and_one_that_goes_on_is_given_up(tmp_path, workers):
    deaths = [0, 1, 0, 9, 0]
    tasks = [Dangerous(number, tmp_path, count) for number, count in enumerate(deaths)]
    found = dict(answers_of(tasks, open_at_once, workers=workers))
    assert found == {0: 0, 1: 1, 2: 4, 3: GivenUp(attempts=2), 4: 16}
    assert [attempts(tmp_path, number) for number in range(5)] == [1, 2, 1, 2, 1]


def test_all_tasks_may_kill_at_once(tmp_path):
    tasks = [Dangerous(number, tmp_path, 9) for number in range(4)]
    assert dict(answers_of(tasks, open_at_once, workers=4)) == dict.fromkeys(range(4), GivenUp(2))


def test_where_there_is_room_for_one_that_one_does_all(tmp_path):
    tasks = [Dangerous(number, tmp_path) for number in range(4)]
    found = dict(answers_of(tasks, partial(open_one, tmp_path), workers=3))
    assert found == {number: number**2 for number in range(4)}


def test_where_none_lives_that_is_one_line(tmp_path):
    with pytest.raises(ProcessesError, match="every process ended before it could work"):
        list(answers_of([Dangerous(0, tmp_path)], open_never, workers=2))


def test_errors_come_as_they_were_raised(tmp_path):
    with pytest.raises(ValueError, match="there is nothing to open"):
        list(answers_of([Dangerous(0, tmp_path)], open_not, workers=1))
    full = Dangerous(0, tmp_path, error="no space left")
    with pytest.raises(OSError, match="no space left"):
        list(answers_of([full, Dangerous(1, tmp_path)], open_at_once, workers=2))
