"""A tile is that of the image which the index gives its scene to, whatever was there before."""

import csv
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.errors import InputError
from kit.pairs.prepare import prepare
from kit.sources import writing
from kit.sources.convert import Wanted
from kit.sources.find import find_tiles
from kit.sources.index import find_image
from kit.verification.verify import verify
from tests.helpers.sealed import rewrite
from tests.helpers.sources import write_bigearthnet, write_image
from tests.helpers.tiles import read_tile

_TIME = 1_600_000_000


def put(data: Path, name: str, value: int) -> None:
    """A pair of images that hold one value and others, all of one size and age."""
    for folder, at in (("sar", value), ("opt", value + 1)):
        pixels = np.full((1 if folder == "sar" else 3, 16, 16), at, np.uint8)
        pixels[:, 0, 0], pixels[:, 1, 1] = 0, 255
        path = write_image(data / folder / f"{name}.tif", pixels)
        os.utime(path, (_TIME, _TIME))


def convert(data: Path, work: Path) -> None:
    assert find_tiles(data, work)


def shown(work: Path) -> dict[str, int]:
    """What the tiles of the scene of each image hold, as the number that the image had."""
    found = {}
    for row in csv.DictReader((work / "tiles/index.csv").open()):
        radar = row["sensor"] == "Sentinel1"
        name = f"{row['sensor']}_{'VV' if radar else 'B4'}_{row['scene']}.tiff"
        value = read_tile(work / "tiles/train" / name)[5, 5]
        found[row["file"]] = round(((value + 25) / 25 if radar else value / 3000) * 255)
    return found


def expected(**values: int) -> dict[str, int]:
    radar = {f"sar/{name}.tif": value for name, value in values.items()}
    return radar | {f"opt/{name}.tif": value + 1 for name, value in values.items()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number, name in enumerate(("a", "c", "d", "e")):
        put(tmp_path / "data", name, 50 + 20 * number)
    return tmp_path / "data"


def add(data: Path) -> None:
    put(data, "b", 200)


def remove(data: Path) -> None:
    for folder in ("sar", "opt"):
        (data / folder / "a.tif").unlink()


def exchange(data: Path) -> None:
    for folder in ("sar", "opt"):
        (data / folder / "a.tif").rename(data / "aside")
        (data / folder / "c.tif").rename(data / folder / "a.tif")
        (data / "aside").rename(data / folder / "c.tif")


NOW = {
    add: {"a": 50, "b": 200, "c": 70, "d": 90, "e": 110},
    remove: {"c": 70, "d": 90, "e": 110},
    exchange: {"a": 70, "c": 50, "d": 90, "e": 110},
}


@pytest.mark.parametrize("change", [add, remove, exchange])
def test_images_of_equal_age_and_size_are_not_confused(
    data: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    convert(data, tmp_path / "work")
    change(data)
    convert(data, tmp_path / "work")
    assert shown(tmp_path / "work") == expected(**NOW[change])


@pytest.mark.parametrize("stopped", range(1, 9))
def test_a_conversion_that_is_killed_leaves_no_tile_of_another_image(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: int
) -> None:
    """Nor does one that goes on after it, of other images again."""
    work, made = tmp_path / "work", []
    write = writing.write_tiles

    def fail(*arguments: Any) -> dict[Path, bytes]:
        made.append(arguments)
        if len(made) == stopped:
            raise KeyboardInterrupt
        return write(*arguments)

    convert(data, work)
    with monkeypatch.context() as patched:
        patched.setattr(writing, "write_tiles", fail)
        patched.setattr(writing, "THREADS", 1)
        add(data)
        with pytest.raises(KeyboardInterrupt):
            convert(data, work)
    shutil.copytree(work, tmp_path / "copy", symlinks=True)
    convert(data, work)
    assert shown(work) == expected(**NOW[add])
    for folder in ("sar", "opt"):
        (data / folder / "b.tif").unlink()
    convert(data, tmp_path / "copy")
    assert shown(tmp_path / "copy") == expected(a=50, c=70, d=90, e=110)


def test_what_was_made_before_a_kill_is_not_made_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, write = tmp_path / "work", writing.write_tiles

    def fail(files: Any, folder: Path, *others: Any) -> dict[Path, bytes]:
        if len([*folder.glob("*_VV_*")]) == 2:
            raise KeyboardInterrupt
        return write(files, folder, *others)

    with monkeypatch.context() as patched:
        patched.setattr(writing, "write_tiles", fail)
        patched.setattr(writing, "THREADS", 1)
        with pytest.raises(KeyboardInterrupt):
            convert(data, work)
    before = {path: path.lstat().st_ctime_ns for path in (work / "tiles/train").iterdir()}
    assert before
    convert(data, work)
    assert (
        before.items()
        <= {path: path.lstat().st_ctime_ns for path in (work / "tiles/train").iterdir()}.items()
    )


def test_tiles_of_an_earlier_kit_are_made_again(data: Path, tmp_path: Path) -> None:
    """It noted in its index no state of the files, and may have kept tiles of other images."""
    convert(data, tmp_path)
    index = tmp_path / "tiles/index.csv"
    index.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in index.open()))
    train = tmp_path / "tiles/train"
    first, second = sorted(train.glob("*_VV_*"))[:2]
    shutil.copy2(second, first)
    convert(data, tmp_path)
    assert shown(tmp_path) == expected(a=50, c=70, d=90, e=110)


