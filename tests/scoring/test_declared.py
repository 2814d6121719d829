"""What truths declare of their pixels holds for the kit's measures; the server's stay its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from typer.testing import CliRunner

from kit.cli.main import app
from kit.errors import InputError
from kit.scoring.score import Report, score
from kit.tiles.tiff import encode_tiff
from tests.helpers.archives import A, digital_numbers, image, write_archive, write_truth

NAME = f"CH3/Sentinel2_{A}.tiff"
BGR = (ColorInterp.blue, ColorInterp.green, ColorInterp.red)


def truth(path: Path, pixels: NDArray[Any], colors: Any = None, **options: Any) -> None:
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", **shape, **options) as made:
        made.write(pixels)
        if colors:
            made.colorinterp = colors


def scored(folder: Path, sent: NDArray[Any], **settings: Any) -> Report:
    """The archive of one image against the truth `t.tiff` that lies in the folder."""
    archive, mapping = folder / "archive.zip", folder / "mappings.json"
    write_archive(archive, [(NAME, encode_tiff(sent))])
    mapping.write_text(json.dumps({"sar": {"t.tiff": [NAME]}}))
    return score(archive, mapping, **settings)


def mae_of(dn: NDArray[Any], sent: NDArray[Any]) -> float:
    return float(np.abs(np.clip(dn, 0, 3000) / 3000 - sent / 65535).mean())


def test_a_truth_in_blue_green_red_is_compared_by_its_colours(tmp_path: Path) -> None:
    dn, sent = digital_numbers(0, 16), image(1, 16)
    truth(tmp_path / "t.tiff", dn)
    plain = scored(tmp_path, sent).rows[-1]
    truth(tmp_path / "t.tiff", dn, BGR, photometric="MINISBLACK")
    row = scored(tmp_path, sent).rows[-1]
    assert plain.scores.mae == pytest.approx(mae_of(dn, sent), rel=1e-6)
    assert row.scores.mae == pytest.approx(mae_of(dn[::-1], sent), rel=1e-6)
    assert (row.official_2022, row.official_2023) == (plain.official_2022, plain.official_2023)


def test_a_nodata_value_of_a_truth_is_not_scored_but_by_the_server(tmp_path: Path) -> None:
    dn, sent = digital_numbers(0, 16), image(1, 16)
    dn[:, :, 12:] = 65535
    truth(tmp_path / "t.tiff", dn)
    plain = scored(tmp_path, sent).rows[-1]
    truth(tmp_path / "t.tiff", dn, nodata=65535)
    row = scored(tmp_path, sent).rows[-1]
    assert row.scores.mae == pytest.approx(mae_of(dn[:, :, :12], sent[:, :, :12]), rel=1e-6)
    assert (row.official_2022, row.official_2023) == (plain.official_2022, plain.official_2023)


def test_a_nodata_value_of_a_truth_in_three_tiles(tmp_path: Path) -> None:
    """As the mapping of 2023 names them; one band alone declares it."""
    dn, sent = digital_numbers(0, 16), image(1, 16)
    dn[:, :, 12:] = 65535
    name = f"Sentinel2_{A}.tiff"
    write_archive(tmp_path / "archive.zip", [(f"translation/{name}", encode_tiff(sent))])
    mapping = tmp_path / "files.json"
    mapping.write_text(json.dumps({f"['{name}']": [name]}))
    rows = []
    for nodata in (None, 65535):
        for number, band in zip("432", dn, strict=True):
            path = tmp_path / f"Sentinel2_B{number}_{A}.tiff"
            truth(path, band[None], nodata=nodata if number == "3" else None)
        rows.append(score(tmp_path / "archive.zip", mapping).rows[-1])
    plain, row = rows
    assert row.scores.mae == pytest.approx(mae_of(dn[:, :, :12], sent[:, :, :12]), rel=1e-6)
    assert (row.official_2022, row.official_2023) == (plain.official_2022, plain.official_2023)


def test_a_truth_with_an_offset_is_refused(tmp_path: Path) -> None:
    truth(tmp_path / "t.tiff", digital_numbers(0, 16))
    with rasterio.open(tmp_path / "t.tiff", "r+") as made:
        made.offsets = (-1000.0, -1000.0, -1000.0)
    with pytest.raises(InputError, match=r"t\.tiff: declares the scale 1 and the offset -1000"):
        scored(tmp_path, image(1, 16))


@pytest.mark.parametrize(
    ("dn", "sent", "doubt"),
    [
        (digital_numbers(0, 16) + 1000, image(1, 16), "truths: 1 of 1 .* have no DN below 1000"),
        (digital_numbers(0, 16) / np.float32(10000), image(1, 16), "truths: .* of reflectance"),
        (digital_numbers(0, 16), digital_numbers(1, 16), "images: no value is above 899 of 65535"),
    ],
)
def test_values_of_another_unit_are_doubted(tmp_path: Path, dn, sent, doubt: str) -> None:
    truth(tmp_path / "t.tiff", dn.astype("uint16" if dn.dtype.kind == "u" else "float32"))
    (line,) = scored(tmp_path, sent).doubts
    with pytest.raises(InputError, match=doubt):
        scored(tmp_path, sent, units="strict")
    assert scored(tmp_path, sent, units="any").doubts == ()
    files = [str(tmp_path / "archive.zip"), str(tmp_path / "mappings.json")]
    told = CliRunner().invoke(app, ["score", *files])
    assert f"warning: {line}"[:60] in " ".join((told.stdout + told.stderr).split())
    report = json.loads(CliRunner().invoke(app, ["score", *files, "--json"]).stdout)
    assert report["doubts"] == [str(line)]


def test_good_values_are_not_doubted(tmp_path: Path) -> None:
    write_truth(tmp_path / "truth", A, digital_numbers(0, 16))
    write_archive(tmp_path / "archive.zip", [(NAME, encode_tiff(image(1, 16)))])
    assert score(tmp_path / "archive.zip", tmp_path / "truth", units="strict").doubts == ()
