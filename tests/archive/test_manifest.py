"""The manifest tells enough, and a log that somebody edited survives."""

import csv
import json
import os
import shutil
import subprocess
import tempfile
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import kit
from kit.archive.manifest import commit, describe, made_with, predictions_digest, read_provenance
from kit.errors import InputError
from kit.prediction.members import read_member
from kit.submission.log import LOG_COLUMNS, _lines, read_log
from tests.helpers.archives import A, image, write_member

HEADER = ",".join(LOG_COLUMNS)


def clone(folder: Path) -> Path:
    """A repository with one commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    (folder / "kit").mkdir(parents=True)
    (folder / "kit" / "code.py").write_text("x = 1\n")
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    for command in ("init", "add .", "-c user.name=a -c user.email=a@b commit -m one"):
        subprocess.run(
            ["git", "-C", folder, *command.split()], env=clean, check=True, capture_output=True
        )
    return folder


def test_the_commit_of_a_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clone(tmp_path / "clone")
    sha = commit(root)
    assert sha and len(sha) == 40
    (root / "notes.txt").write_text("not code")
    assert commit(root) == sha
    monkeypatch.setenv("GIT_DIR", str(clone(tmp_path / "other") / ".git"))
    assert commit(root) == sha
    (root / "kit" / "new.py").write_text("y = 2\n")
    assert commit(root) == f"{sha}-dirty"


def test_no_clone_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = clone(tmp_path)
    (root / "site-packages").mkdir()
    assert commit(root / "site-packages") is None
    monkeypatch.setenv("PATH", "")
    assert commit(root) is None
    assert made_with(root)["commit"] is None


def test_a_git_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert commit(tmp_path) is None


def test_made_with_names_what_the_bytes_depend_on(tmp_path: Path) -> None:
    found = made_with(tmp_path)
    assert found.keys() == {"kit", "commit", "python", "numpy", "gdal", "zlib"}
    assert found["kit"] == kit.__version__
    assert all(value for key, value in found.items() if key != "commit")


def test_a_member_is_described_with_all_that_is_known(tmp_path: Path) -> None:
    engine = {"name": "torch eager", "device": "CPU"}
    facts = {"pairs_sha256": "pairs", "engines": [engine]}
    member = read_member(write_member(tmp_path, "one", {A: image(1, 8)}, **facts))
    found = describe(member, "digest")
    assert json.loads(json.dumps(found)) == {
        "variant": "one",
        "weights_sha256": "weights of one",
        "pairs_sha256": "pairs",
        "config": {"name": "one"},
        "scaling": {"vv_db": [-25, 0], "vh_db": [-32.5, 0], "dn": [0, 3000]},
        "mean_color": [0.1, 0.2, 0.15],
        "input": "TEST",
        "engines": [engine],
        "predictions_sha256": "digest",
    }


def test_the_digest_of_predictions_is_of_scenes_in_any_order() -> None:
    one = predictions_digest({"a": "1", "b": "2"})
    assert one == predictions_digest({"b": "2", "a": "1"})
    assert one != predictions_digest({"a": "2", "b": "1"})
    assert one != predictions_digest({"a": "1"})


MEMBER = {
    "variant": "one", "weights_sha256": "w", "pairs_sha256": None, "predictions_sha256": "p",
    "engines": [], "input": "TEST",
}  # fmt: skip
MANIFEST = {
    "sha256": "s", "stretch": "keep", "made_with": {},
    "members": [MEMBER], "entries": {"CH3/a.tiff": {"scene": A, "sha256": "e"}},
}  # fmt: skip


def write(folder: Path, value: object) -> Path:
    path = folder / "a.json"
    path.write_text(json.dumps(value))
    return path


def test_a_manifest_is_read(tmp_path: Path) -> None:
    found = read_provenance(write(tmp_path, MANIFEST))
    assert found.archive == tmp_path / "a.zip"
    assert (found.scenes, found.entries) == ({"CH3/a.tiff": A}, {"CH3/a.tiff": "e"})
    assert found.members[0].input == Path("TEST")
    assert found.averaging == "mean"  # what the kits did that did not say


def test_the_averaging_of_an_archive(tmp_path: Path) -> None:
    two = [MEMBER, MEMBER | {"variant": "two"}]
    for text, averaging in (("mean", "mean"), ("median", "median"), ("4,1", (4, 1))):
        found = read_provenance(write(tmp_path, MANIFEST | {"members": two, "average": text}))
        assert found.averaging == averaging


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"entries": []}, "not a manifest"),
        ({"entries": {"x": "y"}}, "not a manifest"),
        ({"entries": {"x": {"scene": "../x", "sha256": ""}}}, "not a plain name"),
        ({"members": [MEMBER | {"variant": "/etc"}]}, "not a plain name"),
        ({"members": [{}]}, "not a manifest"),
        ({"members": None}, "not a manifest"),
        ({"average": None}, "not a manifest"),
        ({"average": ["median"]}, "not a manifest"),
        ({"average": "trimmed"}, r"a\.json: its average: 'trimmed' is no way"),
        ({"average": "4,1"}, "its average: 2 weights for 1 member"),
    ],
)
def test_what_is_not_a_manifest(tmp_path: Path, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        read_provenance(write(tmp_path, MANIFEST | changes))


@pytest.mark.parametrize("value", [[], 1, None, {}, {"sha256": "s", "members": []}])
def test_a_manifest_of_an_older_kit_or_of_something_else(tmp_path: Path, value: object) -> None:
    with pytest.raises(InputError, match="package --overwrite"):
        read_provenance(write(tmp_path, value))


def log_of(folder: Path, data: bytes) -> Path:
    (folder / "submissions.csv").write_bytes(data)
    return folder


LINE = {"time": "t", "name": "n, m", "sha256": "s", "mae": 0.5, "unknown": 1}


def test_a_log_begins_with_its_titles(tmp_path: Path) -> None:
    read_log(tmp_path).append(LINE)
    read_log(tmp_path).append(LINE)
    lines = (tmp_path / "submissions.csv").read_text().splitlines()
    assert lines == [HEADER, *2 * ['t,"n, m",,0.5,,,,s,']]


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
        (b"time,name,sha256\n", "no such columns"),
        (b"\n\n;;;\n", "no such columns"),
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
