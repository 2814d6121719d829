"""Small folders in the layouts of other data sets, made of smooth images."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

Pixels = NDArray[Any]


def scene(seed: int, size: int = 32) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """dB [2, size, size], and DN [3, size, size] that follow from it."""
    random = np.random.default_rng(seed)
    coarse = random.random((4, 4))
    ground = np.kron(coarse, np.ones((size // 4, size // 4)))
    speckle = random.normal(0, 1, (2, size, size))
    db = np.stack([-14 + 8 * ground, -21 + 8 * ground]) + speckle
    dn = np.stack([300 + 900 * ground, 350 + 700 * ground, 250 + 500 * ground])
    noisy = dn + random.normal(0, 20, (3, size, size))
    return db.astype(np.float32), noisy.clip(1).astype(np.uint16)


def grey(values: Pixels, low: float, high: float) -> NDArray[np.uint8]:
    """Values as a picture of 8 bits, as people write them."""
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def write_image(
    path: Path,
    pixels: Pixels,
    *,
    corner: tuple[float, float] | None = None,
    crs: str = "EPSG:32633",
    names: Sequence[str] = (),
    alpha: bool = False,
) -> Path:
    """Write [bands, H, W] as PNG, JPEG or TIFF, by the suffix; at a corner in metres if given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    placed: dict[str, Any] = {}
    if corner:
        placed = {"crs": crs, "transform": from_origin(*corner, 10, 10)}
    driver = {".png": "PNG", ".jpg": "JPEG"}.get(path.suffix, "GTiff")
    with rasterio.open(
        path, "w", driver=driver, count=count, height=height, width=width,
        dtype=pixels.dtype.name, **placed,
    ) as file:  # fmt: skip
        file.write(pixels)
        if names:
            file.descriptions = tuple(names)
        if alpha and driver == "GTiff":
            file.colorinterp = [*file.colorinterp[:-1], ColorInterp.alpha]
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)
    return path


def write_pictures(folder: Path, places: int, test: int = 0, size: int = 32) -> Path:
    """`trainA` (radar, one grey band) and `trainB` (colours) as PNG, and `testA` and `testB`."""
    for number in range(places + test):
        part = "train" if number < places else "test"
        db, dn = scene(number, size)
        write_image(folder / f"{part}A" / f"{number}.png", grey(db[:1], -25, 0))
        write_image(folder / f"{part}B" / f"{number}.png", grey(dn, 0, 3000))
    return folder


def write_sen12ms(
    folder: Path, patches: int, *, scenes: Sequence[int] = (1, 2, 3), cloudy: bool = False
) -> Path:
    """SEN12MS, or SEN12MS-CR with its cloudy twins: some patches of each scene, overlapping."""
    for number in scenes:
        for patch in range(patches):
            db, dn = scene(100 * number + patch)
            all13 = np.concatenate([dn[::-1][[0]], dn[::-1], np.repeat(dn[:1], 9, axis=0)])
            corner = (400000 + 20000 * number + 160 * patch, 5400000.0)
            roi = "ROIs1158_spring"
            for sensor, pixels in (("s1", db), ("s2", all13), ("s2_cloudy", all13)):
                if sensor == "s2_cloudy" and not cloudy:
                    continue
                above = f"{roi}_{sensor}" if cloudy else roi
                name = f"{roi}_{sensor}_{number}_p{patch}.tif"
                path = folder / above / f"{sensor}_{number}" / name
                write_image(path, pixels, corner=corner)
    return folder


def write_bigearthnet(folder: Path, patches: int, version: int) -> Path:
    """BigEarthNet, as version 1 or 2: one patch of each to validate and to test in version 2."""
    rows = []
    for number in range(patches):
        db, dn = scene(number, 40)
        radar = f"S1A_IW_GRDH_1SDV_20170613T165043_33UUP_{number}_48"
        tile = "N9999_R022_T33UUP_" if version == 2 else ""
        optical = f"S2A_MSIL2A_20170614T101031_{tile}{number}_48"
        corner = (400000.0 + 400 * number, 5300000.0)
        for name, band, values in zip(
            (radar, radar, optical, optical, optical),
            ("VV", "VH", "B04", "B03", "B02"),
            (*db, *dn),
            strict=True,
        ):
            above = folder / f"BigEarthNet-{name[:2]}"
            write_image(above / name / f"{name}_{band}.tif", values[None], corner=corner)
        if version == 1:
            about = folder / "BigEarthNet-S1" / radar / f"{radar}_labels_metadata.json"
            about.write_text(json.dumps({"corresponding_s2_patch": optical}))
        split = "validation" if number == 0 else "test" if number == 1 else "train"
        rows.append({"patch_id": optical, "s1_name": radar, "split": split})
    if version == 2:
        pq.write_table(pa.Table.from_pylist(rows), folder / "metadata.parquet")
    return folder


def write_sites(folder: Path) -> Path:
    """What the docs' own source describes: linear power and reflectance of four sites."""
    names = []
    for number in range(12):
        db, dn = scene(number, 64)
        site, date = f"site{number % 4}", f"2021-05-{number + 1:02d}"
        write_image(folder / site / f"{date}_sar_{number}.tif", 10 ** (db / 10))
        name = f"{date}_opt_{number}"
        write_image(folder / site / f"{name}.tif", (dn[::-1] / 1e4).astype(np.float32))
        names.append(name)
    (folder / "held_out.txt").write_text("\n".join(names[:2]))
    return folder
