"""How long work reports what it is doing to whoever asked for it."""

from collections.abc import Callable
from typing import Protocol


class Advance(Protocol):
    """What long work calls with (done, total), and a few words if it likes, as it goes on.

    A total of 0 is one that is not known yet.
    """

    def __call__(self, done: int, total: int, words: str = "", /) -> None:
        """Show how far the work is."""


Report = Callable[[str], None]
"""What long work calls with a line for the reader: what it does, and why."""

Stop = Callable[[], bool]
"""What long work asks whether it is to stop."""


def each_once(report: Report) -> Report:
    """A report that passes each line on the first time alone."""
    told = set[str]()

    def report_new(line: str) -> None:
        if line not in told:
            told.add(line)
            report(line)

    return report_new
