"""One thing that was found in an archive, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass

REPACK = "package again"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about an archive that the server would reject.

    If `harmless`, the server ignores it, or reads it nevertheless: a warning. If `black`, it scores
    the image, but as black, so the kit refuses it.
    """

    name: str
    problem: str
    remedy: str
    harmless: bool = False
    black: bool = False

    @property
    def server(self) -> str:
        """What the server does with it, in a few words."""
        return "accepts" if self.harmless else "scores as black" if self.black else "rejects"


def verdict(archive: str, findings: Iterable[Finding]) -> str:
    """What the server would do with an archive of which not all findings are harmless."""
    if all(finding.black for finding in findings if not finding.harmless):
        return f"the server would score images of {archive} as black"
    return f"the server would reject {archive}"
