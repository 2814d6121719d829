"""What is said goes to stderr, what is returned to stdout."""

import json
import math
from pathlib import Path

from kit.cli import console


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
    with console.progress("working") as advance:
        advance(3, 7, "l1 0.5")
    assert capsys.readouterr().err == "working 3/7 l1 0.5\n"


def test_progress_says_nothing_of_short_work_where_nobody_watches(capsys) -> None:
    with console.progress("working") as advance:
        advance(1, 2)
        advance(2, 2, "with words")
    assert capsys.readouterr() == ("", "")
