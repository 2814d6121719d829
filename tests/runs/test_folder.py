"""The configuration of a run is sealed, read whichever kit wrote it, and decides how it goes on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kit.errors import BusyError, InputError
from kit.runs.claim import Basis, claim
from kit.runs.earlier import set_aside
from kit.runs.folder import (
    CONFIG,
    FORMAT,
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


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An empty folder for the run."""
    folder = tmp_path / "spade4"
    folder.mkdir()
    return folder


def begin(folder: Path) -> None:
    """A run that kit 0.2.0 began, and that has saved something."""
    values = to_dict(SPADE)
    del values["spectral_norm"]
    write_json(folder / CONFIG, {"variant": values, "pairs_sha256": "abc"})
    (folder / "weights.safetensors").touch()


def test_a_run_is_what_was_claimed(run: Path) -> None:
    assert claim(run, SPADE, Basis("abc")) == SPADE
    assert read_variant(run) == SPADE
    assert read_pairs_sha256(run) == "abc"
    assert json.loads((run / CONFIG).read_text())["format"] == FORMAT


def test_a_run_of_an_earlier_kit_goes_on_with_its_own_spectral_norm(run: Path) -> None:
    begin(run)
    own = replace(SPADE, spectral_norm="torch")
    assert read_variant(run) == own
    for _ in range(2):  # the second time from a configuration of today's format
        assert claim(run, own, Basis("abc")) == own
    begin(run)
    assert claim(run, SPADE, Basis("abc")) == own


def test_typed_again_it_still_goes_on_with_its_own(run: Path) -> None:
    begin(run)
    own = claim(run, SPADE, Basis("abc"))
    assert claim(run, SPADE, Basis("abc")) == own


def test_from_the_start_it_takes_todays(run: Path) -> None:
    begin(run)
    set_aside(run)
    assert claim(run, SPADE, Basis("abc")) == SPADE


def test_another_configuration_is_refused(run: Path) -> None:
    begin(run)
    write_training_pairs(run, [("r1", "o1"), ("r2", "o2")])
    differs = "started with width=2, not 8; other data: 2 pairs to train on, not 1, 1 missing, o2"
    with pytest.raises(BusyError, match=differs):
        claim(run, replace(SPADE, width=8), Basis("def", [("r1", "o1")]))


def test_settings_are_named_as_set_takes_them(run: Path) -> None:
    begin(run)
    with pytest.raises(BusyError, match="started with turns=false, not true"):
        claim(run, replace(SPADE, turns=True), Basis("abc"))


PICTURES = {"radar": "picture", "optical": "DN", "vv_range": [0.0, 255.0]}


@pytest.mark.parametrize(("before", "now"), [(None, PICTURES), (PICTURES, None)])
def test_pairs_of_other_units_are_refused(run: Path, before, now) -> None:
    for units in (before, now):  # nothing is trained yet
        claim(run, SPADE, Basis("abc", units=units))
    claim(run, SPADE, Basis("abc", units=before))
    (run / "weights.safetensors").touch()
    (run / "checkpoints/step-1").mkdir(parents=True)
    assert claim(run, SPADE, Basis("abc", units=before)) == SPADE
    with pytest.raises(BusyError, match=r"started with pairs of .*radar picture, optical DN"):
        claim(run, SPADE, Basis("abc", units=now))


@pytest.mark.parametrize("content", ["[]", "null", "{", "{}", '{"variant": []}', "[" * 10**5])
def test_what_is_no_configuration_is_refused(run: Path, content: str) -> None:
    (run / CONFIG).write_text(content)
    for read in (read_variant, read_pairs_sha256):
        if (content, read) != ("{}", read_pairs_sha256):
            with pytest.raises(InputError, match=CONFIG):
                read(run)


def test_a_changed_configuration_is_noticed(run: Path) -> None:
    claim(run, SPADE, Basis("abc"))
    path = run / CONFIG
    path.write_text(path.read_text().replace('"epochs": 1', '"epochs": 2'))
    with pytest.raises(InputError, match=r"config\.json: damaged"):
        read_variant(run)


def test_a_newer_configuration_is_refused_by_name(run: Path) -> None:
    write_json(run / CONFIG, sealed(FORMAT + 1, {"variants": []}))
    with pytest.raises(InputError, match=r"config\.json: written by a newer version of the kit"):
        read_variant(run)


def test_an_epoch_beyond_counting_ends_at_once(run: Path) -> None:
    values = to_dict(SPADE) | {"epochs": 10**12}
    write_json(run / CONFIG, {"variant": values, "pairs_sha256": "abc"})
    with pytest.raises(InputError, match="epochs is 1000000000000"):
        read_variant(run)


def test_damaged_records_are_left_out(run: Path) -> None:
    for step in range(4):
        append_record(run, {"step": step, "l1": 0.5})
    path = run / METRICS
    first, second, third, fourth = path.read_bytes().splitlines(keepends=True)
    odd = b'{"step": "5"}\n{"step": 6, "steps": []}\n{"step": 7, "images_per_s": null}\n[]\n'
    odd += b'{"step": 8, "images_per_s": NaN}\n{"step": %d}\n' % 10**400
    path.write_bytes(first + second.replace(b"0.5", b"0.7") + odd + third + fourth[:-9])
    assert [record["step"] for record in read_records(run)] == [0, 2]


@pytest.mark.parametrize("content", ["[]", "null", "{"])
def test_a_state_of_another_kind_is_named(run: Path, content: str) -> None:
    path = run / "checkpoints" / "step-00000001" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError, match=r"state\.json"):
        finished(run, SPADE)
