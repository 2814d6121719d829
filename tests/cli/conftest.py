"""Commands typed in this process."""

import sys

import pytest

from kit.cli import console, main


@pytest.fixture(autouse=True)
def loud():
    yield
    console.stderr.quiet = False


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run `kit ...` in this process; returns (exit code, stdout, stderr)."""
    # Tables are wrapped to the width of the terminal, which a test does not have.
    monkeypatch.setattr(console.stderr, "_width", 200)

    def run(line: str) -> tuple[int, str, str]:
        console.stderr.quiet = False  # whatever an earlier command was told
        monkeypatch.setattr(sys, "argv", ["kit", *line.split()])
        with pytest.raises(SystemExit) as end:
            main.main()
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return run
