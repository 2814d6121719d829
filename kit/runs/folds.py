"""Runs of the folds of one variant: which belong together, and whether all are there.

In: names of runs, or of members that were predicted, with their variants. Out: those that the name
of a variant stands for. Refused by name: folds that are missing, and folds of different numbers.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kit.errors import InputError
from kit.storage.files import known_to_differ
from kit.variants.settings import Variant

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Origin:
    """Of what a member of an ensemble is: its variant, how many folds, the fingerprint of pairs."""

    variant: str
    folds: int
    pairs_sha256: str | None


def folds_of(name: str, variants: Mapping[str, Variant]) -> dict[str, Variant]:
    """Those of some runs that are folds of `name`."""
    return {
        run: variant
        for run, variant in variants.items()
        if variant.folds > 1 and variant.base_name == name
    }


def complete(
    name: str, found: Mapping[str, Variant], where: Path, remedy: Callable[[str], str]
) -> tuple[str, ...]:
    """The folds of `name` in their order, if all are there.

    Args:
        name: of the variant.
        found: its folds that are there; at least one.
        where: what an error names as their place.
        remedy: from a fold such as "2/5" to what to do if it is missing.

    Raises:
        InputError: one is missing, or they are of different numbers of folds.
    """
    counts = sorted({variant.folds for variant in found.values()})
    if len(counts) > 1:
        numbers = " and ".join(map(str, counts))
        problem = f"holds folds of {name} of which some are of {numbers}"
        raise InputError(where, problem, remedy="move those of one number away")
    (count,) = counts
    there = {variant.fold: run for run, variant in found.items()}
    if missing := [fold for fold in range(1, count + 1) if fold not in there]:
        few = ", ".join(map(str, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        problem = f"lacks {len(missing)} of {count} folds of {name}: {few}"
        raise InputError(where, problem, remedy=remedy(f"{missing[0]}/{count}"))
    return tuple(there[fold] for fold in range(1, count + 1))


def own_run(name: str, folds: int) -> str:
    """The line about a name that has a run of its own and folds too."""
    return f"{name}: the run of this name is used, and not its {folds} folds"


def mixture(origins: Iterable[Origin]) -> tuple[str, ...]:
    """Lines about members of an ensemble that were not trained on the same pairs and folds."""
    first, *others = dict.fromkeys(origins)
    lines = []
    for other in others:
        if other.folds != first.folds:
            counts = f"{other.variant} has {_count(other.folds)}, {first.variant} {first.folds}"
            lines.append(counts)
        if known_to_differ(first.pairs_sha256, other.pairs_sha256):
            lines.append(f"{other.variant} was trained on other pairs than {first.variant}")
    return tuple(dict.fromkeys(lines))


def _count(folds: int) -> str:
    return f"{folds} folds" if folds > 1 else "1 fold"
