"""The same bytes always, and a zip that other programs read."""

import hashlib
import io
import random
import shutil
import stat
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.archive import writer
from kit.archive.writer import Entry, write_zip


def content(index: int) -> bytes:
    """Now short, now long, now noise, now all the same."""
    source = random.Random(index)
    noise = source.randbytes(source.randrange(40_000))
    return noise + bytes([index % 256]) * source.randrange(40_000)


def entries(count: int, make: Callable[[int], bytes] = content) -> list[Entry]:
    return [((f"CH3/{index}.tiff",), lambda index=index: make(index)) for index in range(count)]


def zipped(listed: list[Entry], threads: int = 1) -> bytes:
    sink = io.BytesIO()
    write_zip(sink, listed, threads=threads)
    return sink.getvalue()


def test_python_reads_every_entry_back() -> None:
    with zipfile.ZipFile(io.BytesIO(zipped(entries(30)))) as archive:
        assert archive.namelist() == [f"CH3/{index}.tiff" for index in range(30)]
        assert archive.testzip() is None
        for index in range(30):
            assert archive.read(f"CH3/{index}.tiff") == content(index)


@pytest.mark.parametrize("program", ["unzip", "zip"])
def test_info_zip_finds_no_fault(tmp_path: Path, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    path = tmp_path / "a.zip"
    path.write_bytes(zipped([*entries(9), (("CH3/é.tiff",), lambda: b"x")]))
    command = {"unzip": ["unzip", "-tqq", path], "zip": ["zip", "-T", path]}[program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stdout + done.stderr


def test_an_entry_says_nothing_of_where_and_when_it_was_made() -> None:
    (entry,) = zipfile.ZipFile(io.BytesIO(zipped(entries(1)))).infolist()
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)
    assert entry.external_attr >> 16 == stat.S_IFREG | 0o644
    assert (entry.create_system, entry.compress_type) == (3, zipfile.ZIP_DEFLATED)
    assert (entry.extra, entry.comment, entry.flag_bits) == (b"", b"", 0)


def test_the_bytes_are_those_of_every_other_machine() -> None:
    # From zlib 1.2.13; zlib-ng 2.3.3 gives the same.
    ramp = b"".join((n * n % 65521).to_bytes(2, "little") for n in range(70_000))
    listed: list[Entry] = [
        (("CH3/a.tiff",), lambda: ramp),
        (("CH3/b.tiff", "CH3/é.tiff"), lambda: bytes(100_000)),
    ]
    digest = hashlib.sha256(zipped(listed, threads=2)).hexdigest()
    assert digest == "7e8fcfda8a21d5cb2ed0d702a4426ce4ce238c40f02c7011ec403d5524a09288"


def test_threads_that_finish_in_another_order_change_nothing() -> None:
    def late(index: int) -> bytes:
        time.sleep(0.004 * (index % 3 == 0))
        return content(index)

    once = zipped(entries(25))
    assert {zipped(entries(25, late), threads) for threads in (1, 2, 7)} == {once}


def test_several_names_share_what_is_made_once() -> None:
    made: list[int] = []

    def make() -> bytes:
        made.append(1)
        return content(5)

    sink = io.BytesIO()
    digests = write_zip(sink, [(("a", "b", "c"), make)])
    assert made == [1]
    assert digests == dict.fromkeys("abc", hashlib.sha256(content(5)).hexdigest())
    with zipfile.ZipFile(sink) as archive:
        assert [archive.read(name) for name in "abc"] == [content(5)] * 3


def test_names_of_any_language() -> None:
    names = ("CH3/plain.tiff", "CH3/Pará.tiff", "CH3/图.tiff")
    with zipfile.ZipFile(io.BytesIO(zipped([(names, lambda: b"x")]))) as archive:
        assert tuple(archive.namelist()) == names


def test_an_empty_zip_is_a_zip() -> None:
    assert zipfile.ZipFile(io.BytesIO(zipped([]))).namelist() == []


def test_few_entries_are_in_memory_at_a_time() -> None:
    ahead, most = 0, 0
    guard = threading.Lock()

    class Slow:
        def write(self, data: bytes, /) -> None:
            nonlocal ahead
            if data.startswith(b"PK\x03\x04"):
                with guard:
                    ahead -= 1
                time.sleep(0.002)

    def make(index: int) -> bytes:
        nonlocal ahead, most
        with guard:
            ahead += 1
            most = max(most, ahead)
        return b"x"

    write_zip(Slow(), entries(100, make), threads=3)
    assert 3 < most <= 2 * 3 + 1


def test_what_a_maker_raises_is_raised_and_the_rest_is_not_made() -> None:
    made: list[int] = []

    def make(index: int) -> bytes:
        made.append(index)
        if index == 3:
            raise KeyError("three")
        return b"x"

    with pytest.raises(KeyError, match="three"):
        zipped(entries(1000, make), threads=2)
    assert len(made) < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("deflate")]


def test_a_sink_that_is_full_ends_the_threads() -> None:
    class Full:
        def write(self, data: bytes, /) -> None:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_zip(Full(), entries(1000), threads=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("deflate")]


@pytest.mark.slow
def test_more_entries_than_the_old_end_can_count() -> None:
    count = 65_540
    names = tuple(f"{index}" for index in range(count))
    with zipfile.ZipFile(io.BytesIO(zipped([(names, lambda: b"one")]))) as archive:
        assert len(archive.namelist()) == count
        assert archive.read(names[-1]) == b"one"


def test_positions_that_the_old_headers_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A far entry at 4 GiB and more is the same code as one beyond a smaller limit."""
    listed = entries(12)
    limit = 100_000
    monkeypatch.setattr(writer, "_FAR", limit)
    data = zipped(listed)
    assert len(data) > 2 * limit
    assert data.count(b"PK\x06\x06") == 1
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for index, entry in enumerate(archive.infolist()):
            assert (entry.extract_version == 45) == (entry.header_offset >= limit)
            assert archive.read(entry) == content(index)


def test_a_file_that_no_header_can_tell_the_size_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_FAR", 1000)
    with pytest.raises(ValueError, match="1000 bytes"):
        zipped([(("a",), lambda: bytes(1000))])