def damage(path: Path, how: str) -> None:
    """As a disk damages a file: its times stay."""
    data, status = bytearray(path.read_bytes()), path.stat()
    data[-9] ^= 1
    path.write_bytes(bytes(data) if how == "flipped" else bytes(data)[: len(data) // 2])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.slow
def test_a_tile_that_was_cut_short_is_made_again(data: Path, tmp_path: Path) -> None:
    whole = prepare(data, tmp_path, units="any")
    clear = next((tmp_path / "tiles/qa60").iterdir())
    for path in (min((tmp_path / "tiles/train").glob("*_VH_*")), clear):
        before = path.read_bytes()
        damage(path, "cut")
        assert prepare(data, tmp_path, units="any") == whole
        assert path.read_bytes() == before


def test_a_flipped_bit_of_a_tile_is_found_and_mended_as_is_told(data: Path, tmp_path: Path) -> None:
    prepare(data, tmp_path, units="any")
    path = min((tmp_path / "tiles/train").glob("*_B4_*"))
    before = path.read_bytes()
    damage(path, "flipped")
    found = [each for each in verify([tmp_path], data=True).damaged if each.path == str(path)]
    assert found[0].problem == "is not what was written"
    assert found[0].remedy.startswith("remove it, and run the command that made it again")
    path.unlink()
    prepare(data, tmp_path, units="any")
    assert path.read_bytes() == before and not verify([tmp_path], data=True).damaged


@pytest.mark.parametrize("name", ["source.json", "index.csv"])
@pytest.mark.parametrize("how", ["flipped", "emptied", "removed", "renamed"])
def test_a_damaged_record_of_images_is_found(
    data: Path, tmp_path: Path, name: str, how: str
) -> None:
    convert(data, tmp_path)
    assert not verify([tmp_path]).damaged
    path = tmp_path / "tiles" / name
    whole = path.read_bytes()
    if how == "removed":
        path.unlink()
    elif how == "renamed":  # the word of a column, or of a field
        path.write_bytes(whole.replace(b"scene", b"scemb", 1).replace(b"format", b"fornat", 1))
    elif how == "emptied":
        path.write_bytes(b"")
    else:
        path.write_bytes(whole.replace(b"sar/a", b"sar/b").replace(b'"made"', b'"nade"'))
    (damage,) = verify([tmp_path]).damaged[:1]
    assert damage.path == str(path) and "kit prepare" in damage.remedy
    if how != "removed":
        with pytest.raises(InputError, match=rf"{name}: .*\n.*kit prepare"):
            find_image(tmp_path, "sar/a.tif")
    convert(data, tmp_path)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("text", [b"part,sensor,scene\n1,2,3\n", b"\xff\xfe", b"part\n\x00", b"x"])
def test_a_damaged_index_without_a_digest_is_named(data: Path, tmp_path: Path, text: bytes) -> None:
    """As folders that a kit of before has made lack it."""
    convert(data, tmp_path)
    rewrite(tmp_path / "tiles/source.json", without=("index_sha256",))
    assert find_image(tmp_path, "sar/a.tif")
    (tmp_path / "tiles/index.csv").write_bytes(text + (tmp_path / "tiles/index.csv").read_bytes())
    with pytest.raises(InputError, match=r"index\.csv: damaged\n.*kit prepare"):
        find_image(tmp_path, "sar/a.tif")


def test_names_that_a_spreadsheet_would_run_are_spelt_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    put(data / "=1+1", "a", 50)
    convert(data, tmp_path)
    assert ",'=1+1/sar/a.tif," in (tmp_path / "tiles/index.csv").read_text()
    found = find_image(tmp_path, "=1+1/sar/a.tif")
    assert found and found.path == data / "=1+1/sar/a.tif"


def test_a_link_leads_to_the_file_of_now(tmp_path: Path) -> None:
    """Of two tiles of one place and date the first by name counts, while it is there."""
    data, work, random = tmp_path / "data", tmp_path / "work", np.random.default_rng(0)
    for folder in ("one", "two"):
        for sensor, bands in (("Sentinel1", ("VV", "VH")), ("Sentinel2", ("B4", "B3", "B2"))):
            for band in bands:
                path = data / folder / f"{sensor}_{band}_1.5_-2.5_2020_01_02.tiff"
                db = random.normal(-12, 2, (1, 16, 16)).astype(np.float32)
                dn = random.integers(300, 3000, (1, 16, 16)).astype(np.uint16)
                write_image(path, db if sensor == "Sentinel1" else dn)
                os.utime(path, (_TIME, _TIME))
    wanted = Wanted(ranges={"DN": (0.0, 10000.0)})
    for folder in ("one", "two"):
        assert find_tiles(data, work, "multiearth", wanted)
        tile = work / "tiles/train/Sentinel1_VV_1.5_-2.5_2020_01_02.tiff"
        assert tile.resolve() == data / folder / tile.name
        shutil.rmtree(data / "one", ignore_errors=True)


def test_tiles_are_not_converted_into_their_own_folder(data: Path, tmp_path: Path) -> None:
    """Nothing is removed where images are tiles in that folder, however it is named."""
    work = tmp_path / "work"
    convert(data, work)
    (tmp_path / "link").symlink_to(work / "tiles")
    before = sorted(work.rglob("*"))
    wanted = Wanted(ranges={"DN": (0.0, 2000.0)})
    for own in (work / "tiles/train", work / "tiles", tmp_path / "link/train", work, tmp_path):
        with pytest.raises(InputError, match="train: holds tiles that the kit has converted"):
            find_tiles(own, work, "multiearth", wanted)
    assert sorted(work.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("dangling", [True, False])
def test_a_band_that_is_gone_is_listed(tmp_path: Path, dangling: bool) -> None:
    data = write_bigearthnet(tmp_path / "d", 5, 1)
    path = next(data.rglob("*_2_48_VH.tif"))
    path.unlink()
    if dangling:
        path.symlink_to(tmp_path / "nowhere.tif")
    assert prepare(data, tmp_path / "w").pairs == 4
    listed = (tmp_path / "w" / "rejected.csv").read_text()
    assert ("cannot be opened" in listed) == dangling and "_2_48" in listed
