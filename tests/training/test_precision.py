"""A run is trained in the precision that its record says, whichever machine it goes on on."""

import json
from pathlib import Path

import pytest

from kit.machine import bfloat16
from kit.runs.folder import read_variant
from kit.storage.seal import read_record, write_record
from kit.training import precision, train_step
from kit.training.precision import settled
from kit.training.train import train
from kit.training.train_step import TrainStep
from tests.helpers.variants import tiny

RUN = Path("runs/p2phd1")


@pytest.fixture
def pays(monkeypatch: pytest.MonkeyPatch):
    """A function that makes this machine one on which bfloat16 pays, or not."""

    def become(found: bool) -> None:
        for module in (precision, train_step, bfloat16):
            monkeypatch.setattr(module, "bfloat16_pays", lambda: found)

    return become


@pytest.mark.parametrize(("found", "name"), [(True, "bfloat16"), (False, "float32")])
def test_a_new_run_is_in_the_faster_one(pays, tmp_path: Path, found: bool, name: str) -> None:
    pays(found)
    auto = tiny("p2phd1", "precision=auto")
    assert settled(auto, tmp_path).precision == name
    assert settled(tiny("p2phd1", "precision=float32"), tmp_path).precision == "float32"


@pytest.mark.slow
def test_the_record_says_it_and_the_run_goes_on_in_it(trained: Path, pays, monkeypatch) -> None:
    halves: list[bool] = []
    begin = TrainStep.__init__

    def init(self, *rest, **named) -> None:
        begin(self, *rest, **named)
        halves.append(self.half)

    monkeypatch.setattr(TrainStep, "__init__", init)
    auto = tiny("p2phd1", "precision=auto")
    pays(True)
    train(auto, work=Path("work"), runs=Path("runs"), overwrite=True)
    assert read_variant(RUN).precision == "bfloat16"
    pays(False)
    told: list[dict] = []
    train(auto, work=Path("work"), runs=Path("runs"), watch=told.append)
    notes = [record["note"] for record in told if "note" in record]
    assert read_variant(RUN).precision == "bfloat16" and halves == [True, True]
    assert "goes on in bfloat16, as it was started" in notes[0] and len(notes) == 2


@pytest.mark.parametrize("amx", [True, False])
def test_a_run_of_an_earlier_kit_goes_on_as_that_kit_decided(
    trained: Path, pays, monkeypatch, amx: bool
) -> None:
    record = read_record(RUN / "config.json", 2, "")
    record["variant"]["precision"] = "auto"
    write_record(RUN / "config.json", 2, record)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": amx})
    pays(not amx)
    found = settled(tiny("p2phd1", "precision=auto"), RUN)
    assert found.precision == ("bfloat16" if amx else "float32")
    assert json.loads((RUN / "config.json").read_text())["variant"]["precision"] == "auto"
