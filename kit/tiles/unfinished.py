"""The mark of a folder whose tiles are not all there yet, which nothing may be made from."""

from itertools import islice
from pathlib import Path

from kit.errors import InputError

UNFINISHED = "unfinished.json"


def refuse_unfinished(folder: Path) -> None:
    """Refuse a folder that is being written, or was when a command ended, or a part of one.

    Raises:
        InputError: the mark is in the folder, or in one of the two above it.
    """
    at = folder.absolute()
    for above in (at, *islice(at.parents, 2)):
        if (above / UNFINISHED).exists():
            problem = f"is not finished: {above / UNFINISHED} is there"
            remedy = "run the same kit simulate again, or kit prepare, to go on where it stopped"
            raise InputError(folder, problem, remedy=remedy)
