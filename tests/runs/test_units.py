"""Weights meet tiles of other units only if the user says so."""

from pathlib import Path
from typing import Any

import pytest

from kit.errors import InputError
from kit.runs.units import check_units
from kit.runs.weights import Weights
from kit.units_record import UnitsRecord
from kit.variants.registry import VARIANTS

PICTURES = {"radar": "picture", "optical": "picture", "vv_range": [0.0, 255.0]}


def weights(units: UnitsRecord) -> Weights:
    facts = {"units": units} if units else {}
    return Weights(Path("w"), VARIANTS["spade2"], facts, "", dict)


@pytest.mark.parametrize(("trained", "tiles"), [(PICTURES, None), (None, PICTURES)])
def test_other_units_are_refused_or_admitted(
    trained: dict[str, Any] | None, tiles: dict[str, Any] | None
) -> None:
    lines: list[str] = []
    with pytest.raises(InputError, match=r"vv range 0\.\.255") as error:
        check_units([weights(trained)], tiles, Path("t"), "check", lines.append)
    assert "--any-units" in error.value.remedy
    check_units([weights(trained)], tiles, Path("t"), "any", lines.append)
    assert len(lines) == 1


@pytest.mark.parametrize("units", [PICTURES, None])
def test_equal_units_are_no_matter(units: UnitsRecord) -> None:
    check_units([weights(units)], units, Path("t"), "strict", pytest.fail)
