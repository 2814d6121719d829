"""Writing beside drawing: whole files, within bounds, and over when it is over."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

import kit.prediction.writer
from kit.errors import OutputError
from kit.prediction.writer import AHEAD, Writer
from kit.scaling import UINT16_MAX, quantize
from kit.storage.image_file import digest


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [each for each in threading.enumerate() if each.name.startswith("write")]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def picture(level: float = 0.5) -> np.ndarray:
    return quantize(np.full((3, 4, 4), level, np.float32))


def test_pictures_are_written_in_levels_after_what_is_to_come_before(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    levels = quantize(random.random((3, 8, 5), dtype=np.float32))
    seen: list[tuple[bool, str]] = []
    path = tmp_path / "a.npy"
    with Writer() as writer:
        writer.put(path, levels, lambda sha256: seen.append((path.exists(), sha256)))
    image = np.load(path)
    assert seen == [(False, digest(image))] and image.dtype == np.uint16
    np.testing.assert_array_equal(image, levels)
    assert [each.name for each in tmp_path.iterdir()] == ["a.npy"]


def test_the_ends_of_the_range_are_the_ends_of_the_levels(tmp_path: Path) -> None:
    with Writer() as writer:
        for level in (0, 1):
            writer.put(tmp_path / f"{level}.npy", picture(level), lambda _: None)
    assert np.load(tmp_path / "0.npy").max() == 0
    assert np.load(tmp_path / "1.npy").min() == UINT16_MAX


@pytest.mark.parametrize("ahead", [1, 4])
def test_a_slow_disk_stops_who_draws(tmp_path: Path, ahead: int) -> None:
    gate = threading.Event()
    put = 0

    def draw() -> None:
        nonlocal put
        with Writer(ahead) as writer:
            for number in range(3 * ahead):
                writer.put(tmp_path / f"{number}.npy", picture(), lambda _: gate.wait())
                put += 1

    drawing = threading.Thread(target=draw)
    drawing.start()
    until(lambda: put == ahead)
    time.sleep(0.05)
    assert put == ahead and not list(tmp_path.iterdir())
    gate.set()
    drawing.join()
    assert len(list(tmp_path.iterdir())) == 3 * ahead


def full(path: Path, image: np.ndarray) -> None:
    path.write_bytes(image.tobytes()[:9])
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_a_full_disk_is_told_at_the_next_picture_or_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.prediction.writer, "write_image", full)
    with (
        pytest.raises(OutputError, match=r"a\.npy.*No space(.|\n)*free disk space") as caught,
        Writer() as writer,
    ):
        writer.put(tmp_path / "a.npy", picture(), lambda _: None)
    assert caught.value.exit_code == 5
    puts = 0
    with pytest.raises(OutputError, match=r"0\.npy"), Writer() as writer:
        for puts in range(10_000):
            writer.put(tmp_path / f"{puts}.npy", picture(), lambda _: None)
            time.sleep(0.001)
    assert puts <= AHEAD
    assert not list(tmp_path.iterdir())


def test_a_note_that_cannot_be_made_keeps_its_picture_back(tmp_path: Path) -> None:
    def note(_: str) -> None:
        raise OutputError("done-0.jsonl: cannot be written")

    with pytest.raises(OutputError, match="done-0"), Writer() as writer:
        writer.put(tmp_path / "a.npy", picture(), note)
    assert not list(tmp_path.iterdir())


def test_what_stops_the_drawing_writes_no_more(tmp_path: Path) -> None:
    begun = threading.Semaphore(0)

    def wait(_: str) -> None:
        begun.release()
        while not writer._pool._shutdown:
            time.sleep(0.01)
        time.sleep(0.1)  # what waits is cancelled under the same lock

    with pytest.raises(KeyboardInterrupt), Writer() as writer:
        for number in range(AHEAD):
            writer.put(tmp_path / f"{number}.npy", picture(number / AHEAD), wait)
        begun.acquire()
        raise KeyboardInterrupt
    left = list(tmp_path.iterdir())
    assert 0 < len(left) < AHEAD and all(each.suffix == ".npy" for each in left)
    for each in left:
        assert np.load(each).shape == (3, 4, 4)


def test_many_writers_leave_the_umask_as_it_was(tmp_path: Path) -> None:
    """It belongs to the process, so that a thread that sets it changes the others' files."""
    with Writer() as writer:
        for number in range(200):
            writer.put(tmp_path / f"{number}.npy", picture(), lambda _: None)
    (tmp_path / "plain").touch()
    modes = {each.stat().st_mode for each in tmp_path.iterdir()}
    assert len(modes) == 1


def test_finished_pictures_are_not_kept(tmp_path: Path) -> None:
    with Writer(4) as writer:
        for number in range(20):
            writer.put(tmp_path / f"{number}.npy", picture(), lambda _: None)
            assert len(writer._waiting) <= 4
            assert all(isinstance(each, Future) for each in writer._waiting)


def test_many_files_wait_for_the_disk_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(8, timeout=20)
    synced: list[str] = []
    sync = os.fsync

    def slow(descriptor: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        synced.append(path.name)
        if path.suffix == ".npy":
            assert not (tmp_path / path.parent.parent.name / path.name).exists()
            together.wait()  # which a thread alone never passes
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    with Writer(16) as writer:
        for number in range(16):
            writer.put(tmp_path / "ab"[number % 2] / f"{number}.npy", picture(), lambda _: None)
    names = [f"{number}.npy" for number in range(16)]
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["a", "b", *names])
    # The files first, and the folder that holds their names once, at the end.
    assert synced.index("a", synced.index("15.npy")) and synced[-2:] == ["a", "b"]


def test_a_writer_that_is_never_fast_starts_few_threads(tmp_path: Path) -> None:
    with Writer() as writer:
        for number in range(10):
            writer.put(tmp_path / f"{number}.npy", picture(), lambda _: None)
            until(lambda: all(each.done() for each in writer._waiting))
            # A thread says that it waits for work a moment after its work is done.
            until(lambda: writer._pool._idle_semaphore._value >= 1)
        assert len(writer._pool._threads) <= 2
