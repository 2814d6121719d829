"""Artefacts appear whole or not at all."""

import errno
import hashlib
import math
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kit.errors import BusyError, CheckError, InputError, KitError, OutputError
from kit.storage import files


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "table"
    files.write_bytes(path, b"old")
    with pytest.raises(RuntimeError), files.atomic(path) as part:
        part.write_bytes(b"half of the ne")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table"
    files.write_bytes(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_others_may_read_what_safetensors_wrote_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with files.atomic(tmp_path / "weights") as part:
            part.touch(0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "weights").stat().st_mode & 0o777 == 0o644


def test_missing_folders_are_made(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a" / "b.json", {"x": 1})
    assert files.read_json(tmp_path / "a" / "b.json", "") == {"x": 1}


def test_json_holds_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "x.json", math.nan)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", None])
def test_bad_json_is_named_with_the_remedy(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.json(.|\n)*do this") as caught:
        files.read_json(path, "do this")
    assert caught.value.exit_code == 3


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert files.sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_every_kind_of_failure_has_its_exit_code() -> None:
    assert [kind.exit_code for kind in (KitError, InputError, CheckError, BusyError)] == [
        1,
        3,
        4,
        5,
    ]


@pytest.mark.parametrize(("number", "harm"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_folders_that_cannot_be_synced_are_as_they_are(
    tmp_path: Path, monkeypatch, number: int, harm: bool
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="error") if harm else nullcontext():
        files.sync_folder(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_any_failing_operation_is_an_output_error_with_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    path = tmp_path / "table"
    files.write_bytes(path, b"old")

    def fail(*rest: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[name], fail)
    with pytest.raises(OutputError, match=r"table: cannot be written \((No space|Input/output)"):
        files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_appear_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("old")
    replace = Path.replace

    def fail_at_c(path: Path, target: Path) -> Path:
        if target.name == "c":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return replace(path, target)

    def write(*names: str) -> None:
        with files.together(tmp_path) as new:
            for name in names:
                new(name).write_text("new")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail_at_c)
        with pytest.raises(OutputError):
            write("a", "sub/x", "b", "c")
    assert {path.name: path.read_text() for path in tmp_path.glob("?")} == {"a": "old", "b": "old"}
    assert not list(tmp_path.glob("sub/*"))
    write("a", "sub/x", "b", "c")
    assert {path.read_text() for path in tmp_path.rglob("?")} == {"new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "c", "sub"]


def test_a_line_never_joins_one_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert files.append_line(path, b"one\n") == 4
    assert files.append_line(path, b"two\n") == 8
    path.write_bytes(b"one\ntw")
    assert files.append_line(path, b"three\n") == 13
    assert path.read_bytes() == b"one\ntw\nthree\n"


def test_what_the_user_names_is_written_through(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to("real")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as thread:
        received = thread.submit(pipe.read_bytes)
        for path in (link, pipe, Path("/dev/null")):
            with files.output(path) as part:
                part.write_bytes(b"new")
        assert received.result() == b"new"
    assert link.is_symlink() and real.read_bytes() == b"new"
    assert pipe.is_fifo() and Path("/dev/null").is_char_device()


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no disk in memory")
def test_a_disk_in_memory_is_a_disk() -> None:
    """It lies in /dev/, as do the names of what a shell has opened."""
    with TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "samples" / "epoch-0001.png"
        for content in (b"old", b"new"):
            with files.output(path) as part:
                part.write_bytes(content)
                assert part != path and (content == b"old" or path.read_bytes() == b"old")
        assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("path", "problem"), [("/dev/full", "No space left"), (".", "Is a directory")]
)
def test_what_the_user_names_and_cannot_be_written(path: str, problem: str) -> None:
    with pytest.raises(OutputError, match=problem), files.output(Path(path)) as part:
        part.write_bytes(b"new")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 100_000, "1" * 5000, "[1]", "null", "1", '"a"'],
    ids=["deep", "deep objects", "digits", "list", "null", "number", "text"],
)
def test_json_that_is_no_object_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"x\.json(.|\n)*do this"):
        files.read_object(path, "do this")


def test_new_folders_are_on_disk_in_those_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    files.make_folder(tmp_path / "a" / "b")
    assert synced == [tmp_path, tmp_path / "a"]
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: cannot be written"):
        files.write_bytes(tmp_path / "file" / "x", b"")


@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("links", [True, False])
def test_a_file_whose_name_cannot_be_synced_is_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, links: bool
) -> None:
    """Else the same command would find its own output and refuse to replace it."""
    path = tmp_path / "file"
    if before:
        path.write_text(before)

    def fail(folder: Path) -> None:
        raise OutputError(errno.EIO, os.strerror(errno.EIO), str(folder))

    def link(source: Path, target: Path) -> None:
        kind = errno.EPERM if source.exists() else errno.ENOENT
        raise OSError(kind, os.strerror(kind))

    if not links:
        monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(files, "sync_folder", fail)
    with pytest.raises(OutputError):
        files.write_bytes(path, b"new")
    # Without hard links nothing of the old file is left to be put back.
    expected = before if links or not before else "new"
    assert (path.read_text() if path.exists() else None) == expected
    assert [each.name for each in tmp_path.iterdir()] == (["file"] if expected else [])
