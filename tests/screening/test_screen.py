"""A folder of tiles is measured once; then only what changed is read again."""

import csv
import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio

from kit.errors import BusyError, InputError, OutputError
from kit.screening import screen as module
from kit.screening.counts import count
from kit.screening.rule import CloudRule
from kit.screening.screen import Screening, screen
from kit.screening.table import read_screened
from kit.storage.lock import lock
from kit.tiles.bands import read_bands
from kit.tiles.catalog import catalog
from kit.tiles.names import TileName
from kit.tiles.tiff import write_tile
from tests.helpers.memory import TURNS, least_peak
from tests.helpers.tiles import SHARED, key, optical, radar, world


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 5)


def run(folder: Path, rule: CloudRule | None = None, **settings) -> Screening:
    return screen(folder / "data", folder / "work", rule=rule or CloudRule(), **settings)


def table(folder: Path) -> list[dict]:
    return pq.read_table(folder / "work" / "scenes.parquet").to_pylist()


def part_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "work/screen").glob("*.parquet")}


def touch_later(path: Path) -> None:
    later = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))


def test_ratios_are_shares_of_all_pixels(tmp_path: Path) -> None:
    data = tmp_path / "data"
    optical(data, key(0))
    optical(data, key(1), cloud=8)
    optical(data, key(2), qa60=4)
    optical(data, key(3), nodata=16)
    radar(data, key(0))
    result = run(tmp_path)
    found = {
        (row.scene.sensor, row.scene.key): (row.nodata, row.qa60, row.cloud)
        for row in read_screened(tmp_path / "work" / "scenes.parquet")
    }
    assert found == {
        ("Sentinel1", key(0)): (0, 0, 0),
        ("Sentinel2", key(0)): (0, 0, 0),
        ("Sentinel2", key(1)): (0, 0, 8 / 32),
        ("Sentinel2", key(2)): (0, 4 / 32, 0),
        ("Sentinel2", key(3)): (16 / 32, 0, 0),
    }
    assert (result.scenes_s1, result.scenes_s2) == (1, 4)
    assert (result.dataset1, result.dataset2, result.measured) == (2, 1, 5)
    assert not result.rejected
    assert {(row["height"], row["width"]) for row in table(tmp_path)} == {(32, 32)}


def test_scenes_come_back_as_the_catalog_has_them(tmp_path: Path) -> None:
    world(tmp_path / "data", places=3, dates=1)
    run(tmp_path)
    scenes = [row.scene for row in read_screened(tmp_path / "work" / "scenes.parquet")]
    assert scenes == list(catalog(tmp_path / "data").scenes)


def test_a_damaged_tile_costs_its_scene_and_is_named(tmp_path: Path) -> None:
    optical(tmp_path / "data", key(0))
    optical(tmp_path / "data", key(1))
    path = tmp_path / "data" / "sent2" / f"Sentinel2_B3_{key(0)}.tiff"
    path.write_bytes(path.read_bytes()[:600])
    result = run(tmp_path)
    assert [row["lon"] for row in table(tmp_path)] == [key(1).lon]
    assert [(item.name, item.kind) for item in result.rejected] == [
        (f"Sentinel2 {key(0)}", "unreadable")
    ]
    assert path.name in result.rejected[0].reason
    listed = list(csv.DictReader((tmp_path / "work" / "rejected.csv").open()))
    assert [row["name"] for row in listed] == [f"Sentinel2 {key(0)}"]
    parts = pq.read_table(tmp_path / "work" / "screen")
    assert sum(problem is not None for problem in parts["problem"].to_pylist()) == 1


