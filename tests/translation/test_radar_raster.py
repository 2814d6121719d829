"""Scenes that would have GDAL ask a server, or open what no raster is."""

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from kit.errors import InputError
from kit.sources.image import read_header
from kit.tiles.tiff import read_raster
from kit.translation.radar_raster import open_radar
from tests.helpers.gdal import gdal_environment

SIZE = 32
BAND = """<VRTRasterBand dataType="{kind}" band="{number}"><SimpleSource>
<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>
<SourceBand>{number}</SourceBand></SimpleSource></VRTRasterBand>"""
WMS = """<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:{port}/${{x}}</ServerUrl></Service>
<DataWindow><SizeX>32</SizeX><SizeY>32</SizeY></DataWindow><DataType>Float32</DataType>
<BandsCount>2</BandsCount></GDAL_WMS>"""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that nobody may ask; the current folder has a scene, `scene.tif`."""
    monkeypatch.chdir(tmp_path)
    write("scene.tif")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with gdal_environment("GDAL_HTTP_TIMEOUT", "1"):
            yield listener.getsockname()[1]
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def write(name: str, bands: int = 2, **tags: str) -> None:
    with rasterio.open(
        name, "w", driver="GTiff", width=SIZE, height=SIZE, count=bands, dtype="float32",
        crs="EPSG:32633", transform=from_origin(500_000, 9_500_000, 10, 10),
    ) as file:  # fmt: skip
        file.write(np.full((bands, SIZE, SIZE), -10, np.float32))
        file.update_tags(ns="OVERVIEWS", **tags)


def vrt(source: str, *, more: str = "", relative: int = 0, kind: str = "Float32") -> str:
    form = BAND.format(kind=kind, number="{0}", relative=relative, source=source)
    size = f'rasterXSize="{SIZE}" rasterYSize="{SIZE}"'
    return f"<VRTDataset {size}>{more}{form.format(1)}{form.format(2)}</VRTDataset>"


def opened(scene: str) -> tuple[Path, ...]:
    with open_radar(Path(scene), None, ["VV", "VH"]) as radar:
        assert (radar.read(0, SIZE) == -10).all()
        return radar.files


HOSTILE = {
    "a file system of GDAL's": lambda url: vrt(f"/vsicurl/{url}"),
    "an address": lambda url: vrt(url),
    "a driver": lambda url: vrt(f"WMTS:{url}"),
    "a text": lambda url: vrt("&lt;GDAL_WMS&gt;&lt;/GDAL_WMS&gt;"),
    "an attribute": lambda url: vrt("scene.tif").replace(
        "<SimpleSource>", f'<SimpleSource sourceFilename="/vsicurl/{url}">', 1
    ),
    "a mask": lambda url: vrt(
        "scene.tif", more=f"<MaskBand>{BAND.format(kind='Byte', number=1, relative=0, source=url)}"
        "</MaskBand>",
    ),
    "a place": lambda url: vrt("scene.tif", more=f"<SRS>{url}</SRS>"),
    "a place to warp from": lambda url: vrt(
        "scene.tif", more=f"<SourceSRS>/vsicurl?url={quote(url, safe='')}</SourceSRS>"
    ),
    "a place in a bucket": lambda url: vrt("scene.tif", more="<TargetSRS>/vsis3/a</TargetSRS>"),
    "another encoding": lambda url: '<?xml version="1.0" encoding="cp037"?>' + vrt("scene.tif"),
    "an entity": lambda url: f'<!DOCTYPE a [<!ENTITY b "/vsicurl/{url}">]>' + vrt("&b;"),
    "code": lambda url: vrt("scene.tif", more="<PixelFunctionCode>1</PixelFunctionCode>"),
    "a file elsewhere": lambda url: vrt("/etc/passwd"),
    "nothing": lambda url: vrt("nowhere.tif"),
    "a service in place of a TIFF": lambda url: vrt("service.tif"),
    "another VRT": lambda url: vrt("inner.vrt"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_vrt_that_leads_elsewhere_is_refused(server: int, case: str) -> None:
    url = f"http://127.0.0.1:{server}/{case.replace(' ', '-')}.tif"
    Path("service.tif").write_text(WMS.format(port=server))
    Path("inner.vrt").write_text(vrt(f"/vsicurl/{url}"))
    Path("hostile.vrt").write_text(HOSTILE[case](url))
    with pytest.raises(InputError):
        opened("hostile.vrt")


@pytest.mark.parametrize(
    "before", ["", '<?xml version="1.0"?>\n', '\ufeff<?xml version="1.0" encoding="UTF-8"?>']
)
def test_a_vrt_may_declare_that_it_is_xml(server: int, before: str) -> None:
    Path("declared.vrt").write_text(before + vrt("scene.tif"), encoding="utf-8")
    opened("declared.vrt")


@pytest.mark.parametrize("suffix", [".msk", ".ovr"])
@pytest.mark.parametrize("of", ["scene.tif", "plain.vrt"])
def test_masks_and_overviews_that_lead_elsewhere_are_refused(
    server: int, of: str, suffix: str
) -> None:
    Path("plain.vrt").write_text(vrt("scene.tif"))
    address = f"/vsicurl/http://127.0.0.1:{server}/{of}{suffix}"
    mask = '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
    Path(f"scene.tif{suffix}").write_text(vrt(address, more=mask, kind="Byte"))
    with pytest.raises(InputError, match=f"scene.tif{suffix}: is no TIFF"):
        opened(of)


@pytest.mark.parametrize("read", [read_raster, read_header])
def test_masks_of_tiles_and_images_that_lead_elsewhere_are_refused(server: int, read) -> None:
    write("tile.tif", bands=1)
    Path("tile.tif.msk").write_text(vrt(f"/vsicurl/http://127.0.0.1:{server}/tile", kind="Byte"))
    with pytest.raises(InputError, match=r"tile\.tif\.msk: is no TIFF"):
        read(Path("tile.tif"))


def test_overviews_that_the_metadata_name_are_refused(server: int) -> None:
    write("other.tif", OVERVIEW_FILE=f"/vsicurl/http://127.0.0.1:{server}/overview.tif")
    Path("mosaic.vrt").write_text(vrt("other.tif"))
    for name in ("other.tif", "mosaic.vrt"):
        with pytest.raises(InputError, match=r"other\.tif: has overviews in another file"):
            opened(name)


def test_what_gdal_writes_is_read(server: int) -> None:
    """Also where the VRT is a link, and lies in another folder than its file."""
    with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open("scene.tif", "r+") as file:
        file.build_overviews([2])
    assert Path("scene.tif.ovr").exists()
    copy("scene.tif", "plain.vrt", driver="VRT")
    with rasterio.open("scene.tif") as file, WarpedVRT(file, crs="EPSG:32633") as warped:
        copy(warped, "warped.vrt", driver="VRT")
    Path("elsewhere").mkdir()
    Path("elsewhere/link.vrt").symlink_to("../plain.vrt")
    Path("elsewhere/nested.vrt").write_text(vrt("../plain.vrt", relative=1))
    for name in ("plain.vrt", "warped.vrt", "elsewhere/link.vrt", "elsewhere/nested.vrt"):
        files = opened(name)
        assert files[0] == Path(name) and files[-1].samefile("scene.tif")


def test_a_vrt_that_refers_to_itself_ends(server: int) -> None:
    Path("itself.vrt").write_text(vrt("itself.vrt"))
    with pytest.raises(InputError):
        opened("itself.vrt")
