"""The configuration of a run is sealed, read whichever kit wrote it, and decides how it goes on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import BusyError, InputError
from kit.runs.earlier import set_aside
from kit.runs.folder import (
    CONFIG,
    FORMAT,
    claim,
    finished,
    read_pairs_sha256,
    read_variant,
)
from kit.runs.records import METRICS, append_record, read_records
from kit.runs.training_pairs import write_training_pairs
from kit.storage.files import write_json
from kit.storage.seal import sealed
from kit.variants.settings import to_dict
from tests.helpers.variants import tiny

SPADE = tiny("spade4", "validations=10")


def begin(folder: Path) -> None:
    """A run that kit 0.2.0 began, and that has saved something."""
    values = to_dict(SPADE)
    del values["spectral_norm"]
    write_json(folder / CONFIG, {"variant": values, "pairs_sha256": "abc"})
    (folder / "weights.safetensors").touch()


def test_a_run_is_what_was_claimed(tmp_path: Path) -> None:
    assert claim(tmp_path, SPADE, "abc") == SPADE
    assert read_variant(tmp_path) == SPADE
    assert read_pairs_sha256(tmp_path) == "abc"
    assert json.loads((tmp_path / CONFIG).read_text())["format"] == FORMAT


def test_a_run_of_an_earlier_kit_goes_on_with_its_own_spectral_norm(tmp_path: Path) -> None:
    begin(tmp_path)
    own = replace(SPADE, spectral_norm="torch")
    assert read_variant(tmp_path) == own
    for _ in range(2):  # the second time from a configuration of today's format
        assert claim(tmp_path, own, "abc") == own
    begin(tmp_path)
    assert claim(tmp_path, SPADE, "abc") == own


def test_typed_again_it_still_goes_on_with_its_own(tmp_path: Path) -> None:
    begin(tmp_path)
    own = claim(tmp_path, SPADE, "abc")
    assert claim(tmp_path, SPADE, "abc") == own


def test_from_the_start_it_takes_todays(tmp_path: Path) -> None:
    begin(tmp_path)
    set_aside(tmp_path)
    assert claim(tmp_path, SPADE, "abc") == SPADE


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    begin(tmp_path)
    write_training_pairs(tmp_path, [("r1", "o1"), ("r2", "o2")])
    differs = "started with width=2, not 8; other data: 2 pairs to train on, not 1, 1 missing, o2"
    with pytest.raises(BusyError, match=differs):
        claim(tmp_path, replace(SPADE, width=8), "def", chosen=[("r1", "o1")])


PICTURES = {"radar": "picture", "optical": "DN", "vv_range": [0.0, 255.0]}


@pytest.mark.parametrize(("before", "now"), [(None, PICTURES), (PICTURES, None)])
def test_pairs_of_other_units_are_refused(tmp_path: Path, before, now) -> None:
    for units in (before, now):  # nothing is trained yet
        claim(tmp_path, SPADE, "abc", units=units)
    claim(tmp_path, SPADE, "abc", units=before)
    (tmp_path / "weights.safetensors").touch()
    (tmp_path / "checkpoints/step-1").mkdir(parents=True)
    assert claim(tmp_path, SPADE, "abc", units=before) == SPADE
    with pytest.raises(BusyError, match=r"started with pairs of .*radar picture, optical DN"):
        claim(tmp_path, SPADE, "abc", units=now)


@pytest.mark.parametrize("content", ["[]", "null", "{", "{}", '{"variant": []}', "[" * 10**5])
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / CONFIG).write_text(content)
    for read in (read_variant, read_pairs_sha256):
        if (content, read) != ("{}", read_pairs_sha256):
            with pytest.raises(InputError, match=CONFIG):
                read(tmp_path)


def test_a_changed_configuration_is_noticed(tmp_path: Path) -> None:
    claim(tmp_path, SPADE, "abc")
    path = tmp_path / CONFIG
    path.write_text(path.read_text().replace('"epochs": 1', '"epochs": 2'))
    with pytest.raises(InputError, match=r"config\.json: damaged"):
        read_variant(tmp_path)


def test_a_newer_configuration_is_refused_by_name(tmp_path: Path) -> None:
    write_json(tmp_path / CONFIG, sealed(FORMAT + 1, {"variants": []}))
    with pytest.raises(InputError, match=r"config\.json: written by a newer version of the kit"):
        read_variant(tmp_path)


def test_an_epoch_beyond_counting_ends_at_once(tmp_path: Path) -> None:
    values = to_dict(SPADE) | {"epochs": 10**12}
    write_json(tmp_path / CONFIG, {"variant": values, "pairs_sha256": "abc"})
    with pytest.raises(InputError, match="epochs is 1000000000000"):
        read_variant(tmp_path)


def test_damaged_records_are_left_out(tmp_path: Path) -> None:
    for step in range(4):
        append_record(tmp_path, {"step": step, "l1": 0.5})
    path = tmp_path / METRICS
    first, second, third, fourth = path.read_bytes().splitlines(keepends=True)
    odd = b'{"step": "5"}\n{"step": 6, "steps": []}\n{"step": 7, "images_per_s": null}\n[]\n'
    odd += b'{"step": 8, "images_per_s": NaN}\n{"step": %d}\n' % 10**400
    path.write_bytes(first + second.replace(b"0.5", b"0.7") + odd + third + fourth[:-9])
    assert [record["step"] for record in read_records(tmp_path)] == [0, 2]


@pytest.mark.parametrize("content", ["[]", "null", "{"])
def test_a_state_of_another_kind_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "checkpoints" / "step-00000001" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError, match=r"state\.json"):
        finished(tmp_path, SPADE)
