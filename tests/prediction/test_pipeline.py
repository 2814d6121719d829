"""Reading beside drawing: in order, within bounds, and over when it is over."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import kit.prediction.pipeline
from kit.errors import InputError
from kit.prediction.pipeline import AHEAD, Reading, readings
from kit.scaling import radar_nodata, scale_radar
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
    return [each.name for each in threading.enumerate() if each.name.startswith("read")]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


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
