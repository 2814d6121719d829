"""One thing that was found in an archive, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an archive that the server would reject.

    If `harmless`, the server ignores it, or reads it nevertheless: a warning.
    """

    name: str
    problem: str
    remedy: str
    harmless: bool = False
