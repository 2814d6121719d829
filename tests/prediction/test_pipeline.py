"""Reading and writing beside drawing: in order, within bounds, and over when it is over."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import kit.prediction.pipeline
from kit.errors import InputError, OutputError
from kit.image_file import digest
from kit.prediction.pipeline import AHEAD, Reading, Writer, readings
from kit.scaling import UINT16_MAX, quantize, radar_nodata, scale_radar
from kit.tiles.bands import read_bands
from kit.tiles.catalog import catalog
from kit.tiles.scenes import Scene
from tests.helpers.tiles import key, radar

SCENES = 40


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    folder = tmp_path_factory.mktemp("tiles")
    for place in range(SCENES):
        radar(folder, key(place), size=32)
    return [*catalog(folder).of("Sentinel1")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not working()


def working() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith(("read", "write"))]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def picture(level: float = 0.5) -> np.ndarray:
    return quantize(np.full((3, 4, 4), level, np.float32))


def test_scenes_come_in_order_as_a_network_sees_them(scenes: list[Scene]) -> None:
    found = list(readings(scenes))
    assert [scene for scene, _ in found] == scenes
    for scene, reading in found:
        assert isinstance(reading, Reading) and reading.scene == scene
        sar = read_bands("Sentinel1", scene.paths)
        np.testing.assert_array_equal(reading.radar, scale_radar(sar))
        assert reading.radar.dtype == np.float32
        assert reading.nodata == radar_nodata(sar).mean()


def test_order_does_not_depend_on_who_is_faster(
    scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    def uneven(scene: Scene, planes: object) -> InputError:
        time.sleep(0.02 if scenes.index(scene) % 3 == 0 else 0)
        return InputError(str(scene.key))

    monkeypatch.setattr(kit.prediction.pipeline, "read_radar", uneven)
    assert [scene for scene, _ in readings(scenes)] == scenes


@pytest.mark.parametrize("ahead", [1, 3, AHEAD])
def test_a_slow_consumer_stops_the_reading(
    scenes: list[Scene], monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    read = 0

    def counted(scene: Scene, planes: object) -> InputError:
        nonlocal read
        read += 1
        return InputError(str(scene.key))

    monkeypatch.setattr(kit.prediction.pipeline, "read_radar", counted)
    with closing(readings(scenes, ahead)) as found:
        for taken, _ in enumerate(found, 1):
            most = min(taken + ahead, SCENES)
            until(lambda most=most: read == most)
            time.sleep(0.002)
            assert read == most


def test_scenes_that_cannot_be_read_come_in_their_place(tmp_path: Path) -> None:
    for place in range(4):
        radar(tmp_path, key(place))
    scenes = [*catalog(tmp_path).of("Sentinel1")]
    scenes[1].paths[1].write_bytes(b"II*\0")
    scenes[2].paths[0].unlink()
    found = [reading for _, reading in readings(scenes)]
    assert [isinstance(each, Reading) for each in found] == [True, False, False, True]
    assert isinstance(found[1], InputError) and found[1].where == str(scenes[1].paths[1])
    assert isinstance(found[2], InputError) and found[2].where == str(scenes[2].paths[0])


def test_what_ends_the_consumer_ends_the_threads(scenes: list[Scene]) -> None:
    with pytest.raises(ZeroDivisionError), closing(readings(scenes)) as found:
        for _ in found:
            assert working()
            raise ZeroDivisionError
    assert not working()


def test_a_bug_in_the_reading_is_not_swallowed(
    scenes: list[Scene], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.prediction.pipeline, "scale_radar", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(readings(scenes))


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


def full(path: Path, data: bytes) -> None:
    with kit.files.atomic(path) as part:
        part.write_bytes(data[:100])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_at_the_next_picture_or_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.prediction.pipeline, "write_bytes", full)
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
