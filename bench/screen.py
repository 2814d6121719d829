"""How fast screening is: beside what a user would write, and beside what the machine can do.

Tiles of random forest and clouds are made in a temporary folder and read from the page cache. Every
row is the best of several rounds, and rows that are compared take turns within a round, because
machines are shared and noisy. A table goes to the screen, the same rows to bench/screen.json.

    python bench/screen.py [--scenes 5000] [--names 1000000] [--folder /tmp]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from report import report, row

from kit.cli import console
from kit.errors import InputError
from kit.machine.cores import cores, processor
from kit.screening import counts
from kit.screening.counts import count
from kit.screening.rule import CloudRule
from kit.screening.screen import screen
from kit.tiles.names import S2_BANDS, SceneKey, TileName
from kit.tiles.tiff import write_tile

SIDE = 256
SCENE_BYTES = 4 * SIDE * SIDE * 2
RULE = CloudRule()
ROUNDS = 5


def main() -> None:
    """Run all benchmarks and report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--scenes", type=int, default=5000)
    arguments.add_argument("--names", type=int, default=1_000_000)
    arguments.add_argument("--folder", type=Path, default=None)
    chosen = arguments.parse_args()
    rows = counting() + counting_on_device()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        rows += screening(Path(folder), chosen.scenes)
        rows += cataloguing(Path(folder), chosen.names)
    report(f"Screening on {cores()} cores of {processor()}", rows, Path(__file__), decimals=0)


