"""What is said goes to stderr, what is returned to stdout."""

import json
import math
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.cli import console
from kit.errors import InputError


def test_json_holds_no_nan_and_no_infinity(capsys) -> None:
    console.emit({"psnr": math.inf, "rows": [(math.nan, 1.5)], "path": Path("a/b")})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"psnr": None, "rows": [[None, 1.5]], "path": "a/b"}
    assert err == ""


def test_words_and_tables_go_to_stderr(capsys) -> None:
    console.write("[not markup] :smile:")
    console.table("Title", ("name", "n"), [("a", 1), ("b", "2.5")])
    out, err = capsys.readouterr()
    assert out == ""
    assert "[not markup] :smile:" in err and "Title" in err and "2.5" in err


def test_an_empty_table_is_no_mistake(capsys) -> None:
    console.table("Nothing", ("name", "n"), [])
    assert "Nothing" in capsys.readouterr().err


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch) -> None:
    monkeypatch.setattr(console, "SILENCE_SECONDS", -1)
    with console.progress("working", "looking for work") as advance:
        advance(0, 0)
        advance(1200, 0)
        advance(3, 7, "l1 0.5")
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["working looking for work ", "working looking for work 1,200 ",
                     "working 3/7 l1 0.5"]  # fmt: skip


def test_progress_says_nothing_of_short_work_where_nobody_watches(capsys) -> None:
    with console.progress("working", "looking for work") as advance:
        advance(1, 2)
        advance(2, 2, "with words")
    assert capsys.readouterr() == ("", "")


def test_a_bar_says_what_it_waits_for(monkeypatch, capsys) -> None:
    monkeypatch.setattr(console.stderr, "_force_terminal", True)
    monkeypatch.setattr(console.stderr, "is_interactive", True)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress("predicting", "looking for tiles") as advance:
        advance(0, 0)
        shown, until = "", time.monotonic() + 30
        while "looking for tiles" not in shown and time.monotonic() < until:
            time.sleep(0.02)  # the bar is drawn ten times a second
            shown += capsys.readouterr().err
    shown += capsys.readouterr().err
    assert "looking for tiles" in shown and "/?" not in shown


def python(code: str, shell: str) -> subprocess.CompletedProcess[str]:
    """Run kit code with its standard files as the shell redirects them."""
    code = f"import sys, kit.cli.main as main; sys.argv = {['kit', *code.split()]}; main.main()"
    line = f"{shlex.join([sys.executable, '-c', code])} {shell}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "code", "message"),
    [
        ("| head -c 1; exit ${PIPESTATUS[0]}", 0, ""),
        ("| true; exit ${PIPESTATUS[0]}", 0, ""),
        (">&-", 5, "error: stdout: cannot be written (it is closed)"),
        ("> /dev/full", 5, "error: stdout: cannot be written (No space left on device)"),
        ("2>&- > /dev/null", 0, ""),
    ],
)
def test_a_stdout_that_is_closed_or_full_is_no_traceback(
    shell: str, code: int, message: str
) -> None:
    ended = python("variants --json -q", shell)
    assert ended.returncode == code and ended.stderr.partition("\n")[0] == message
    assert "Traceback" not in ended.stderr and "Exception" not in ended.stderr


@pytest.mark.slow
def test_a_stderr_that_nobody_reads_ends_nothing() -> None:
    ended = python("variants --json", "2> >(true) | wc -c; exit ${PIPESTATUS[0]}")
    assert ended.returncode == 0 and int(ended.stdout) > 100


def test_nothing_from_outside_controls_the_terminal(capsys) -> None:
    hostile = "a\x1b]0;owned\x07\u202e\udcff.tiff"
    console.write(f"{hostile}: is odd\n  rename it")
    console.table(hostile, (hostile, "n"), [(f"{hostile}\nforged", 1)])
    console.write_error(InputError(f"{hostile}\nerror: forged", "is odd", remedy="rename it"))
    console.write_error(OSError(f"{hostile}"))
    shown = capsys.readouterr().err
    assert all(line.isprintable() for line in shown.split("\n"))
    assert "\nforged" not in shown and "\nerror: forged" not in shown
    assert r"error: a\x1b]0;owned\x07\u202e\xff.tiff\nerror: forged: is odd" in shown
