"""The line that says how a run goes: live on a terminal, now and then in a file."""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text


class Progress:
    """Shows step, loss, rate and time left.

    On a terminal one line is kept up to date; elsewhere a line is written at most every
    `interval` seconds, so that a log file stays short.

    Args:
        num_steps: steps of the whole run.
        step: where it starts.
        report: takes each line instead of standard error.
        interval: seconds between two plain lines.
        clock: gives seconds; another one in tests.
    """

    def __init__(
        self,
        num_steps: int,
        *,
        step: int = 0,
        report: Callable[[str], None] | None = None,
        interval: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts the clock."""
        self.num_steps = num_steps
        self._clock = clock
        self._interval = interval
        self._last_line = clock()
        self._recent: deque[tuple[float, int]] = deque([(clock(), step)], maxlen=50)
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._report = report
        if report is None and self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=False)

    def __enter__(self) -> "Progress":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, step: int, loss: float) -> None:
        """Tells that `step` steps are done, the last with this loss."""
        now = self._clock()
        self._recent.append((now, step))
        if self._live is not None:
            self._live.update(Text(self.line(step, loss)))
        elif now - self._last_line >= self._interval or step == self.num_steps:
            self._last_line = now
            self.say(self.line(step, loss))

    def say(self, text: str) -> None:
        """Writes a line of its own."""
        if self._report is not None:
            self._report(text)
        else:
            self._console.print(Text(text), soft_wrap=True)

    def line(self, step: int, loss: float) -> str:
        """What is shown after `step` steps."""
        (begin, first), (end, last) = self._recent[0], self._recent[-1]
        line = f"step {step}/{self.num_steps}  loss {loss:.4g}"
        if last == first or end == begin:
            return line
        seconds = (end - begin) / (last - first)
        rate = f"{1 / seconds:.3g} steps/s" if seconds < 1 else f"{seconds:.3g} s/step"
        return f"{line}  {rate}  {_duration(seconds * (self.num_steps - step))} left"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds, as `2:05:09` or `5:09`."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
