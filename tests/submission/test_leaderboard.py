"""The server's score in its line, and how well local scores follow it."""

import csv
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.archive.layout import LAYOUTS
from kit.errors import BusyError, InputError
from kit.files import sha256
from kit.lock import lock
from kit.scoring.score import score
from kit.submission.leaderboard import Agreement, kendall, leaderboard, log
from kit.submission.log import log_columns
from kit.submission.record import record
from kit.tiles.tiff import encode_tiff
from tests.helpers.archives import A, digital_numbers, image, write_archive, write_truth

# As the kit wrote them until 0.2.0.
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


def test_lines_count_from_top_to_bottom_whatever_the_clock_said(tmp_path: Path) -> None:
    write(tmp_path, "time,name,sha256,leaderboard\n9/6/24,a,1,\n1/6/24,a,2,\n")
    assert log(tmp_path, "a", 0.5).sha256 == "2"
    write(tmp_path, "time,name,sha256,leaderboard\n2024-02-01,a,1,\n2024-01-01T00:00Z,a,2,\n")
    assert log(tmp_path, "a", 0.5).sha256 == "2"
    assert [row.sha256 for row in leaderboard(tmp_path).rows] == ["2", "1"]


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


def test_standings_are_in_the_servers_order_then_the_best_first(tmp_path: Path) -> None:
    lines = LINES.replace("aaa,", "aaa,0.9").replace("ccc,", "ccc,0.2")
    more = "2024-06-05T10:00:00+00:00,last,one,,,,,ddd,pending\n"
    found = leaderboard(write(tmp_path, HEADER + lines + more))
    assert [(row.name, row.leaderboard) for row in found.rows] == [
        ("with, comma", 0.2), ("first", 0.9), ("first", None), ("last", None),
    ]  # fmt: skip
    assert found.rows[0].local.items() >= {
        "mae": 0.1, "psnr": 22.0, "official_2022": 0.03, "official_2023": 0.07,
    }.items()  # fmt: skip
    assert found.rows[3].local["mae"] is None
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


def test_what_the_server_has_not_scored_is_ordered_by_the_measure_of_its_layout(
    tmp_path: Path,
) -> None:
    def line(name: str, layout: str, mae: str, of22: str, of23: str) -> str:
        values = {"name": name, "layout": layout, "mae": mae, "official_2022": of22,
                  "official_2023": of23, "sha256": f"sha of {name}", "stretch": "keep"}  # fmt: skip
        return ",".join(values.get(title, "") for title in log_columns()) + "\n"

    lines = [
        line("late", "2023", "0.1", "0.1", "0.3"), line("none", "2022", "", "", ""),
        line("b", "2022", "0.1", "0.04", "0.1"), line("a", "2022", "0.2", "0.01", "0.2"),
        line("best", "2023", "0.5", "0.4", "0.02"),
    ]  # fmt: skip
    found = leaderboard(write(tmp_path, ",".join(log_columns()) + "\n" + "".join(lines)))
    assert [row.name for row in found.rows] == ["a", "b", "none", "best", "late"]
    assert (found.rows[0].layout, found.rows[0].stretch) == ("2022", "keep")


def test_a_measure_orders_what_the_server_has_not_scored(tmp_path: Path) -> None:
    write(tmp_path, HEADER + LINES)
    for measure, best in (("mae", 0.1), ("official_2022", 0.03), ("psnr", 22)):
        first = leaderboard(tmp_path, measure).rows[0]
        assert first.local[measure] == best
    with pytest.raises(InputError, match=r"known are mae, .*official_2022, official_2023"):
        leaderboard(tmp_path, "mse")


def test_equal_archives_are_remarked(tmp_path: Path) -> None:
    lines = "1,a,one,0.1,,,,same,\n2,b,one,0.1,,,,same,\n3,c,one,0.1,,,,,\n4,d,one,0.1,,,,,\n"
    found = leaderboard(write(tmp_path, HEADER + lines))
    assert {row.name: row.same_as for row in found.rows} == {"a": "b", "b": "", "c": "", "d": ""}


def test_what_an_older_log_does_not_say_is_in_the_manifest(tmp_path: Path) -> None:
    write(tmp_path, HEADER + LINES)
    member = {"variant": "one", "weights_sha256": "w"}
    about = {"sha256": "bbb", "members": [member], "stretch": "anchors", "target": "minmax",
             "layout": asdict(LAYOUTS["2023"]) | {"newer": 1}}  # fmt: skip
    (tmp_path / "first.json").write_text(json.dumps(about))
    (tmp_path / "with, comma.json").write_text("[")
    rows = {row.sha256: row for row in leaderboard(tmp_path).rows}
    assert (rows["bbb"].layout, rows["bbb"].target, rows["bbb"].stretch) == (
        "2023", "minmax", "anchors",
    )  # fmt: skip
    assert rows["aaa"].layout == rows["ccc"].layout == ""


@pytest.mark.parametrize("titles", [HEADER, ",".join(log_columns()) + "\n"])
def test_scores_reach_the_newest_line_of_their_archive(tmp_path: Path, titles: str) -> None:
    (tmp_path / "data").mkdir()
    write_truth(tmp_path / "data", A, digital_numbers(1, 8))
    archive = tmp_path / "mine.zip"
    write_archive(archive, [(f"CH3/{A}.tiff", encode_tiff(image(1, 8)))])
    report = score(archive, tmp_path / "data")
    assert record(archive, tmp_path / "data", report) is None  # there is no log
    columns = titles.strip().split(",")
    ours = {"time": "1", "name": "mine", "sha256": sha256(archive), "leaderboard": "0.7"}
    lines = [ours | {"name": "other"}, ours | {"sha256": "old"}, ours, ours]
    text = "".join(",".join(line.get(title, "") for title in columns) + "\n" for line in lines)
    write(tmp_path, titles + text)
    assert record(archive, tmp_path / "data", report) == tmp_path / "submissions.csv"
    with (tmp_path / "submissions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["mae"] for row in rows] == ["", "", "", repr(report.own.scores.mae)]
    assert rows[3]["official_2022"] == repr(report.own.official_2022)
    assert rows[3]["leaderboard"] == "0.7" and rows[3].get("truth", "data")[-4:] == "data"
    assert titles + text.rpartition("1,mine")[0] == read(tmp_path).decode().rpartition("1,mine")[0]
    mine = next(row for row in leaderboard(tmp_path).rows if row.sha256 == sha256(archive))
    assert mine.local["mae"] == report.own.scores.mae
    write(tmp_path, titles)
    assert record(archive, tmp_path / "data", report) is None  # no line of it


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
