"""The pack: what is in it, how it is made, and everything that may not pass for it."""

import errno
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kit.pairs.pack
import kit.pairs.pack_pairs
from kit.errors import BusyError, InputError, OutputError
from kit.pairs.open_pairs import open_pairs
from kit.pairs.pack import Packed, PackPlan, pack
from kit.pairs.pack_pairs import PackPairs
from kit.pairs.prepare import prepare
from kit.pairs.table import Pair, read_pairs, train_pairs, write_pairs
from kit.screening.rule import CloudRule
from kit.storage.lock import lock
from kit.tiles.bands import read_bands
from kit.training.train import train
from kit.training.validate import validate
from tests.helpers.runs import assert_same_run
from tests.helpers.tiles import key, optical, radar, world
from tests.helpers.variants import tiny

WORK = Path("work")
PACK = WORK / "pack"


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit.pairs.pack, "PAIRS_PER_SHARD", 4)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pairs of two sizes."""
    data = world(tmp_path_factory.mktemp("tiles") / "data", places=8, dates=1)
    for place in (20, 21):
        radar(data, key(place), size=40)
        optical(data, key(place, 2), size=40)
    return data


@pytest.fixture
def small(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Pair, ...]:
    """A copy of `tiles`, prepared, in the current folder; its pairs, all of which are packed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiles, "data")
    return prepared()


def prepared(**options: int) -> tuple[Pair, ...]:
    prepare(Path("data"), WORK, rule=CloudRule(), **{"holdout": 0} | options)
    return read_pairs(WORK / "pairs.parquet")


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in PACK.glob("[!.]*")}


def read_all(pairs: tuple[Pair, ...]) -> None:
    reader = open_pairs(WORK, pairs)
    for pair in pairs:
        with reader.pixels(pair) as (sar, dn):
            np.testing.assert_array_equal(sar, read_bands("Sentinel1", pair.radar_paths))
            np.testing.assert_array_equal(dn, read_bands("Sentinel2", pair.optical_paths))
            assert (sar.dtype, dn.dtype) == (np.float32, np.uint16)


def test_a_pack_holds_what_the_tiles_hold(small: tuple[Pair, ...]) -> None:
    told: list[PackPlan] = []
    steps: list[tuple[int, int]] = []
    found = pack(WORK, advance=lambda *rest: steps.append(rest[:2]), announce=told.append)
    size = 14 * (8 * 32 * 32 + 2 * 40 * 40) + 6 * 128
    assert found == Packed(PACK, 10, 3, size, 0, 0)
    assert (told[0].bytes, told[0].bytes_to_write, told[0].shards_to_write) == (size, size, 3)
    assert told[0].free > size
    assert steps == sorted(steps) and steps[-1] == (10, 10)
    assert sum(path.stat().st_size for path in PACK.glob("*.npy")) == size
    # Anything that reads numpy's files reads these.
    assert np.load(PACK / "00000.radar.npy").dtype == np.float32
    read_all(small)
    for pair in small:
        shutil.rmtree(pair.radar_paths[0].parent, ignore_errors=True)
    with PackPairs(PACK, small).pixels(small[0]) as (mapped, _):
        assert mapped.base is not None


def test_everything_that_is_trained_on_or_held_out_is_packed(trained: Path) -> None:
    pack(WORK)
    pairs = read_pairs(WORK / "pairs.parquet")
    names = [e["pair"] for p in sorted(PACK.glob("*.json"))
             for e in json.loads(p.read_text())["about"]["pairs"]]  # fmt: skip
    assert names == [f"{p.radar} {p.optical}" for p in pairs if p.split != "buffer"]


