"""A variant as files hold it: configurations of runs, weights, manifests.

In: a variant. Out: a JSON object with the number of its format, and the variant again, whichever
version of the kit wrote it. Refused by name: what a newer kit wrote, and fields of the wrong kind.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from kit.errors import InputError
from kit.storage.seal import UNSEALED, check_format
from kit.variants.overlay import overlay
from kit.variants.registry import SPADE1
from kit.variants.settings import Variant, to_dict

FORMAT = 4
"""1 has no number: kits before 0.3.0 wrote it."""

_FORMAT = "format"

# What a field is in a record that lacks it: by the newest format without the field, its value
# wherever that is not today's default. A field that changes its default gets a line here.
_THEN: dict[int, dict[str, Any]] = {
    1: {"spectral_norm": "torch"},
}


def to_record(variant: Variant) -> dict[str, Any]:
    """The variant as plain JSON values; `from_record` reads them back."""
    return {_FORMAT: FORMAT, **to_dict(variant)}


def from_record(values: Any, path: Path, remedy: str) -> Variant:
    """The variant that `to_record` of this version or an earlier one wrote.

    Args:
        values: what should be its record.
        path: of the file that holds it.
        remedy: tells the user what to do where it cannot be read.

    Raises:
        InputError: it is no record, a newer kit wrote it, or a field is unknown, lacks a value or
            has one of the wrong kind.
    """
    if not isinstance(values, Mapping):
        raise InputError(path, "damaged: it holds no variant", remedy=remedy)
    number = values.get(_FORMAT, UNSEALED)
    check_format(path, number, FORMAT, remedy)
    known = {name: value for name, value in values.items() if name != _FORMAT}
    complete = _defaults(number) | known
    if missing := [field.name for field in fields(Variant) if field.name not in complete]:
        raise InputError(path, f"its variant has no {', '.join(missing)}", remedy=remedy)
    name = complete["name"]
    try:
        return overlay(SPADE1, complete, str(name))
    except InputError as error:
        problem = f"its variant is not valid ({error.where[:40]}: {error.problem[:200]})"
        raise InputError(path, problem, remedy=remedy) from None


def _defaults(number: int) -> dict[str, Any]:
    """The value of each field that a record of this format may lack."""
    now = {
        field.name: list(field.default) if isinstance(field.default, tuple) else field.default
        for field in fields(Variant)
        if field.default is not MISSING
    }
    # The oldest last, as it is nearest to the record.
    for newest in sorted(_THEN, reverse=True):
        if newest >= number:
            now |= _THEN[newest]
    return now
