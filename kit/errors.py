"""What can go wrong, one class per exit code.

Library code raises these and never exits; `kit.cli.main` turns them into a line on stderr and the
code. Codes 0 (done), 1 (a bug), 2 (usage, from Typer) and 130 (interrupted) need no class.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

_LISTED = 20
_LONGEST = 600  # characters of a problem: a list of a few names fits


class KitError(Exception):
    """Root of every error that the kit raises on purpose."""

    exit_code = 1


def shorten(text: str) -> str:
    """A text that fits a message: of a longer one the beginning and the end."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[:half]} ... {text[-half:]}"


class InputError(KitError, ValueError):
    """An input or a setting is wrong: says which, what is wrong with it, and what to do.

    Args:
        where: the file, folder or setting that is at fault.
        problem: what is wrong with it.
        remedy: what the user can do about it.
    """

    exit_code = 3

    def __init__(self, where: str | Path, problem: str = "", *, remedy: str = "") -> None:
        # A process that reads tiles hands its error over as one finished text.
        self.where = str(where)
        # It may quote a damaged file, whose values have any length.
        self.problem = problem = shorten(problem)
        self.remedy = remedy
        message = f"{where}: {problem}" if problem else str(where)
        super().__init__(message + (f"\n  {remedy}" if remedy else ""))

    @property
    def brief(self) -> str:
        """What is wrong with which file, for a list of many."""
        return f"{Path(self.where).name}: {self.problem}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question after the name that is closest to `name` among those known; "" if none is."""
    lower = {each.lower(): each for each in reversed([*known])}
    closest = get_close_matches(name.lower(), lower, n=1)
    return f"did you mean {lower[closest[0]]}? " if closest else ""


def no_such(what: str, name: str | Path, known: Iterable[str], more: str = "") -> InputError:
    """The error for a name that nothing has; says which names there are, and the closest of them.

    Args:
        what: what it should be the name of, such as "variant".
        name: what the user gave.
        known: the names that there are.
        more: what else may be given.
    """
    names = list(dict.fromkeys(known))
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = f"known are {', '.join(names[:_LISTED])}{rest}" if names else "there is none"
    return InputError(
        name, f"no such {what}", remedy=f"{did_you_mean(str(name), names)}{listed}{more}"
    )


class CheckError(KitError):
    """A check of our own failed: an archive the server would reject, a loss that is not finite."""

    exit_code = 4


class BusyError(KitError):
    """The output exists already, or another process is writing it."""

    exit_code = 5


class OutputError(KitError, OSError):
    """The output cannot be written: the disk is full, say, or the folder is read-only."""

    exit_code = 5
