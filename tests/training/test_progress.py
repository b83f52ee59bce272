from quickstep.training.progress import Progress


class Clock:
    """Seconds that pass when told."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_says_loss_rate_and_time_left():
    clock = Clock()
    progress = Progress(1000, report=lambda line: None, clock=clock)
    clock.now = 20.0
    progress.show(10, 0.25)
    assert progress.line(10, 0.25) == "step 10/1000  loss 0.25  2 s/step  33:00 left"
    clock.now = 21.0
    progress.show(90, 0.25)
    assert progress.line(90, 0.25) == "step 90/1000  loss 0.25  4.29 steps/s  3:32 left"


def test_writes_at_most_one_line_in_fifteen_seconds_and_the_last():
    clock = Clock()
    lines: list[str] = []
    with Progress(100, report=lines.append, clock=clock) as progress:
        for step in range(1, 101):
            clock.now += 1.0
            progress.show(step, 1.0)
    steps = [int(line.split()[1].split("/")[0]) for line in lines]
    assert steps == [15, 30, 45, 60, 75, 90, 100]


def test_long_runs_count_hours():
    clock = Clock()
    progress = Progress(1001, report=lambda line: None, clock=clock)
    clock.now = 10.0
    progress.show(1, 1.0)
    assert progress.line(1, 1.0).endswith("2:46:40 left")
