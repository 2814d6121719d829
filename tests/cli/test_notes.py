"""Notes as they are typed, and where they are shown."""

import json
from pathlib import Path

import pytest

from kit.runs.notes import add_note


def test_status_and_validate_show_notes_and_what_sets_runs_apart(trained: Path, kit) -> None:
    add_note(Path("runs/spade2"), "does L1 alone do?")
    code, out, err = kit("status --json")
    assert code == 0 and "note on spade2: does L1 alone do?" in err
    assert "What sets runs apart" in err and "gan=" in err
    found = {row["variant"]: row for row in json.loads(out)}
    assert found["spade4"]["differs"]["gan"] == 1.0 and "gan" not in found["spade2"]["differs"]
    assert found["spade2"]["notes"] == ["does L1 alone do?"]
    code, out, err = kit("validate spade2 --json")
    assert code == 0 and "note on spade2: does L1 alone do?" in err
    rows = {row["variant"]: row for row in json.loads(out)}
    assert rows["spade2"]["notes"] == ["does L1 alone do?"]


@pytest.mark.slow
def test_a_start_and_a_note_are_typed(trained: Path, monkeypatch, kit) -> None:
    small = "--set width=2 --set batch=4 --set crop=32 --set epochs=1 --set decay_epochs=0"
    init = "--init runs/p2phd1/weights.safetensors --note fine"
    code, _, err = kit(f"train p2phd1 {small} --set name=tuned --set validations=1 {init}")
    assert code == 0 and "starts from runs/p2phd1/weights.safetensors, weights of p2phd1" in err
    assert "note on tuned: fine" in kit("status")[2]
    code, _, err = kit(f"train unet1 {small} --set name=other {init}")
    assert code == 3 and "trained with: model=pix2pixhd, norm=instance" in err
