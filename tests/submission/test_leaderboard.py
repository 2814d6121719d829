"""The server's score in its line, and how well local scores follow it."""

import csv
import json
from dataclasses import asdict
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.archive.layout import LAYOUTS
from kit.errors import BusyError, InputError
from kit.scoring.score import score
from kit.storage.files import sha256
from kit.storage.lock import lock
from kit.submission.agreement import Agreement, chance, kendall
from kit.submission.leaderboard import leaderboard
from kit.submission.log import log_columns
from kit.submission.record import record
from kit.submission.server_score import log
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


def test_another_archive_of_the_name_is_told_and_chosen_by_its_bytes(tmp_path: Path) -> None:
    write(tmp_path, HEADER + LINES)
    assert log(tmp_path, "first", 0.5).others == (("2024-06-01T10:00:00+00:00", "aaa"),)
    found = log(tmp_path, "first", 0.25, sha256="AA")
    assert (found.sha256, found.others) == ("aaa", ())
    expected = LINES.replace("bbb,\n", "bbb,0.5\n").replace("aaa,\n", "aaa,0.25\n")
    assert read(tmp_path).decode() == HEADER + expected
    assert log(tmp_path, "with, comma", 1).others == ()
    with pytest.raises(InputError, match=r"--sha256 c: no archives .*\n.*there are bbb, aaa"):
        log(tmp_path, "first", 0.5, sha256="c")
    write(tmp_path, HEADER + LINES.replace("bbb", "aac"))
    with pytest.raises(InputError, match="--sha256 aa: several archives called first begin so"):
        log(tmp_path, "first", 0.5, sha256="aa")
    # Packaged once more as before: the newest line is that of the older bytes.
    again = LINES + LINES.splitlines(keepends=True)[0]
    assert log(write(tmp_path, HEADER + again), "first", 1).sha256 == "aaa"


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
    new = "".join(f",{each}" for each in ("truth", "images", "truths") if each not in columns)
    kept = titles.replace("\n", new + "\n") + text.rpartition("1,mine")[0]
    assert kept == read(tmp_path).decode().rpartition("1,mine")[0]
    mine = next(row for row in leaderboard(tmp_path).rows if row.sha256 == sha256(archive))
    assert mine.local["mae"] == report.own.scores.mae
    write(tmp_path, titles)  # no line of it
    assert record(archive, tmp_path / "data", report) == tmp_path / "submissions.csv"
    (added,) = leaderboard(tmp_path).rows
    assert (added.name, added.sha256) == ("mine", sha256(archive))
    assert added.local["mae"] == report.own.scores.mae and added.time[:2] == "20"


def lines_of(*lines: dict[str, object]) -> str:
    """A log of the kit's own columns."""
    rows = [",".join(str(line.get(title, "")) for title in log_columns()) for line in lines]
    return "\n".join([",".join(log_columns()), *rows]) + "\n"


