"""What a terminal would obey, and a spreadsheet run, is written out."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.plain_text import count_of, from_spreadsheet_cell, one_line, printable, spreadsheet_cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Sentinel1_VV é 1/2 'x'", "Sentinel1_VV é 1/2 'x'"),
        ("\x1b]0;owned\x07\x1b[2J", r"\x1b]0;owned\x07\x1b[2J"),
        ("a\nerror: fine\r", r"a\nerror: fine\r"),
        ("\u202etfit.exe\u200b\x9b", r"\u202etfit.exe\u200b\x9b"),
        ("caf\udce9.tiff", r"caf\xe9.tiff"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_does_not_print_is_spelt_out(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_may_stay_lines() -> None:
    assert printable("a\n  b\x07\n", lines=True) == "a\n  b\\x07\n"


@given(st.text())
def test_any_text_prints(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text, lines=True).replace("\n", "").isprintable()
    printable(text).encode()


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "-1+2"])
def test_what_a_spreadsheet_would_run_gets_a_quote(text: str) -> None:
    assert spreadsheet_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["a=b", "", "-0.5", "+1e-9", "-54.48", -0.5, None, "'quoted'"])
def test_numbers_and_other_text_stay(value: object) -> None:
    assert spreadsheet_cell(value) == value


@given(st.text())
def test_a_cell_is_read_back(text: str) -> None:
    written = io.StringIO()
    cell = spreadsheet_cell(text)
    csv.writer(written).writerow([cell, 1])
    if not text.startswith(tuple("'=+-@\t\r")):
        assert cell == text
    if not text.startswith("'"):
        assert from_spreadsheet_cell(str(cell)) == text


def test_one_is_no_plural() -> None:
    assert [count_of(number, "place") for number in range(3)] == ["0 places", "1 place", "2 places"]


def test_an_error_is_one_short_line() -> None:
    assert one_line(ValueError("two\n  lines,\tone tab ")) == "two lines, one tab"
    assert one_line(ValueError("word " * 100)) == ("word " * 100)[:200]
    assert one_line("0123456789", 4) == "0123"
