"""Whether bfloat16 pays is measured: here by machines that are made up."""

import pwd
import tempfile
import time
from pathlib import Path

import pytest
import torch

from kit.engines.backends import eager, inductor
from kit.machine import bfloat16, kept
from kit.machine.bfloat16 import WHAT, Rates, bfloat16_pays, measure
from kit.machine.kept import kept_at

AMX = Rates(350, 2000)
AVX512_BF16 = Rates(185, 407)
NEITHER = Rates(185, 60)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A function that makes this machine one of such rates, and returns how often it is asked."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(bfloat16, "_has_bfloat16", lambda: True)
    asked: list[int] = []

    def become(found: Rates) -> list[int]:
        bfloat16.rates.cache_clear()
        asked.clear()
        monkeypatch.setattr(bfloat16, "measure", lambda rounds: asked.append(rounds) or found)
        return asked

    yield become
    bfloat16.rates.cache_clear()


@pytest.mark.parametrize(("found", "pays"), [(AMX, True), (AVX512_BF16, True), (NEITHER, False)])
def test_what_is_measured_decides(machine, found: Rates, pays: bool) -> None:
    machine(found)
    assert bfloat16_pays() == pays
    assert ("bfloat16" in eager.precisions()) == pays
    assert ("bfloat16" in inductor.precisions()) == pays


def test_a_gain_within_the_noise_is_none(machine) -> None:
    machine(Rates(100, 115))
    assert not bfloat16_pays()


def test_a_machine_is_measured_once(machine) -> None:
    first = machine(AVX512_BF16)
    assert bfloat16_pays() and bfloat16_pays() and len(first) == 1
    again = machine(Rates(170, 400))  # the next process, in which one round is a little slower
    assert bfloat16.rates() == AVX512_BF16 and again == [1]


def test_a_machine_that_was_busy_is_measured_again(machine) -> None:
    machine(Rates(60, 65))
    assert not bfloat16_pays()
    again = machine(AVX512_BF16)
    assert bfloat16_pays() and again[0] == 1 and len(again) == 2
    machine(Rates(60, 65))  # and a busy hour changes nothing of what is known
    assert bfloat16_pays() and bfloat16.rates() == AVX512_BF16


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 2, "float32": "x", "bfloat16": 1, "check": ""}']
)
def test_a_damaged_record_is_measured_again(machine, text: str) -> None:
    machine(AMX)
    assert bfloat16_pays()
    kept_at(WHAT).write_text(text)
    assert len(machine(AMX)) == 0 and bfloat16_pays()
    assert bfloat16._read() == AMX


def test_a_folder_that_cannot_be_written_to_is_no_error(machine, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    machine(AMX)
    assert bfloat16_pays()


def test_a_user_without_a_name_and_a_home_has_rates(machine, tmp_path, monkeypatch) -> None:
    def nameless(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", nameless)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "")  # so that it is as it was afterwards
    monkeypatch.delenv("HOME")
    first = machine(AMX)
    assert bfloat16_pays() and len(first) == 1
    machine(NEITHER)  # the next process
    assert bfloat16_pays() and bfloat16.rates() == AMX


def test_another_machine_with_the_same_home_has_a_record_of_its_own(machine, monkeypatch) -> None:
    machine(AMX)
    assert bfloat16_pays()
    here = kept_at(WHAT)
    monkeypatch.setattr(kept, "machine", lambda: "another")
    machine(NEITHER)
    assert not bfloat16_pays() and kept_at(WHAT) != here


def test_a_processor_without_bfloat16_is_not_measured(machine, monkeypatch) -> None:
    asked = machine(AMX)
    monkeypatch.setattr(bfloat16, "_has_bfloat16", lambda: False)
    assert not bfloat16_pays() and not asked


def test_measuring_draws_no_random_number_and_leaves_no_gradient() -> None:
    if not bfloat16._has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    before = torch.get_rng_state()
    started = time.perf_counter()
    with torch.inference_mode():
        found = measure(1)
    assert found.float32 > 0 and found.bfloat16 > 0
    assert time.perf_counter() - started < 60
    assert torch.equal(before, torch.get_rng_state())
