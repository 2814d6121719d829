"""kit verify as it is typed."""

import json
import sys
from pathlib import Path

import pytest

from kit.cli import console, main
from kit.screening.screen import screen
from tests.helpers.tiles import world


@pytest.fixture
def screened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console.stderr, "_width", 200)
    world(Path("data"), places=1, dates=1)
    screen("data", "work")
    return tmp_path


def run(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["kit", *line.split()])
    with pytest.raises(SystemExit) as end:
        main.main()
    out, err = capsys.readouterr()
    console.stderr.quiet = False
    return int(end.value.code or 0), out, err


def test_what_is_whole_and_what_is_damaged(screened: Path, monkeypatch, capsys) -> None:
    code, out, err = run("verify --json", monkeypatch, capsys)
    assert code == 0 and "nothing is damaged" in err
    assert json.loads(out)["checked"] == {"part of the screening": 2, "table of scenes": 1}
    table = screened / "work" / "scenes.parquet"
    table.write_bytes(table.read_bytes()[:-1] + b"?")
    code, out, err = run("verify work --data --json", monkeypatch, capsys)
    assert code == 4 and "1 file is damaged" in err and "run kit screen DATA again" in err
    assert json.loads(out)["damaged"][0]["path"] == "work/scenes.parquet"
    code, out, err = run("verify nowhere", monkeypatch, capsys)
    assert code == 3 and "no such folder" in err