def test_what_is_packed_is_not_packed_again(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    before = {path: path.stat().st_mtime_ns for path in PACK.glob("0*")}
    assert pack(WORK).shards_before == 3
    # Tiles that were moved, or are gone, are no reason either.
    Path("data").rename("moved")
    assert pack(WORK).shards_before == 3
    assert {path: path.stat().st_mtime_ns for path in PACK.glob("0*")} == before
    shutil.copytree("moved", "data", copy_function=shutil.copy2)
    assert pack(WORK).shards_before == 3
    arrays = {path: time for path, time in before.items() if path.suffix == ".npy"}
    assert {path: path.stat().st_mtime_ns for path in PACK.glob("0*.npy")} == arrays


def test_tiles_whose_status_alone_changed_are_compared_once(
    small: tuple[Pair, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(WORK)
    for path in Path("data").rglob("*.tiff"):
        path.chmod(0o640)  # another ctime
    assert pack(WORK).shards_before == 3
    monkeypatch.setattr(
        kit.pairs.pack_pairs, "read_scene", lambda *_: pytest.fail("a tile is read")
    )
    assert pack(WORK).shards_before == 3
    for pair in small:
        with open_pairs(WORK, small).pixels(pair):
            pass


def test_what_has_changed_is_packed_again_and_what_is_not_wanted_goes(
    small: tuple[Pair, ...],
) -> None:
    pack(WORK)
    radar(Path("data"), small[9].radar, size=small[9].height)
    with pytest.raises(InputError, match="not those that were packed"):
        read_all(small)
    assert pack(WORK).shards_before == 2
    read_all(small)
    for pair in small:
        if pair.height == 40:
            for path in (*pair.radar_paths, *pair.optical_paths):
                path.unlink()
    left = prepared()
    assert pack(WORK).shards_removed == 1 and len(contents()) == 6
    read_all(left)


def test_a_tile_of_the_same_size_and_time_is_told_by_its_content(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    path, other = (p.optical_paths[0] for p in [p for p in small if p.height == 32][:2])
    times = path.stat()

    def replace_by(data: bytes) -> None:
        path.unlink()
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    replace_by(path.read_bytes())
    read_all(small)
    assert pack(WORK).shards_before == 3
    replace_by(other.read_bytes())
    with pytest.raises(InputError, match="not those that were packed"):
        read_all(small)
    assert pack(WORK).shards_before == 2
    read_all(small)


def test_a_pack_of_the_first_format_is_read(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    before = contents()
    for index in PACK.glob("*.json"):
        noted = json.loads(index.read_text())
        for entry in noted["about"]["pairs"]:
            del entry["changed"]
        check = zlib.crc32(json.dumps(noted["about"], sort_keys=True).encode())
        index.write_text(json.dumps(noted | {"format": 1, "crc32": check}))
    assert pack(WORK).shards_before == 3
    read_all(small)
    assert {n: d for n, d in contents().items() if n.endswith(".npy")} == {
        n: d for n, d in before.items() if n.endswith(".npy")
    }


def test_training_from_the_pack_alone_ends_as_from_tiles(trained: Path) -> None:
    prepared(holdout=1000)
    variant = tiny("p2phd1", "name=twice")
    tiles = train(variant, work=WORK, runs=Path("tiles"))
    before = validate(["spade2"], work=WORK, runs=Path("runs"))
    pack(WORK)
    shutil.rmtree("data")
    packed = train(variant, work=WORK, runs=Path("packed"), workers=2)
    assert_same_run(tiles.folder, packed.folder)
    # As texts, which are as exact: NaN, where a baseline has no score, equals nothing.
    assert repr(validate(["spade2"], work=WORK, runs=Path("runs"))) == repr(before)


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


@pytest.mark.slow
def test_one_flipped_bit_anywhere_is_found(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    whole = contents()
    draw = random.Random(7)
    for name, data in whole.items():
        for _ in range(6):
            flip(PACK / name, draw.randrange(len(data)))
            with pytest.raises(InputError, match=f"{name[:5]}(.|\n)*kit pack"):
                read_all(small)
            (PACK / name).write_bytes(data)
    read_all(small)


def test_a_damaged_pair_is_named_and_its_shard_can_be_made_anew(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    whole = contents()
    flip(PACK / "00001.optical.npy", 128 + 6 * 32 * 32 + 5)
    reader = open_pairs(WORK, small)
    with reader.pixels(small[0]):
        pass
    names = [e["pair"] for e in json.loads(whole["00001.json"])["about"]["pairs"]]
    hurt = next(pair for pair in small if f"{pair.radar} {pair.optical}" == names[1])
    with pytest.raises(InputError, match=f"{hurt.optical} are damaged") as caught, \
            reader.pixels(hurt):  # fmt: skip
        pass
    assert f"remove {PACK / '00001.json'} and run kit pack again" in str(caught.value)
    (PACK / "00001.json").unlink()
    pack(WORK)
    assert contents() == whole


def test_a_file_that_is_cut_short_or_gone_is_named_and_packing_mends_it(
    small: tuple[Pair, ...],
) -> None:
    pack(WORK)
    whole = contents()
    for name in ("00002.radar.npy", "00000.optical.npy", "00001.json"):
        for left in (0, 100, -2, None):
            if left is None:
                (PACK / name).unlink()
            else:
                (PACK / name).write_bytes(whole[name][:left])
            wanted = name if left is not None or name.endswith("npy") else "lacks 4 of the 10"
            with pytest.raises(InputError, match=f"{wanted}(.|\n)*kit pack again"):
                open_pairs(WORK, small)
            pack(WORK)
            assert contents() == whole, (name, left)


def test_a_newer_format_is_refused(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    path = PACK / "00000.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 3}))
    with pytest.raises(InputError, match=r"00000\.json: has format 3, and this kit reads 1 to 2"):
        open_pairs(WORK, small)
    path.write_text("[1]")
    with pytest.raises(InputError, match="was not written by kit pack"):
        open_pairs(WORK, small)


@pytest.mark.slow
def test_a_pack_of_other_data_is_refused(small: tuple[Pair, ...], monkeypatch) -> None:
    pack(WORK)
    shutil.move(PACK, "foreign")
    radar(Path("data"), key(30))
    optical(Path("data"), key(30, 2))
    more = prepared()
    shutil.copytree("foreign", PACK)
    with pytest.raises(
        InputError, match=rf"lacks 1 of the 11 pairs needed, {key(30)} {key(30, 2)} first"
    ):
        open_pairs(WORK, more)
    with pytest.raises(InputError, match="lacks 1"):
        train(tiny("p2phd1"), work=WORK, runs=Path("runs"))
    # The same places and dates in another world.
    shutil.rmtree("data")
    monkeypatch.setattr("tests.helpers.tiles._seed", lambda scene: 99)
    world(Path("data"), places=8, dates=1)
    other = prepared()
    with pytest.raises(InputError, match="not those that were packed"):
        read_all(other)
    world(Path("data"), places=8, dates=1, size=40)
    with pytest.raises(InputError, match="is 32x32, in the table 40x40"):
        read_all(prepared())


def test_half_a_pack_is_not_trained_from(small: tuple[Pair, ...]) -> None:
    with lock(PACK):
        open_pairs(WORK, small)
    (PACK / ".00000.radar.npy.1.part").touch()
    with pytest.raises(InputError, match="lacks 10 of the 10"):
        open_pairs(WORK, small)
    pack(WORK)
    assert not list(PACK.glob(".*.part"))


def test_a_tile_that_vanished_is_named_and_all_else_is_packed(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    whole = contents()
    shutil.rmtree(PACK)
    gone = small[0].optical_paths[1]
    data = gone.read_bytes()
    stamp = gone.stat().st_mtime_ns
    gone.unlink()
    with pytest.raises(InputError, match=f"{gone.name}: no such file; 1 tile") as caught:
        pack(WORK)
    assert "kit pack" in caught.value.remedy
    assert len(contents()) == 6 and contents().items() <= whole.items()
    gone.write_bytes(b"II*\0")
    with pytest.raises(InputError, match=gone.name):
        pack(WORK)
    assert len(contents()) == 6
    gone.write_bytes(data)
    os.utime(gone, ns=(stamp, stamp))
    assert pack(WORK).shards_before == 2
    # All but when the tile changed last, which the disk alone can set.
    assert [b"" if n == "00000.json" else d for n, d in sorted(contents().items())] == [
        b"" if n == "00000.json" else d for n, d in sorted(whole.items())
    ]


def test_a_tile_of_another_size_is_named(small: tuple[Pair, ...]) -> None:
    optical(Path("data"), small[3].optical, size=48)
    with pytest.raises(InputError, match=f"{small[3].optical}.*is 48x48"):
        pack(WORK)


def test_a_full_disk_ends_the_run_and_the_next_goes_on(
    small: tuple[Pair, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(WORK)
    whole = contents()
    shutil.rmtree(PACK)
    sync, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 12:  # one for the folder, two for each file, three files for each shard
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"00001\.json: cannot be written \(No space") as caught:
        pack(WORK)
    assert caught.value.exit_code == 5
    assert not list(PACK.glob(".*.part"))
    assert pack(WORK).shards_before == 1
    assert contents() == whole


@pytest.mark.slow
def test_a_file_that_may_not_grow_is_a_full_disk_too(small: tuple[Pair, ...]) -> None:
    program = f"""
import resource, sys
import kit.cli.main, kit.pairs.pack
kit.pairs.pack.PAIRS_PER_SHARD = 4
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
sys.argv = ["kit", "pack", "--work", {str(WORK.absolute())!r}]
kit.cli.main.main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 5, ended.stderr
    assert "00000.radar.npy" in ended.stderr and "free disk space" in ended.stderr


def test_too_little_room_is_said_before_anything_is_written(
    small: tuple[Pair, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    with pytest.raises(OutputError, match=r"160,\d{3} bytes more.*disk has 100,000") as caught:
        pack(WORK)
    assert caught.value.exit_code == 5
    assert contents() == {}
    open_pairs(WORK, small)


def test_a_pack_has_one_writer(small: tuple[Pair, ...]) -> None:
    with lock(PACK), pytest.raises(BusyError, match=str(os.getpid())):
        pack(WORK)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(small: tuple[Pair, ...]) -> None:
    kit.pairs.pack.PAIRS_PER_SHARD = 1
    pack(WORK)
    whole = contents()
    shutil.rmtree(PACK)
    # Each shard waits a little, so that the kill falls anywhere.
    program = f"""
import time
from dataclasses import replace
from pathlib import Path
import kit.pairs.pack
kit.pairs.pack.PAIRS_PER_SHARD = 1
crc32 = kit.pairs.shard_writer.zlib.crc32
class Slow:
    def crc32(*rest):
        print("here", flush=True)
        time.sleep(0.01)
        return crc32(*rest)
kit.pairs.shard_writer.zlib = Slow
kit.pairs.pack.pack(Path({str(WORK.absolute())!r}))
"""
    draw = random.Random(5)
    parts = 0
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(draw.randint(1, 6)):
                process.stdout.readline()
            time.sleep(draw.uniform(0, 0.02))
            process.kill()
        parts += len(list(PACK.glob(".*.part")))
        done = {name: data for name, data in contents().items() if name[0] == "0"}
        assert done.items() <= whole.items()
        # What has its JSON is whole.
        assert all(f"{name[:5]}.radar.npy" in done for name in done if name.endswith("json"))
    assert parts, "no kill fell within a shard"
    pack(WORK)
    assert contents() == whole


def test_an_empty_table_says_where_to_look(small: tuple[Pair, ...]) -> None:
    write_pairs(WORK / "pairs.parquet", [replace(pair, split="buffer") for pair in small])
    with pytest.raises(InputError, match=r"no pair(.|\n)*summary\.json"):
        pack(WORK)
    assert not train_pairs(read_pairs(WORK / "pairs.parquet"), 1)


def test_a_pack_of_many_files_asks_for_leave_to_open_them(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        PackPairs(PACK, small)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 256 + 2 * 3
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.slow
def test_a_system_that_lets_few_files_be_open_serves_any_pack(small: tuple[Pair, ...]) -> None:
    kit.pairs.pack.PAIRS_PER_SHARD = 1
    pack(WORK)
    program = f"""
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import kit.pairs.pack_pairs
from kit.pairs.table import read_pairs

kit.pairs.pack_pairs._FEWEST_OTHERS = 60
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
work = Path({str(WORK.absolute())!r})
pairs = read_pairs(work / "pairs.parquet")
reader = kit.pairs.pack_pairs.PackPairs(work / "pack", pairs)

def read(pair):
    with reader.pixels(pair) as (radar, optical):
        return radar.sum() + optical.sum()

with ThreadPoolExecutor(4) as threads:
    assert len(set(threads.map(read, pairs * 20))) == len(pairs)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_shard_that_cannot_be_made_anew_stays(small: tuple[Pair, ...]) -> None:
    pack(WORK)
    whole = contents()
    tile = small[0].paths[0]
    tile.write_bytes(b"no tile")
    with pytest.raises(InputError, match=tile.name):
        pack(WORK)
    assert contents() == whole
