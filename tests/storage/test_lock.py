"""A folder has one owner, whom the others are told of."""

import errno
import fcntl
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kit.errors import BusyError, OutputError
from kit.storage.lock import _LEASE, holder, lock, lock_in_turn


def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from kit.storage.lock import lock
with lock(Path({str(tmp_path)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        owner = f"{other.pid} on {platform.node()}"
        with pytest.raises(BusyError, match=f"process {owner}$"), lock(tmp_path):
            pass
        assert holder(tmp_path) == owner
        other.kill()
        other.wait()
        with lock(tmp_path):
            pass


def test_a_full_disk_does_not_keep_a_lock_from_being_held(tmp_path: Path, monkeypatch) -> None:
    def full(*rest: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with lock(tmp_path), pytest.raises(BusyError, match=r"process \?"), lock(tmp_path):
        pass


def test_a_file_system_without_locks_is_named(tmp_path: Path, monkeypatch) -> None:
    def none(*rest: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(OutputError, match="cannot be locked"):
        lock(tmp_path).__enter__()


@pytest.mark.slow
def test_the_lock_of_a_node_that_died_is_waited_for(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("1 on a-node-that-died")
        file.flush()
        with pytest.raises(BusyError, match="a-node-that-died"), lock(tmp_path):
            pass
        end = threading.Timer(0.5, lambda: fcntl.flock(file, fcntl.LOCK_UN))
        end.start()
        with lock(tmp_path, restarted=True):
            assert holder(tmp_path) == f"{os.getpid()} on {platform.node()}"
        end.join()


def test_only_another_hosts_lock_is_waited_for(tmp_path: Path) -> None:
    begun = time.monotonic()
    with (
        lock(tmp_path),
        pytest.raises(BusyError, match=platform.node()),
        lock(tmp_path, restarted=True),
    ):
        pass
    assert time.monotonic() - begun < _LEASE / 2


def test_a_folder_that_is_removed_while_it_is_waited_for_is_made_and_held(tmp_path: Path) -> None:
    folder, found = tmp_path / "folder", []

    def wait() -> None:
        with lock(folder, patience=10):
            found.append(holder(folder))

    with lock(folder):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.3)
        folder.rename(tmp_path / "aside")
    waiting.join()
    assert found == [f"{os.getpid()} on {platform.node()}"]


@pytest.mark.parametrize("again", [False, True])
def test_who_removes_the_file_of_a_lock_frees_those_that_wait(tmp_path: Path, again: bool) -> None:
    entered = threading.Event()

    def wait() -> None:
        with lock(tmp_path, patience=10):
            entered.set()

    with lock(tmp_path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not entered.wait(0.3)
        (tmp_path / ".lock").unlink()
        if again:
            (tmp_path / ".lock").touch()
        assert entered.wait(5)
    waiting.join()


def test_a_lock_on_a_file_that_a_server_has_removed_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = [OSError(errno.ESTALE, "Stale file handle")]
    look = os.fstat

    def fstat(number: int) -> os.stat_result:
        if stale:
            raise stale.pop()
        return look(number)

    monkeypatch.setattr(os, "fstat", fstat)
    with lock(tmp_path):
        assert holder(tmp_path) and not stale


def test_whoever_waits_for_their_turn_is_told_once(tmp_path: Path) -> None:
    lines: list[str] = []
    entered = threading.Event()

    def wait() -> None:
        with lock_in_turn(tmp_path, lines.append):
            entered.set()

    with lock(tmp_path):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not entered.wait(0.5)
    waiting.join(10)
    assert entered.is_set() and len(lines) == 1
    assert lines[0].startswith(f"{tmp_path}: in use by process {os.getpid()} on ")
