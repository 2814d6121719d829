"""Artefacts appear whole or not at all, and a folder has one owner."""

import ast
import errno
import fcntl
import hashlib
import math
import os
import platform
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from kit import files
from kit.errors import BusyError, CheckError, InputError, KitError, OutputError


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


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from kit.files import lock
with lock(Path({str(tmp_path)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        owner = f"{holder.pid} on {platform.node()}"
        with pytest.raises(BusyError, match=f"process {owner}$"), files.lock(tmp_path):
            pass
        assert files.holder(tmp_path) == owner
        holder.kill()
        holder.wait()
        with files.lock(tmp_path):
            pass


def test_every_kind_of_failure_has_its_exit_code() -> None:
    assert [kind.exit_code for kind in (KitError, InputError, CheckError, BusyError)] == [
        1,
        3,
        4,
        5,
    ]


def test_arrays_are_mapped_and_not_to_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6, dtype=np.uint16).reshape(2, 3))
    array = files.read_array(path, "")
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert type(array) is np.ndarray and isinstance(array.base, np.memmap)
    assert not array.flags.writeable


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "no such file"),
        (b"", "not readable as an array"),
        (b"PK\x03\x04", "not readable as an array"),
        (b"\x93NUMPY\x01\x00\x06\x00('a',\n", "not readable as an array"),
    ],
    ids=["missing", "empty", "zip", "header"],
)
def test_what_is_no_array_is_named(tmp_path: Path, data: bytes | None, problem: str) -> None:
    path = tmp_path / "a.npy"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.npy: {problem}.*\n*.*make it again"):
        files.read_array(path, "make it again")


def test_one_thread_at_a_time_parses_the_header_of_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(3))
    literal_eval, parsing, most = ast.literal_eval, 0, 0

    def slowly(source: str) -> object:
        nonlocal parsing, most
        parsing += 1
        most = max(most, parsing)
        time.sleep(0.01)
        parsing -= 1
        return literal_eval(source)

    monkeypatch.setattr(ast, "literal_eval", slowly)
    with ThreadPoolExecutor(4) as threads:
        for array in threads.map(lambda _: files.read_array(path, ""), range(16)):
            assert array.shape == (3,)
    assert most == 1


def test_a_full_disk_does_not_keep_a_lock_from_being_held(tmp_path: Path, monkeypatch) -> None:
    def full(*rest: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with files.lock(tmp_path), pytest.raises(BusyError, match=r"process \?"), files.lock(tmp_path):
        pass


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch) -> None:
    def none(*rest: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(OutputError, match="cannot be locked"):
        files.lock(tmp_path).__enter__()


def test_the_lock_of_a_node_that_died_is_waited_for(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("1 on a-node-that-died")
        file.flush()
        with pytest.raises(BusyError, match="a-node-that-died"), files.lock(tmp_path):
            pass
        end = threading.Timer(0.5, lambda: fcntl.flock(file, fcntl.LOCK_UN))
        end.start()
        with files.lock(tmp_path, restarted=True):
            assert files.holder(tmp_path) == f"{os.getpid()} on {platform.node()}"
        end.join()


def test_only_another_hosts_lock_is_waited_for(tmp_path: Path) -> None:
    begun = time.monotonic()
    with (
        files.lock(tmp_path),
        pytest.raises(BusyError, match=platform.node()),
        files.lock(tmp_path, restarted=True),
    ):
        pass
    assert time.monotonic() - begun < files._LEASE / 2


@pytest.mark.parametrize(("number", "harm"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_folders_that_cannot_be_synced_are_as_they_are(
    tmp_path: Path, monkeypatch, number: int, harm: bool
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="error") if harm else nullcontext():
        files.sync_folder(tmp_path)