def counting() -> list[dict[str, Any]]:
    """Counts of scenes in memory: numpy, the core, and what the memory itself allows."""
    scenes, few = 256, 32  # 128 MiB, more than a cache holds; numpy needs no more than a few
    pixels = forest(np.random.default_rng(0), scenes)
    rgb, qa60 = pixels[:, :3], pixels[:, 3]
    target = np.empty_like(pixels)
    a, b, c = (torch.rand(scenes * SCENE_BYTES // 4) for _ in range(3))
    rates = best({
        "numpy": (
            few, lambda: [by_hand(*scene) for scene in zip(rgb[:few], qa60[:few], strict=True)],
        ),
        "the reference": (
            few, lambda: count(rgb[:few], qa60[:few], RULE, backend="reference"),
        ),
        "compiled, 1 thread": (scenes, lambda: count(rgb, qa60, RULE, threads=1, backend="native")),
        "compiled": (scenes, lambda: count(rgb, qa60, RULE, backend="native")),
        "copy": (scenes, lambda: copy(pixels, target)),
        "triad": (scenes, lambda: torch.add(b, c, alpha=3.0, out=a)),
    })  # fmt: skip
    copied, added = 2 * SCENE_BYTES * rates.pop("copy"), 3 * SCENE_BYTES * rates.pop("triad")
    rows = [
        row(f"count: {name}", rate, "scenes/s", rate / rates["numpy"],
            "numpy")
        for name, rate in rates.items()
    ]  # fmt: skip
    read = SCENE_BYTES * rates["compiled"]
    return [
        *rows,
        row("memory: copy, both ways", copied / 1e6, "MB/s", 1.0, "itself"),
        row("memory: triad, all ways", added / 1e6, "MB/s", added / copied, "copy"),
        row("memory: compiled count", read / 1e6, "MB/s", read / copied, "copy"),
        row("memory: compiled count", read / 1e6, "MB/s", read / added, "triad"),
    ]


def counting_on_device() -> list[dict[str, Any]]:
    """Counts of scenes in a card's memory, beside a copy within it."""
    try:
        counts.cuda_backend()
        device = torch.device("cuda") if torch.cuda.is_available() else None
    except InputError as error:
        device, reason = None, error.problem
    else:
        reason = "torch sees no CUDA device"
    if device is None:
        console.write(f"no rows for a CUDA device: {reason}")
        return []
    scenes = 4096
    pixels = torch.from_numpy(forest(np.random.default_rng(0), 64)).to(device)
    pixels = pixels.repeat(scenes // 64, 1, 1, 1)
    target = torch.empty_like(pixels)

    def finish(call: Callable[[], object]) -> None:
        call()
        torch.cuda.synchronize()

    rates = best({
        "count": (scenes, lambda: finish(
            lambda: counts.count_on_device(pixels[:, :3], pixels[:, 3], RULE))),
        "copy": (scenes, lambda: finish(lambda: target.copy_(pixels))),
    }, rounds=20)  # fmt: skip
    found = counts.count_on_device(pixels[:64, :3], pixels[:64, 3], RULE).cpu().numpy()
    host = pixels[:64].cpu().numpy()
    assert (found == count(host[:, :3], host[:, 3], RULE, backend="reference")).all()
    share = rates["count"] / (2 * rates["copy"])
    return [row("count: CUDA device", rates["count"], "scenes/s", share, "device copy")]


def screening(folder: Path, scenes: int) -> list[dict[str, Any]]:
    """Whole screenings of a folder from the page cache, and the cost of a scene as it grows."""
    tiles = folder / "tiles"
    files = make_tiles(tiles, scenes)
    few = files[:: max(1, scenes // 60)]
    work: dict[str, tuple[int, Callable[[], object]]] = {
        "rasterio, numpy": (len(few), lambda: [open_and_count(f) for f in few]),
        f"the same, tuned, {cores()} processes": (scenes, lambda: pool(files)),
        "kit screen": (scenes, lambda: run(tiles, folder / "work")),
        "again, nothing new": (scenes, lambda: screen(tiles, folder / "work", rule=RULE)),
        "the command, with its table": (scenes, lambda: command(tiles, folder / "work")),
    }
    rates = best(work, rounds=3)
    first, second = list(rates.values())[:2]
    rows = []
    for name, rate in rates.items():
        words = f"{4 * scenes:,} tiles: {name}"
        rows.append(row(words, rate, "scenes/s", rate / first, "rasterio"))
    ours = rates["kit screen"]
    rows.append(row(f"{4 * scenes:,} tiles: kit screen", ours, "scenes/s", ours / second, "tuned"))
    return rows + [line for number in (1250, scenes, 10 * scenes)
                   for line in growing(folder, files, number)]  # fmt: skip


def growing(folder: Path, files: Sequence[Sequence[str]], scenes: int) -> list[dict[str, Any]]:
    """The cost of a scene in a folder of so many: hard links, whose tiles are in the page cache."""
    grown = folder / f"grown{scenes}"
    link_tiles(files, grown, scenes)
    few = some_links(grown, 8)
    rates = best({
        "kit screen": (scenes, lambda: run(grown, folder / "other")),
        "rasterio, numpy": (len(few), lambda: [open_and_count(files) for files in few]),
    }, rounds=2)  # fmt: skip
    shutil.rmtree(grown)
    user = rates["rasterio, numpy"]
    return [
        row(f"{4 * scenes:,} files: {name}", 1e6 / rate, "us/scene", rate / user, "rasterio")
        for name, rate in rates.items()
    ]


def cataloguing(folder: Path, names: int) -> list[dict[str, Any]]:
    """Listing a folder of so many empty files, in a process of its own for its memory."""
    empty = folder / "empty"
    empty.mkdir()
    for number in range(names // len(S2_BANDS)):
        for band in S2_BANDS:
            os.mknod(empty / str(TileName("Sentinel2", band, _key(number))))
    code = f"""
import time
from pathlib import Path
from kit.tiles.catalog import catalog
def peak():
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return int(line.split()[1])
before, start = peak(), time.perf_counter()
found = catalog(Path({str(empty)!r}))
seconds = time.perf_counter() - start
assert len(found.scenes) == {names // len(S2_BANDS)}
print(seconds, (peak() - before) / 1024)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, mebibytes = map(float, told.stdout.split())
    return [
        row(f"catalogue {names:,} names", names / seconds, "names/s", 1.0, "itself"),
        row(f"memory for {names:,} names", mebibytes, "MiB", 1.0, "itself"),
    ]


def by_hand(rgb: NDArray[np.uint16], qa60: NDArray[np.uint16]) -> tuple[int, ...]:
    """The rule as one writes it down, in float32."""
    scaled = np.minimum(rgb, RULE.scale).astype(np.float32)
    largest, smallest = scaled.max(axis=0), scaled.min(axis=0)
    valid = (rgb > 0).any(axis=0)
    value = largest / RULE.scale
    saturation = (largest - smallest) / np.maximum(largest, 1)
    cloud = valid & (value - saturation > RULE.threshold)
    opaque, cirrus = (qa60 & counts.OPAQUE) > 0, (qa60 & counts.CIRRUS) > 0
    return tuple(int(mask.sum()) for mask in (valid, ~valid, opaque, cirrus, cloud))


def open_and_count(files: Sequence[str]) -> tuple[int, ...]:
    """What a user writes: rasterio with its defaults, numpy."""
    bands = []
    for file in files:
        with rasterio.open(file) as tile:
            bands.append(tile.read(1))
    return by_hand(np.stack(bands[:3]), bands[3])


def open_without_listing(files: Sequence[str]) -> tuple[int, ...]:
    """The same with the option that spares GDAL the listing of the folder."""
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"):
        return open_and_count(files)


def pool(files: Sequence[Sequence[str]]) -> None:
    """A process a core, as a user would tune it."""
    with ProcessPoolExecutor(cores()) as executor:
        list(executor.map(open_without_listing, files, chunksize=64))


def run(tiles: Path, work: Path) -> None:
    """`kit screen` from nothing: listing, reading, counting, tables."""
    shutil.rmtree(work, ignore_errors=True)
    found = screen(tiles, work, rule=RULE)
    assert found.measured and not found.rejected


def command(tiles: Path, work: Path) -> None:
    """What a user types, from nothing: Python's start, and other rules tried on 500 scenes."""
    shutil.rmtree(work, ignore_errors=True)
    line = [sys.executable, "-m", "kit", "screen", str(tiles), "--work", str(work)]
    subprocess.run(line, check=True, capture_output=True)


def copy(source: NDArray[np.uint16], target: NDArray[np.uint16]) -> None:
    """Copy with a thread a core."""
    with ThreadPoolExecutor(cores()) as executor:
        pieces = (np.array_split(array, cores()) for array in (target, source))
        list(executor.map(np.copyto, *pieces))


def forest(random: np.random.Generator, scenes: int) -> NDArray[np.uint16]:
    """Scenes [N, 4, H, W] of forest with a bright corner in half of them."""
    pixels = random.integers(100, 900, (scenes, 4, SIDE, SIDE), np.uint16)
    pixels[::2, :3, :64, :64] += 5000
    pixels[:, 3] = 0
    return pixels


def make_tiles(folder: Path, scenes: int) -> list[tuple[str, ...]]:
    """Write Sentinel-2 scenes as official tiles; returns the paths of each scene's bands."""
    folder.mkdir()
    pixels = forest(np.random.default_rng(1), 16)
    files = []
    for number in range(scenes):
        key = _key(number)
        files.append(tuple(
            str(write_plain(folder, TileName("Sentinel2", band, key), pixels[number % 16, index]))
            for index, band in enumerate(S2_BANDS)
        ))  # fmt: skip
    return files


def write_plain(folder: Path, name: TileName, pixels: NDArray[np.uint16]) -> Path:
    """A tile without the sync to disk that `write_tile` waits for."""
    path = folder / str(name)
    if not _TEMPLATE:
        _TEMPLATE.append(write_tile(folder, name, pixels).read_bytes()[: -pixels.nbytes])
    path.write_bytes(_TEMPLATE[0] + pixels.tobytes())
    return path


def link_tiles(files: Sequence[Sequence[str]], folder: Path, scenes: int) -> None:
    """The same tiles under other names, as hard links."""
    folder.mkdir()
    for number in range(scenes):
        for file, band in zip(files[number % len(files)], S2_BANDS, strict=True):
            os.link(file, folder / str(TileName("Sentinel2", band, _key(number))))


def some_links(folder: Path, scenes: int) -> list[tuple[str, ...]]:
    """The paths of the first few scenes in a folder."""
    return [
        tuple(str(folder / str(TileName("Sentinel2", band, _key(number)))) for band in S2_BANDS)
        for number in range(scenes)
    ]


def best(
    work: dict[str, tuple[int, Callable[[], object]]], rounds: int = ROUNDS
) -> dict[str, float]:
    """The highest rate of each piece of work, which is so many items; all take turns."""
    seconds = dict.fromkeys(work, float("inf"))
    for _ in range(rounds):
        for name, (_, call) in work.items():
            start = time.perf_counter()
            call()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return {name: n / seconds[name] for name, (n, _) in work.items()}


def _key(number: int) -> SceneKey:
    place, day = number % 2000, number // 2000
    lon, lat = -55.20 + 0.02 * (place % 37), -4.39 + 0.02 * (place // 37)
    return SceneKey.parse(f"{lon:.2f}_{lat:.2f}_2020_{1 + day // 28:02d}_{1 + day % 28:02d}")


_TEMPLATE: list[bytes] = []

if __name__ == "__main__":
    main()
