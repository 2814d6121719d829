"""The server's score in its line, and how well local scores follow it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import BusyError, InputError
from kit.lock import lock
from kit.submission.leaderboard import Agreement, kendall, leaderboard, log

HEADER = "time,name,members,mae,psnr,official_2022,official_2023,sha256,leaderboard\n"
LINES = (
    "2024-06-01T10:00:00+00:00,first,one two,0.3,20,0.05,0.06,aaa,\n"
    "2024-06-03T10:00:00+00:00,first,one two,0.2,21,0.04,0.05,bbb,\n"
    '2024-06-02T10:00:00+00:00,"with, comma",one,0.1,22,0.03,0.07,ccc,\n'
)


def write(folder: Path, text: str | bytes) -> Path:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "submissions.csv").write_bytes(data)
    return folder


def read(folder: Path) -> bytes:
    return (folder / "submissions.csv").read_bytes()


def test_the_newest_line_is_filled_and_nothing_else_changes(tmp_path: Path) -> None:
    write(tmp_path, HEADER + LINES)
    found = log(tmp_path, "first", 0.0279459)
    assert (found.sha256, found.before, found.time[:10]) == ("bbb", "", "2024-06-03")
    assert read(tmp_path).decode() == HEADER + LINES.replace("bbb,\n", "bbb,0.0279459\n")
    assert log(tmp_path, "first.zip", 0.5).before == "0.0279459"
    assert log(tmp_path, "with, comma", 1).score == 1
    expected = LINES.replace("bbb,\n", "bbb,0.5\n").replace("ccc,\n", "ccc,1.0\n")
    assert read(tmp_path).decode() == HEADER + expected


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # a spreadsheet: BOM, CRLF, every cell quoted, columns moved and added, a line's end lost
        (
            b'\xef\xbb\xbf"leaderboard","note","name","time","sha256"\r\n'
            b'"","say ""hi"", twice\r\nover","first","2024-06-01",s',
            b'\xef\xbb\xbf"leaderboard","note","name","time","sha256"\r\n'
            b'0.25,"say ""hi"", twice\r\nover","first","2024-06-01",s',
        ),
        # empty cells at the end left out, separated by semicolons
        (
            b"name;time;x;sha256;y;leaderboard;z\nfirst;1\n\nother;2;;;;3;4\n",
            b"name;time;x;sha256;y;leaderboard;z\nfirst;1;;;;0.25\n\nother;2;;;;3;4\n",
        ),
        # an older line ending, another encoding
        (
            b"time,name,sha256,leaderboard,caf\xe9\r1,first,s,9,\xe9\r",
            b"time,name,sha256,leaderboard,caf\xe9\r1,first,s,0.25,\xe9\r",
        ),
    ],
)
def test_a_log_that_was_edited_survives(tmp_path: Path, before: bytes, after: bytes) -> None:
    log(write(tmp_path, before), "first", 0.25)
    assert read(tmp_path) == after


def test_lines_whose_time_cannot_be_read_count_from_top_to_bottom(tmp_path: Path) -> None:
    write(tmp_path, "time,name,sha256,leaderboard\n9/6/24,a,1,\n1/6/24,a,2,\n")
    assert log(tmp_path, "a", 0.5).sha256 == "2"
    write(tmp_path, "time,name,sha256,leaderboard\n2024-02-01,a,1,\n2024-01-01T00:00Z,a,2,\n")
    assert log(tmp_path, "a", 0.5).sha256 == "1"


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such log"):
        log(tmp_path / "none", "first", 0.5)
    assert not (tmp_path / "none").exists()
    write(tmp_path, HEADER + LINES)
    with pytest.raises(InputError, match="there are with, comma, first") as raised:
        log(tmp_path, "firsd", 0.5)
    assert raised.value.where == "firsd"
    write(tmp_path, HEADER)
    with pytest.raises(InputError, match="the log is empty"):
        log(tmp_path, "first", 0.5)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf")])
def test_a_score_that_is_no_number(tmp_path: Path, score: float) -> None:
    write(tmp_path, HEADER + LINES)
    with pytest.raises(InputError, match="is not finite"):
        log(tmp_path, "first", score)
    assert read(tmp_path).decode() == HEADER + LINES


def test_a_log_in_use_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, HEADER + LINES)
    with lock(tmp_path), pytest.raises(BusyError, match="in use"):
        log(tmp_path, "first", 0.5)


def test_standings_are_in_the_servers_order_then_the_newest_first(tmp_path: Path) -> None:
    lines = LINES.replace("aaa,", "aaa,0.9").replace("ccc,", "ccc,0.2")
    more = "2024-06-05T10:00:00+00:00,last,one,,,,,ddd,pending\n"
    found = leaderboard(write(tmp_path, HEADER + lines + more))
    assert [(row.name, row.leaderboard) for row in found.rows] == [
        ("with, comma", 0.2), ("first", 0.9), ("last", None), ("first", None),
    ]  # fmt: skip
    assert found.rows[0].local.items() >= {
        "mae": 0.1, "psnr": 22.0, "official_2022": 0.03, "official_2023": 0.07,
    }.items()  # fmt: skip
    assert found.rows[2].local["mae"] is None
    assert Agreement("mae", 2, None) in found.agreements
    assert found.best == ()


def test_the_local_score_that_follows_the_server_best(tmp_path: Path) -> None:
    server = (0.05, 0.03, 0.04, 0.06)
    lines = "".join(
        f"2024-06-0{i + 1},n{i},one,{mae},{psnr},{of22},,s{i},{server[i]}\n"
        for i, (mae, psnr, of22) in enumerate(
            [(0.2, 20, 0.05), (0.3, 22, 0.03), (0.1, 21, 0.04), (0.4, 19, 0.06)]
        )
    )
    found = leaderboard(write(tmp_path, HEADER + lines))
    assert [row.name for row in found.rows] == ["n1", "n2", "n0", "n3"]
    taus = {agreement.measure: (agreement.n, agreement.tau) for agreement in found.agreements}
    assert taus["psnr"] == (4, 1.0)
    assert taus["official_2022"] == (4, 1.0)
    assert taus["official_2023"] == (0, None)
    assert taus["mae"][1] == pytest.approx(1 / 3)
    assert found.best == ("psnr", "official_2022")


def test_the_same_bytes_packaged_again_are_one_submission(tmp_path: Path) -> None:
    lines = (
        "2024-06-01,a,one,,,,,same,0.04\n"
        "2024-06-02,a,one,0.5,20,,,same,\n"
        "2024-06-03,a,one,0.6,20,,,other,\n"
    )
    found = leaderboard(write(tmp_path, HEADER + lines))
    assert [(row.sha256, row.local["mae"], row.leaderboard) for row in found.rows] == [
        ("same", 0.5, 0.04), ("other", 0.6, None),
    ]  # fmt: skip


def test_numbers_with_a_decimal_comma(tmp_path: Path) -> None:
    write(tmp_path, "time;name;sha256;mae;leaderboard\n1;a;s;0,5;0,25\n2;b;t;inf;nan\n")
    found = leaderboard(tmp_path)
    assert [(row.local["mae"], row.leaderboard) for row in found.rows] == [
        (0.5, 0.25), (None, None),
    ]  # fmt: skip


def test_no_log_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such log"):
        leaderboard(tmp_path)
    found = leaderboard(write(tmp_path, ""))
    assert (found.rows, found.best) == ((), ())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_kendall_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found = kendall(one, other)
    if len(pairs) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.kendalltau(one, other).statistic, abs=1e-12)


def test_kendall_tells_neighbouring_numbers_apart() -> None:
    one = [0.1, float(np.nextafter(0.1, 1)), 0.2]
    assert kendall(one, [1, 2, 3]) == 1.0
