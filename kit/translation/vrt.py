"""What a VRT refers to, found out before GDAL opens it.

In: a VRT. Out: the files that it names. Refused by name: what is no file here, for GDAL would ask
whatever server an address names; and all that a mosaic or a warped raster does not need, since
anything else may hold another kind of address, or code.

Names of elements and attributes are those of GDAL's `gdalvrt.xsd`, and of the warped rasters that
GDAL writes. It takes an attribute for an element of that name, and heeds no case.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from kit.errors import InputError

_MAX_BYTES = 32 << 20  # a mosaic of 10,000 files has 10 MB
_BEGINNING = re.compile(
    rb"""(\xef\xbb\xbf)?\s*(<\?xml\s+version=["']1\.[01]["'](\s+encoding=["']utf-8["'])?"""
    rb"""(\s+standalone=["']\w+["'])?\s*\?>)?\s*<VRTDataset""",
    re.IGNORECASE,
)
_REFERENCES = {"sourcefilename", "sourcedataset"}
_ADDRESSES = {True: ("://",), False: ("://", "/vsi")}  # a folder may be called like GDAL's own
_TEXTS = {"mdi", "description"}  # which nobody opens
_WORDS = """
    vrtdataset srs geotransform gcplist gcp metadata vrtrasterband nodatavalue hidenodatavalue
    colorinterp unittype offset scale categorynames category histograms histitem histmin histmax
    bucketcount includeoutofrange approximate histcounts maskband overviewlist overview
    simplesource complexsource averagedsource kernelfilteredsource kernel size coefs sourceband
    sourceproperties srcrect dstrect nodata usemaskband scaleoffset scaleratio lut exponent srcmin
    srcmax dstmin dstmax pixelfunctiontype pixelfunctionarguments sourcetransfertype
    blockxsize blockysize gdalwarpoptions warpmemorylimit resamplealg workingdatatype options option
    transformer approxtransformer maxerror basetransformer genimgprojtransformer srcgeotransform
    srcinvgeotransform dstgeotransform dstinvgeotransform reprojecttransformer
    reprojectiontransformer sourcesrs targetsrs bandlist bandmapping srcnodatareal srcnodataimag
    dstnodatareal dstnodataimag srcalphaband dstalphaband cutline cutlineblenddist
"""
_ELEMENTS = _REFERENCES | _TEXTS | {*_WORDS.split()}
_WORDS_OF_ATTRIBUTES = """
    rasterxsize rasterysize subclass dataaxistosrsaxismapping coordinateepoch datatype band
    blockxsize blockysize key domain format relativetovrt shared xoff yoff xsize ysize resampling
    normalized name src dst projection id info pixel line x y z gcpz
"""
_ATTRIBUTES = {*_WORDS_OF_ATTRIBUTES.split()}


def read_sources(vrt: Path) -> list[Path]:
    """The files that a VRT names, in its order, each once; whether they are there is not asked.

    Args:
        vrt: a regular file.

    Raises:
        InputError: it is damaged, or refers to something else.
    """
    base = Path(os.path.realpath(vrt) if vrt.is_symlink() else vrt).parent
    return [*dict.fromkeys(_named(vrt, base, each) for each in _references(vrt))]


def _references(vrt: Path) -> Iterator[ElementTree.Element]:
    if vrt.stat().st_size > _MAX_BYTES:
        raise _refused(vrt, f"is larger than {_MAX_BYTES >> 20} MiB, for a VRT")
    data = vrt.read_bytes()
    # GDAL knows no entities and no encoding but UTF-8, and would read another text than this.
    if not _BEGINNING.match(data) or b"<!DOCTYPE" in data:
        raise _refused(vrt, "does not begin with <VRTDataset, in UTF-8")
    try:
        root = ElementTree.fromstring(data[data.index(b"<VRTDataset") :])
    except ElementTree.ParseError as error:
        raise InputError(vrt, f"not readable as XML ({error})", remedy="fetch it again") from None
    for element in root.iter():
        tag = element.tag.rpartition("}")[2].lower()
        if tag not in _ELEMENTS:
            raise _refused(vrt, f"holds an element {element.tag}")
        if tag != "pixelfunctionarguments":
            _check_attributes(vrt, tag, element)
        text = (element.text or "").strip()
        if tag not in _TEXTS and any(each in text for each in _ADDRESSES[tag in _REFERENCES]):
            raise _refused(vrt, f"refers to {text}, which is no file here")
        if tag in _REFERENCES:
            yield element


def _check_attributes(vrt: Path, tag: str, element: ElementTree.Element) -> None:
    for name in element.attrib:
        if name.lower() not in _ATTRIBUTES:
            raise _refused(vrt, f"holds an attribute {name} of {tag}")


def _named(vrt: Path, base: Path, element: ElementTree.Element) -> Path:
    """The file that an element names."""
    name = element.text or ""
    settings = {key.lower(): value for key, value in element.attrib.items()}
    relative = settings.get("relativetovrt", "0")
    # What begins like that is no path for GDAL, but the name of a driver, or a text to read.
    odd = set(':<{"\\') & set(name.split("/")[0]) or name != name.strip()
    if not name or odd or len(element) or relative not in ("0", "1"):
        raise _refused(vrt, f"refers to {name!r}, which is no file here")
    path = base / name if relative == "1" else Path(name)
    if str(path).startswith("/vsi"):
        raise _refused(vrt, f"refers to {name}, which is no file here")
    return path


def _refused(vrt: Path, problem: str) -> InputError:
    return InputError(vrt, problem, remedy="make a GeoTIFF of it first: gdal_translate IN OUT.tif")