@pytest.mark.parametrize("kind", ["folder", "fifo", "dangling link", "empty", "vanished"])
def test_what_only_has_a_tiles_name_is_named_with_its_reason(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    optical(tmp_path / "data", key(0))
    optical(tmp_path / "data", key(1))
    path = tmp_path / "data" / "sent2" / f"Sentinel2_B2_{key(1)}.tiff"
    if kind == "vanished":
        of = module.Part.of

        def vanish(*arguments):
            part = of(*arguments)
            path.unlink()
            return part

        monkeypatch.setattr(module.Part, "of", vanish)
    else:
        path.unlink()
        {
            "folder": path.mkdir,
            "fifo": lambda: os.mkfifo(path),
            "dangling link": lambda: path.symlink_to("nowhere"),
            "empty": path.touch,
        }[kind]()
    result = run(tmp_path)
    assert [item.name for item in result.rejected] == [f"Sentinel2 {key(1)}"]
    assert path.name in result.rejected[0].reason
    assert result.scenes_s2 == 1


def test_progress_ends_at_the_number_of_scenes(tmp_path: Path, small_parts: None) -> None:
    world(tmp_path / "data", places=4, dates=2)
    told: list[tuple[int, int]] = []
    run(tmp_path, advance=lambda done, total, words="": told.append((done, total)))
    assert told[-1] == (16, 16)
    assert [done for done, total in told if total] == sorted(done for done, total in told if total)


@pytest.mark.slow
def test_nothing_is_read_twice(tmp_path: Path, small_parts: None) -> None:
    world(tmp_path / "data", places=6, dates=2)
    first = run(tmp_path)
    assert (first.measured, first.parts) == (24, 6)
    before, rows = part_bytes(tmp_path), table(tmp_path)
    again = run(tmp_path)
    assert again.measured == 0
    assert (again.dataset1, again.dataset2) == (first.dataset1, first.dataset2)
    assert part_bytes(tmp_path) == before
    assert table(tmp_path) == rows


@pytest.mark.slow
def test_one_changed_tile_costs_one_scene(tmp_path: Path, small_parts: None) -> None:
    world(tmp_path / "data", places=6, dates=2)
    run(tmp_path)
    optical(tmp_path / "data", key(2, 2), cloud=8)
    path = tmp_path / "data" / "sent2" / f"Sentinel2_B4_{key(2, 2)}.tiff"
    touch_later(path)
    result = run(tmp_path)
    assert (result.measured, result.dataset2) == (1, 11)


@pytest.mark.slow
def test_a_new_scene_costs_itself_alone_though_all_parts_shift(
    tmp_path: Path, small_parts: None
) -> None:
    world(tmp_path / "data", places=6, dates=2)
    run(tmp_path)
    radar(tmp_path / "data", key(0, -30))
    assert run(tmp_path).measured == 1
    assert len(table(tmp_path)) == 25
    assert run(tmp_path).measured == 0


def test_a_lost_scene_leaves_the_table_and_its_part(tmp_path: Path, small_parts: None) -> None:
    world(tmp_path / "data", places=6, dates=2)
    run(tmp_path)
    for path in (tmp_path / "data" / "sent2").glob(f"*{key(0, 2)}*"):
        path.unlink()
    result = run(tmp_path)
    assert (result.measured, result.scenes_s2) == (0, 11)
    assert len(pq.read_table(tmp_path / "work" / "screen")) == 23


def test_a_repaired_scene_is_tried_again(tmp_path: Path) -> None:
    optical(tmp_path / "data", key(0))
    optical(tmp_path / "data", key(1))
    path = tmp_path / "data" / "sent2" / f"Sentinel2_B4_{key(0)}.tiff"
    whole, times = path.read_bytes(), path.stat()
    path.write_bytes(bytes(len(whole)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert len(run(tmp_path).rejected) == 1
    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    result = run(tmp_path)
    assert (result.measured, len(result.rejected)) == (1, 0)


@pytest.mark.slow
def test_a_new_rule_reads_only_the_scenes_that_it_can_change(tmp_path: Path) -> None:
    data = tmp_path / "data"
    world(data, places=6, dates=1)
    optical(data, key(0, 3), cloud=8)
    run(tmp_path)
    # Clear scenes have no pixel above 0.43, so they have none above 0.6; radar has no clouds.
    raised = run(tmp_path, CloudRule(threshold=0.6))
    assert raised.measured == 1
    lowered = run(tmp_path, CloudRule(threshold=-1.0))
    assert lowered.measured == 7
    assert run(tmp_path, CloudRule(scale=6000, threshold=-1.0)).measured == 7
    assert run(tmp_path, CloudRule(scale=6000, threshold=-1.0, dilate=1)).measured == 7


@pytest.mark.parametrize(
    "rule", [CloudRule(threshold=0.2), CloudRule(min_area=40, dilate=2), CloudRule(scale=3000)]
)
def test_what_is_reused_equals_what_is_measured(tmp_path: Path, rule: CloudRule) -> None:
    data = tmp_path / "data"
    for place in range(6):
        optical(data, key(place), cloud=place)
    run(tmp_path)
    run(tmp_path, rule)
    for row in table(tmp_path):
        scene = read_bands("Sentinel2", [Path(path) for path in row["paths"]])
        cloud = count(scene[None, :3], scene[None, 3], rule, backend="reference")[0, -1]
        assert row["cloud_ratio"] == cloud / 32**2


def test_a_damaged_part_is_measured_again(tmp_path: Path, small_parts: None) -> None:
    world(tmp_path / "data", places=6, dates=1)
    run(tmp_path)
    rows, before = table(tmp_path), part_bytes(tmp_path)
    name = min(before)
    (tmp_path / "work" / "screen" / name).write_bytes(before[name][:-30])
    assert run(tmp_path).measured == 5
    assert table(tmp_path) == rows
    assert part_bytes(tmp_path) == before


def test_a_part_damaged_below_a_whole_footer_is_measured_again(tmp_path: Path) -> None:
    world(tmp_path / "data", places=3, dates=1)
    run(tmp_path)
    rows, before = table(tmp_path), part_bytes(tmp_path)
    for path in (tmp_path / "work" / "screen").glob("*.parquet"):
        content = bytearray(path.read_bytes())
        content[4:200] = bytes(b ^ 0x5A for b in content[4:200])
        path.write_bytes(content)
    assert run(tmp_path).measured == 6
    assert table(tmp_path) == rows
    assert part_bytes(tmp_path) == before


@pytest.mark.parametrize("column", ["problem", "paths", "cloud"])
def test_a_part_that_lacks_a_column_is_measured_again(tmp_path: Path, column: str) -> None:
    world(tmp_path / "data", places=2, dates=1)
    run(tmp_path)
    rows = table(tmp_path)
    for path in (tmp_path / "work" / "screen").glob("*.parquet"):
        pq.write_table(pq.read_table(path).drop_columns(column), path)  # without a seal too
    assert run(tmp_path).measured == 4
    assert table(tmp_path) == rows


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    world(tmp_path / "data", places=1, dates=1)
    run(tmp_path)
    for folder in (tmp_path / "work", tmp_path / "work" / "screen"):
        (folder / ".scenes.parquet.4242.part").touch()
    run(tmp_path)
    assert not list((tmp_path / "work").rglob("*.part"))


@pytest.mark.parametrize("which", ["data", "work"])
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path, which: str) -> None:
    odd = tmp_path / os.fsdecode(b"od\xffd")
    paths = {"data": world(tmp_path / "data", 1, 1), "work": tmp_path / "work"} | {which: odd}
    with pytest.raises(InputError, match="is not UTF-8"):
        screen(paths["data"], paths["work"], rule=CloudRule())


def test_a_folder_without_a_readable_scene_is_refused_and_listed(tmp_path: Path) -> None:
    optical(tmp_path / "data", key(0))
    for path in (tmp_path / "data" / "sent2").iterdir():
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"no scene could be read .*unreadable: 1"):
        run(tmp_path)
    assert "is empty" in (tmp_path / "work" / "failed.csv").read_text()


def test_a_work_folder_that_cannot_be_is_exit_5(tmp_path: Path) -> None:
    world(tmp_path / "data", places=1, dates=1)
    (tmp_path / "work").touch()
    with pytest.raises(OutputError, match="work: cannot be written"):
        run(tmp_path)


def test_parts_do_not_depend_on_their_size(tmp_path: Path, monkeypatch) -> None:
    world(tmp_path / "data", places=6, dates=2)
    run(tmp_path)
    rows = table(tmp_path)
    monkeypatch.setattr(module, "PART", 7)
    assert run(tmp_path).measured == 0
    assert table(tmp_path) == rows


def test_a_full_disk_names_the_part_and_keeps_the_finished_ones(
    tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    world(tmp_path / "data", places=6, dates=2)
    real, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 6:  # two for each file and one for each folder
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    expected = r"screen/00000\d-\w+\.parquet: .*No space left"
    with pytest.raises(OutputError, match=expected) as caught:
        run(tmp_path)
    assert caught.value.exit_code == 5
    assert len(part_bytes(tmp_path)) == 2
    assert not [path for path in (tmp_path / "work").rglob("*.part")]
    monkeypatch.setattr(os, "fsync", real)
    # Which parts were done first depends on the threads, and they are not of one size.
    parts = (tmp_path / "work" / "screen").glob("*.parquet")
    done = sum(pq.read_metadata(part).num_rows for part in parts)
    assert run(tmp_path).measured == 24 - done


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, small_parts: None) -> None:
    world(tmp_path / "data", places=6, dates=2)
    code = f"""
import os
from pathlib import Path
from kit.screening import parts, screen
from kit.screening.rule import CloudRule
screen.PART = 5
write, written = parts.PartFiles.write, []
def dying(*arguments):
    if len(written) == 3:
        os.kill(os.getpid(), 9)
    write(*arguments)
    written.append(1)
parts.PartFiles.write = dying
screen.screen(Path({str(tmp_path / "data")!r}), Path({str(tmp_path / "work")!r}), rule=CloudRule())
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len(part_bytes(tmp_path)) == 3
    # Three parts of five or, of a sensor's last scenes, two.
    assert run(tmp_path).measured <= 24 - 5 - 5 - 2
    assert len(table(tmp_path)) == 24


def test_one_screening_a_folder(tmp_path: Path) -> None:
    world(tmp_path / "data", places=1, dates=1)
    with (
        lock(tmp_path / "work"),
        pytest.raises(BusyError, match=str(os.getpid())),
    ):
        run(tmp_path)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_scenes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 16)
    monkeypatch.setattr("kit.tiles.reader._OFFICIAL", (8, 8))

    def made(scenes: int, turn: int) -> Path:
        folder = tmp_path / f"{scenes} {turn}"
        optical(folder / "data", key(0), size=8)
        first = list((folder / "data" / "sent2").iterdir())
        for number in range(1, scenes):
            for path in first:
                name = TileName.parse(path.name)
                os.link(
                    path,
                    path.with_name(
                        str(TileName(name.sensor, name.band, key(number % 300, number // 300)))
                    ),
                )
        return folder

    def peak(scenes: int) -> int:
        folders = [made(scenes, turn) for turn in range(TURNS)]
        return least_peak(lambda turn: run(folders[turn]))

    run(made(32, 0))  # what is loaded and cached once
    few, many = peak(128), peak(1024)
    assert many - few < 500_000, (few, many)


def test_a_missing_or_damaged_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scenes.parquet"
    with pytest.raises(InputError, match="kit screen"):
        list(read_screened(path))
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(InputError, match="damaged"):
        list(read_screened(path))


@pytest.mark.skipif(not SHARED.exists(), reason="needs the official sample in ../shared/data")
def test_the_official_sample(tmp_path: Path) -> None:
    result = screen(SHARED / "multiearth-sample", tmp_path / "work", rule=CloudRule())
    assert (result.scenes_s1, result.scenes_s2) == (4, 13)
    assert (result.dataset1, result.dataset2) == (13, 5)
    rows = pq.read_table(tmp_path / "work" / "scenes.parquet").to_pylist()
    peaks = [row["peak"] for row in rows if row["sensor"] == "Sentinel2"]
    assert sum(peak > 430 for peak in peaks) == 8
    assert max(peak for peak in peaks if peak <= 430) == 395


def test_a_tile_of_the_same_size_and_time_is_read_again(tmp_path: Path) -> None:
    data, work = world(tmp_path / "data", places=2, dates=1), tmp_path / "work"
    assert screen(data, work).dataset2 == 2
    path = data / "sent2" / f"Sentinel2_B4_{key(0, 2)}.tiff"
    times = path.stat()
    bright = np.full((32, 32), 6000, np.uint16)
    bright[0, 0] = 6001
    path.unlink()
    write_tile(path.parent, TileName.parse(path.name), bright)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert screen(data, work).measured == 1
    moved = data.rename(tmp_path / "moved")
    assert screen(moved, work).measured == 4
    assert screen(moved.rename(data), work).measured == 4  # by path: a folder may be another one


def test_a_mask_that_comes_later_is_noticed(tmp_path: Path) -> None:
    data, work = world(tmp_path / "data", places=2, dates=1), tmp_path / "work"
    assert screen(data, work).dataset1 == 2
    path = data / "sent2" / f"Sentinel2_B4_{key(0, 2)}.tiff"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as tile:
        tile.write_mask(np.tile(np.arange(32) < 16, (32, 1)))
    assert path.with_name(f"{path.name}.msk").exists()
    result = screen(data, work)
    assert (result.measured, result.dataset1) == (1, 1)
    path.with_name(f"{path.name}.msk").unlink()
    result = screen(data, work)
    assert (result.measured, result.dataset1) == (1, 2)
