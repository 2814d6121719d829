"""How much memory kit translate takes beside its engine, by the size of the scene.

Scenes of speckled hills are written in a temporary folder, and translated in a process of its own
by an untrained U-Net that is 4 wide, whose weights are made here. The memory of a scene of one
window is taken for the engine's own. A scene of 25,000 x 16,000 pixels needs 12 GB of disk and some
minutes. A table goes to the screen, the same rows to bench/translate.json.

    python bench/translate.py [--sizes 2000x16000 8000x16000 25000x16000] [--folder /tmp]
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from rasterio.transform import from_origin
from rasterio.windows import Window
from report import report, row

from kit.machine.cores import cores
from kit.models.registry import build_generator
from kit.runs.folder import BEST
from kit.runs.weights import save_weights
from kit.variants.registry import find_variant

SIZES = ("2000x16000", "8000x16000", "25000x16000")
LIMIT = 2000.0  # MB beside the engine's own
ROWS, ONE = 512, (256, 256)
NAME = "unet1"


def main() -> None:
    """Translate scenes of all sizes, and report the memory of each."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", nargs="+", default=SIZES, metavar="HEIGHTxWIDTH")
    arguments.add_argument("--folder", type=Path, default=None)
    chosen = arguments.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        write_weights(Path(folder))
        own, _ = translated(Path(folder), *ONE)
        rows.append(row("a scene of one window", own, "MB", own / LIMIT, f"{LIMIT:g} MB"))
        for size in chosen.sizes:
            height, width = map(int, size.split("x"))
            most, seconds = translated(Path(folder), height, width)
            more = most - own
            rows.append(row(f"{size}, beside it", more, "MB", more / LIMIT, f"{LIMIT:g} MB"))
            megapixels = height * width / 1e6
            rate = megapixels / seconds
            rows.append(row(f"{size}, rate", rate, "Mpixel/s", seconds / 60, "minutes"))
    report(f"kit translate on {cores()} cores", rows, Path(__file__), decimals=1)


def write_weights(folder: Path) -> None:
    """A run of a small network that nothing has trained."""
    torch.manual_seed(0)
    variant = find_variant(NAME, ["width=4"])
    path = folder / "runs" / NAME / BEST
    path.parent.mkdir(parents=True)
    save_weights(path, build_generator(variant).eval(), variant, {"mean_color": [0.2, 0.3, 0.1]})


def translated(folder: Path, height: int, width: int) -> tuple[float, float]:
    """The most memory, in MB, and the seconds of a translation in a process of its own."""
    scene = write_scene(folder / "scene.tif", height, width)
    words = ["-m", "kit", "translate", str(scene), str(folder / "out.tif"), "--variant", NAME]
    words += ["--runs", str(folder / "runs"), "--work", str(folder), "--quiet"]
    words += ["--backend", "eager", "--precision", "float32", "--overwrite"]
    started = time.monotonic()
    process = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *words])
    _, status, used = os.wait4(process, 0)
    if status:
        sys.exit(f"kit translate ended with {os.waitstatus_to_exitcode(status)}")
    return used.ru_maxrss / 1e3 * 1.024, time.monotonic() - started


def write_scene(path: Path, height: int, width: int) -> Path:
    """VV and VH of speckled hills, some rows at a time."""
    rng = np.random.default_rng(0)
    profile = {"driver": "GTiff", "count": 2, "dtype": "float32", "bigtiff": "if_safer",
               "crs": "EPSG:32621", "transform": from_origin(5e5, 9.5e6, 10, 10)}  # fmt: skip
    x = np.arange(width) / 400
    with rasterio.open(path, "w", height=height, width=width, **profile) as file:
        file.descriptions = ("VV", "VH")
        for top in range(0, height, ROWS):
            rows = min(ROWS, height - top)
            y = (top + np.arange(rows))[:, None] / 400
            hills = 4 * np.sin(2 * y + x) + 3 * np.cos(x - y)
            noise = rng.standard_normal((2, rows, width), np.float32)
            pixels = (np.stack([hills - 12, hills - 19]) + noise).astype(np.float32)
            file.write(pixels, window=Window(0, top, width, rows))
    return path


if __name__ == "__main__":
    main()
