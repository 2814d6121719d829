"""kit verify as it is typed."""

import json
from pathlib import Path

import pytest

from kit.screening.screen import screen
from tests.helpers.tiles import world


@pytest.fixture
def screened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    world(Path("data"), places=1, dates=1)
    screen("data", "work")
    return tmp_path


def test_what_is_whole_and_what_is_damaged(screened: Path, kit) -> None:
    code, out, err = kit("verify --json")
    assert code == 0 and "nothing is damaged" in err
    assert json.loads(out)["checked"] == {"part of the screening": 2, "table of scenes": 1}
    table = screened / "work" / "scenes.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    code, out, err = kit("verify work --data --json")
    assert code == 4 and "1 file is damaged" in err and "run kit screen DATA again" in err
    assert json.loads(out)["damaged"][0]["path"] == "work/scenes.parquet"
    code, out, err = kit("verify nowhere")
    assert code == 3 and "no such folder" in err
