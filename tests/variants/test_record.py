"""A variant in a file is read whichever version wrote it, and a newer one is refused by name."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import kit.variants.record
from kit.errors import InputError
from kit.variants.record import FORMAT, from_record, to_record
from kit.variants.registry import SPADE1, VARIANTS
from kit.variants.settings import to_dict

HERE = Path("config.json")


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_come_back(name: str) -> None:
    assert from_record(to_record(VARIANTS[name]), HERE, "") == VARIANTS[name]


def test_what_the_first_kits_wrote_trained_with_torchs_spectral_norm() -> None:
    values = to_dict(SPADE1)
    del values["spectral_norm"]
    assert from_record(values, HERE, "") == replace(SPADE1, spectral_norm="torch")


def test_a_field_that_is_missing_is_what_it_was_in_that_format(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = to_dict(SPADE1)
    for field in ("clip", "ema", "betas", "seed"):
        values.pop(field)
    then = {1: {"clip": 1.0, "ema": 0.5}, 2: {"clip": 2.0, "seed": 7}}
    monkeypatch.setattr(kit.variants.record, "_THEN", then)
    monkeypatch.setattr(kit.variants.record, "FORMAT", 3)
    values["betas"] = [0.0, 0.9]
    found = [from_record(values | {"format": number}, HERE, "") for number in (1, 2, 3)]
    assert [(each.clip, each.ema, each.seed) for each in found] == [
        (1.0, 0.5, 7), (2.0, 0.9999, 7), (10.0, 0.9999, 0),
    ]  # fmt: skip


def test_a_field_that_never_had_a_default_is_missed() -> None:
    values = to_record(SPADE1)
    del values["gan"], values["model"]
    with pytest.raises(InputError, match=r"config\.json: its variant has no model, gan\n  restore"):
        from_record(values, HERE, "restore it")


def test_a_newer_format_is_refused_by_name() -> None:
    values = to_record(SPADE1) | {"format": FORMAT + 1, "field_to_come": 1}
    with pytest.raises(InputError, match=r"config\.json: written by a newer version of the kit"):
        from_record(values, HERE, "restore it")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"width": "64"}, "width is '64'"),
        ({"breadth": 64}, "no field called 'breadth'"),
        ({"seed": 2**64}, "seed is a number of 65 bits"),
        ({"seed": 10**400}, "seed is a number of 1329 bits"),
        ({"lr": 10**400}, "lr is a number of 1329 bits"),
        ({"betas": [10**400, 0]}, "betas is a number of 1329 bits"),
        ({"epochs": 10**12}, "epochs is 1000000000000"),
        ({"decay_epochs": 10**12}, "decay_epochs is 1000000000000"),
        ({"width": 2**40}, "width is 1099511627776"),
        ({"batch": 2**63}, "batch is 9223372036854775808"),
        ({"name": None}, "name is None"),
        ({"format": "2"}, "its format is '2'"),
        ({"format": None}, "its format is 'None'"),
    ],
)
def test_what_no_kit_wrote_is_refused(change: dict, found: str) -> None:
    with pytest.raises(InputError, match=re.escape(found)) as refusal:
        from_record(to_record(SPADE1) | change, HERE, "restore it")
    assert refusal.value.where == "config.json"


@pytest.mark.parametrize("value", [None, [], "spade1", 3])
def test_what_is_no_record_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="holds no variant"):
        from_record(value, HERE, "")
