"""A log that somebody edited survives."""

import csv
import tempfile
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import InputError
from kit.submission.log import _lines, log_columns, read_log

HEADER = ",".join(log_columns())


def log_of(folder: Path, data: bytes) -> Path:
    (folder / "submissions.csv").write_bytes(data)
    return folder


LINE = {"time": "t", "name": "n, m", "sha256": "s", "mae": 0.5, "unknown": 1}


def test_a_log_begins_with_its_titles(tmp_path: Path) -> None:
    read_log(tmp_path).append(LINE)
    read_log(tmp_path).append(LINE)
    with (tmp_path / "submissions.csv").open(newline="") as file:
        titles, *lines = csv.reader(file)
    assert ",".join(titles) == HEADER and len(lines) == 2
    filled = {"time": "t", "name": "n, m", "mae": "0.5", "sha256": "s"}
    assert [dict(zip(titles, line, strict=True)) for line in lines] == [
        dict.fromkeys(titles, "") | filled
    ] * 2


def test_what_a_spreadsheet_would_run_is_written_as_text_and_read_back(tmp_path: Path) -> None:
    read_log(tmp_path).append(LINE | {"name": "=cmd|' /C calc'!A0", "members": "@a", "psnr": -0.5})
    line = (tmp_path / "submissions.csv").read_text().splitlines()[1]
    assert line.startswith("t,'=cmd|' /C calc'!A0,'@a,") and ",-0.5," in line
    found = read_log(tmp_path)
    assert found.get(found.lines[0], "name") == "=cmd|' /C calc'!A0"
    assert found.get(found.lines[0], "members") == "@a"


@pytest.mark.parametrize(
    ("before", "added"),
    [
        (b"sha256,name,note,time,leaderboard", b'\ns,"n, m",,t,\n'),
        (b"\xef\xbb\xbfname;time;sha256;leaderboard\r\na;b;c;0,5\r\n", b"n, m;t;s;\r\n"),
        (b'"time"\t"name"\t"sha256"\t"leaderboard"\nx\ty\n', b"t\tn, m\ts\t\n"),
        (b"time,name,sha256,leaderboard\n1,caf\xe9,2,3\n\n", b't,"n, m",s,\n'),
    ],
)
def test_a_line_follows_the_columns_that_are_there(
    tmp_path: Path, before: bytes, added: bytes
) -> None:
    read_log(log_of(tmp_path, before)).append(LINE)
    assert (tmp_path / "submissions.csv").read_bytes() == before + added


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"a,b,c\n1,2,3\n", "'a,b,c'"),
        (b"time,name,sha256\n", "lacks columns of the log"),
        (b"\n\n;;;\n", "lacks columns of the log"),
        (HEADER.encode("utf-16"), "not plain text"),
    ],
)
def test_what_is_not_a_log_is_left_alone(tmp_path: Path, data: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_log(log_of(tmp_path, data))
    assert (tmp_path / "submissions.csv").read_bytes() == data


CELLS = st.text(st.sampled_from('ab ,;"\n\té'), max_size=6)


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=5),
    st.sampled_from(",;\t"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_lines_are_read_as_by_csv(
    rows: list[list[str]], separator: str, quoting: int, end: str
) -> None:
    text = StringIO()
    writer = csv.writer(text, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerows(rows)
    found = _lines(text.getvalue(), separator)
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    assert [[cell.value for cell in line] for line in found] == kept
    for line in found:
        assert text.getvalue()[line[0].start - 1 : line[0].start] in ("", "\n")


@given(st.text(st.sampled_from('a,"\n\r ')))
def test_any_text_is_cut_into_cells_without_loss(text: str) -> None:
    for line in _lines(text, ","):
        for cell, following in pairwise(line):
            assert text[cell.end : following.start] == ","


@given(st.binary(max_size=200).map(lambda tail: b"time,name,sha256,leaderboard\n" + tail))
def test_a_log_of_any_bytes_is_read_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = log_of(Path(folder), data)
        try:
            log = read_log(path)
        except InputError:
            assert b"\0" in data
        else:
            log.append({"name": "x"})
            assert (path / "submissions.csv").read_bytes().startswith(data)
