"""`predictions/last.json`: which ensemble was predicted last, the default of `kit package`."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from kit.errors import InputError
from kit.storage.seal import read_record, write_record
from kit.tiles.rejection import Rejection

LAST_PREDICTION = "last.json"
_FORMAT = 2
_REMEDY = "run: kit predict, or name the members with --ensemble"


def was_predicted(predictions: Path) -> bool:
    """Whether an ensemble has been predicted, as far as its record is there."""
    return (predictions / LAST_PREDICTION).exists()


def read_last(predictions: Path) -> tuple[str, tuple[str, ...]]:
    """The ensemble as it was given to `kit predict`, and its members.

    Raises:
        InputError: nothing was predicted yet, or the file is damaged.
    """
    path = predictions / LAST_PREDICTION
    last = read_record(path, _FORMAT, _REMEDY)
    try:
        ensemble, members = str(last["ensemble"]), tuple(map(str, last["members"]))
    except (KeyError, TypeError) as error:
        problem = f"not what kit predict writes ({error!r})"
        raise InputError(path, problem, remedy=_REMEDY) from None
    if not members:
        raise InputError(path, "names no member", remedy=_REMEDY)
    return ensemble, members


def write_last(
    predictions: Path, ensemble: str, members: Sequence[str], rejected: Iterable[Rejection]
) -> None:
    """Record an ensemble and what was left out of its prediction.

    Raises:
        OutputError: it cannot be written.
    """
    left_out = [{"name": item.name, "reason": item.reason} for item in rejected]
    last = {"ensemble": ensemble, "members": list(members), "rejected": left_out}
    write_record(predictions / LAST_PREDICTION, _FORMAT, last)