def test_scores_by_another_truth_have_a_line_of_their_own(tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    write_archive(archive, [(f"CH3/{A}.tiff", encode_tiff(image(1, 8)))])
    line = {"time": "1", "name": "mine", "sha256": sha256(archive), "layout": "2023",
            "members": "one two", "ensemble": "best", "leaderboard": 0.7}  # fmt: skip
    write(tmp_path, lines_of(line))
    found = {}
    for name in ("a", "b", "a"):
        (tmp_path / name).mkdir(exist_ok=True)
        write_truth(tmp_path / name, A, digital_numbers(1 if name == "a" else 2, 8))
        report = score(archive, tmp_path / name)
        found[str(tmp_path / name)] = report.own.scores.mae
        record(archive, tmp_path / name, report)
    (row,) = leaderboard(tmp_path).rows
    assert {each.truth: each.local["mae"] for each in row.scores} == found
    assert [each.images for each in row.scores] == [1, 1]
    assert (row.members, row.ensemble, row.layout) == ("one two", "best", "2023")
    assert row.leaderboard == 0.7 and row.measure == "official_2023"
    with (tmp_path / "submissions.csv").open(newline="") as file:
        assert [each["name"] for each in csv.DictReader(file)] == ["mine", "mine"]


def scored_archive(folder: Path, name: str, seed: int) -> Path:
    """An archive with two truths, at its date and five days later."""
    archive = folder / f"{name}.zip"
    write_archive(archive, [(f"CH3/{A}.tiff", encode_tiff(image(seed, 8)))])
    for day in ("08", "13"):
        write_truth(folder / "data", A.replace("_08", f"_{day}"), digital_numbers(int(day), 8))
    return archive


def test_scores_of_other_windows_are_kept_apart_and_told(tmp_path: Path) -> None:
    write(tmp_path, lines_of())
    data, scores = tmp_path / "data", {}
    for number, (name, days) in enumerate((("one", 7), ("two", 3), ("one", 3))):
        archive = scored_archive(tmp_path, name, 1 if name == "one" else 2)
        report = score(archive, data, window_days=days)
        scores[number] = report.own.official_2022
        record(archive, data, report)
        doubts = leaderboard(tmp_path).doubts
        if number == 1:
            assert doubts == (
                f"{data}: one was scored with 2 truths, two was scored with 1 truth; official "
                "scores with other truths cannot be compared: score them again",
            )
    assert not doubts
    # What most are scored with is shown, and what one is scored with is not lost.
    found = {row.name: row for row in leaderboard(tmp_path).rows}
    assert [found[n].local["official_2022"] for n in ("one", "two")] == [scores[2], scores[1]]
    with (tmp_path / "submissions.csv").open(newline="") as file:
        lines = [(line["name"], line["truths"]) for line in csv.DictReader(file)]
    assert lines == [("one", "2"), ("two", "1"), ("one", "1")]
    record(archive, data, report)
    assert read(tmp_path).decode().count("\n") == 4


def test_a_second_truth_replaces_no_score_in_a_log_of_before(tmp_path: Path) -> None:
    archive = scored_archive(tmp_path, "mine", 1)
    line = {"time": "1", "name": "mine", "sha256": sha256(archive), "mae": "0.25"}
    titles = HEADER.strip().split(",")
    write(tmp_path, HEADER + ",".join(line.get(title, "") for title in titles) + "\n")
    for truth in ("data", "other"):
        write_truth(tmp_path / "other", A, digital_numbers(9, 8))
        record(archive, tmp_path / truth, score(archive, tmp_path / truth))
    with (tmp_path / "submissions.csv").open(newline="") as file:
        lines = [*csv.DictReader(file)]
    assert [Path(line["truth"] or "").name for line in lines] == ["", "data", "other"]
    assert lines[0]["mae"] == "0.25" and len({line["mae"] for line in lines}) == 3
    (row,) = leaderboard(tmp_path).rows
    assert len(row.scores) == 3


def test_the_truth_of_most_submissions_orders_them_and_others_follow(tmp_path: Path) -> None:
    def line(name: str, truth: str, error: float) -> dict[str, object]:
        return {"name": name, "sha256": name, "truth": truth, "layout": "2022", "images": 9,
                "official_2022": error}  # fmt: skip

    every = [line("a", "one", 0.3), line("a", "two", 0.001), line("b", "one", 0.2),
             line("c", "two", 0.002), line("d", "one", 0.1)]  # fmt: skip
    found = leaderboard(write(tmp_path, lines_of(*every)))
    shown = [(row.name, row.truth, row.local["official_2022"]) for row in found.rows]
    assert shown == [("d", "one", 0.1), ("b", "one", 0.2), ("a", "one", 0.3), ("c", "two", 0.002)]
    assert not found.doubts
    fewer = line("b", "one", 0.2) | {"images": 8}
    (doubt,) = leaderboard(write(tmp_path, lines_of(*every[:2], fewer, *every[3:]))).doubts
    assert doubt.startswith("one: d was scored on 9 images, b was scored on 8 images; ")
    counted = line("d", "one", 0.1) | {"truths": 12}
    (doubt,) = leaderboard(write(tmp_path, lines_of(*every[:4], counted))).doubts
    assert doubt.startswith("one: b was scored by an earlier kit, which did not count truths")


def test_agreement_is_within_one_truth_and_one_layout_and_equal_archives_count_once(
    tmp_path: Path,
) -> None:
    def line(name: str, truth: str, error: float, server: object = "", layout: str = "2022"):
        return {"name": name, "sha256": name[0], "truth": truth, "layout": layout,
                "mae": error, "leaderboard": server}  # fmt: skip

    found = leaderboard(write(tmp_path, lines_of(
        line("a", "one", 0.1, 0.1), line("b", "one", 0.2, 0.2), line("c", "one", 0.3, 0.3),
        line("d", "one", 0.4), line("d again", "", 0.4, 0.4), line("a again", "two", 0.5, 0.1),
        line("e", "two", 0.4, 0.5), line("f", "two", 0.3, 0.6), line("g", "one", 0, 9, "2023"),
    )))  # fmt: skip
    taus = {(each.truth, each.layout): (each.n, each.tau, each.chance)
            for each in found.agreements if each.measure == "mae"}  # fmt: skip
    assert taus["one", "2022"] == (4, 1.0, 1 / 24)
    assert taus["two", "2022"] == (3, -1.0, 1.0)
    assert taus["one", "2023"] == (1, None, None)
    assert found.best == ("mae",)


def test_what_an_ensemble_scored_where_it_was_fitted_is_compared_too(tmp_path: Path) -> None:
    member = {"variant": "one", "weights_sha256": "w"}
    lines = []
    for number, server in enumerate((0.05, 0.04, 0.03)):
        name = f"n{number}"
        lines.append({"name": name, "sha256": name, "layout": "2022", "leaderboard": server})
        about = {"score": server / 2, "interval": [0.01, 0.02], "scenes": 9, "pairs_sha256": "p",
                 "measure": "official_2022"}  # fmt: skip
        values = {"sha256": name, "members": [member], "ensemble": "best", "fitted": about}
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    found = leaderboard(write(tmp_path, lines_of(*lines)))
    (one,) = found.agreements
    assert (one.measure, one.n, one.tau, one.truth) == (
        "official_2022", 3, 1.0, "9 held-out pairs of p",
    )  # fmt: skip
    assert found.rows[0].ensemble == "best" and found.rows[0].heldout
    assert found.rows[0].heldout.score == 0.015
    unscored = [line | {"leaderboard": ""} for line in (lines[1], lines[2], lines[0])]
    rows = leaderboard(write(tmp_path, lines_of(*unscored))).rows
    assert [row.name for row in rows] == ["n2", "n1", "n0"]  # the best by held-out pairs first


def test_a_measure_that_is_asked_for_orders_what_the_server_has_scored_too(tmp_path: Path) -> None:
    write(tmp_path, HEADER + LINES.replace("aaa,", "aaa,0.1").replace("bbb,", "bbb,0.2"))
    assert [row.local["mae"] for row in leaderboard(tmp_path).rows] == [0.3, 0.2, 0.1]
    assert [row.local["mae"] for row in leaderboard(tmp_path, "mae").rows] == [0.1, 0.2, 0.3]


def test_a_damaged_manifest_is_named_and_the_log_says_enough(tmp_path: Path) -> None:
    write(tmp_path, HEADER + LINES)
    (tmp_path / "first.json").write_text('{"format": 2, "sha256": "aaa", "check": "no"}')
    found = leaderboard(tmp_path)
    assert len(found.rows) == 3
    assert {doubt.partition(": ")[0] for doubt in found.doubts} == {str(tmp_path / "first.json")}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_kendall_is_that_of_scipy(pairs: list[tuple[int, int]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    found = kendall(one, other)
    if len(pairs) < 3 or len(set(one)) == 1 or len(set(other)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.kendalltau(one, other).statistic, abs=1e-12)


@pytest.mark.slow
@given(st.lists(st.integers(0, 99), min_size=3, max_size=7, unique=True), st.randoms())
def test_chance_is_that_of_scipy(one: list[int], random: Random) -> None:
    stats = pytest.importorskip("scipy.stats")
    other = random.sample(range(99), len(one))
    expected = stats.kendalltau(one, other, alternative="greater", method="exact").pvalue
    assert chance(one, other) == pytest.approx(expected, abs=1e-12)


def test_chance_of_many_is_that_of_scipy_but_for_the_draw() -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(1)
    one = np.arange(20.0)
    other = one + random.normal(0, 12, 20)
    expected = stats.kendalltau(one, other, alternative="greater", method="exact").pvalue
    assert 0.001 < expected < 0.2
    assert chance([*one], [*other]) == pytest.approx(expected, rel=0.25)
    assert chance([1, 1, 1], [1, 2, 3]) is chance([1, 2], [1, 2]) is None


def test_kendall_tells_neighbouring_numbers_apart() -> None:
    one = [0.1, float(np.nextafter(0.1, 1)), 0.2]
    assert kendall(one, [1, 2, 3]) == 1.0


def test_a_note_is_kept_beside_the_score_also_in_an_older_log(tmp_path: Path) -> None:
    old = b"time;name;sha256;leaderboard\r\n1;a;s;0,25\r\n2;b;t\r\n"
    write(tmp_path, old)
    logged = log(tmp_path, "b", note="=risky; with anchors")
    assert (logged.score, logged.note) == (None, "=risky; with anchors")
    assert read(tmp_path) == (
        b'time;name;sha256;leaderboard;note\r\n1;a;s;0,25\r\n2;b;t;;"\'=risky; with anchors"\r\n'
    )
    log(tmp_path, "b", 0.125)
    rows = {row.name: row for row in leaderboard(tmp_path).rows}
    assert (rows["b"].note, rows["b"].leaderboard) == ("=risky; with anchors", 0.125)
    assert (rows["a"].note, rows["a"].leaderboard) == ("", 0.25)
    with pytest.raises(InputError, match="nothing to record"):
        log(tmp_path, "a")
