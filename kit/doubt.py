"""What speaks against some pixels: a line to warn with, or an error.

In: doubts, and what is to become of them. Out: lines. Refused: what is impossible, unless units are
not to be checked; every doubt, if that is asked for.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kit.errors import InputError

Units = Literal["check", "strict", "any"]
"""What becomes of a doubt: a warning, or an error if it is impossible; always an error; nothing."""

ADMIT = "or give --any-units, if they are dB and DN after all"


@dataclass(frozen=True, slots=True)
class Doubt:
    """What speaks against the units of some pixels, and what to do; or that they are impossible.

    `admit` says how to have them taken all the same, and `admitted` is what is told where they are.
    """

    problem: str
    remedy: str
    impossible: bool = False
    admit: str = ADMIT
    admitted: str = ""

    def __str__(self) -> str:
        return f"{self.problem}: {self.remedy}"


def settle(where: str | Path, doubts: Iterable[Doubt], units: Units) -> tuple[str, ...]:
    """The doubts as lines to warn with.

    Raises:
        InputError: one is impossible, or there is one and `units` is "strict".
    """
    found = sorted(doubts, key=lambda doubt: not doubt.impossible)
    if units == "any":
        return tuple(doubt.admitted for doubt in found if doubt.admitted)
    for doubt in found:
        if doubt.impossible or units == "strict":
            raise InputError(where, doubt.problem, remedy=f"{doubt.remedy}; {doubt.admit}")
    return tuple(map(str, found))
