"""One image of an archive as the server would read, stretch and score it.

In: the bytes of a TIFF, or its pixels. Out: what the server would reject, and, as harmless, what it
reads although nobody need write it so.

The server reads with rasterio 1.1, whose GDAL 2.4 knows fewer methods of compression and types of
pixels than later ones. It takes the first three bands, and stretches each in its own type: integers
with a sign overflow where their extremes lie further apart than the type reaches.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from kit.archive.finding import REPACK, Finding
from kit.archive.layout import Layout
from kit.errors import InputError
from kit.tiles.tiff import MAX_VALUES, decode_tiff
from kit.tiles.tiff_header import TiffHeader, read_tiff_header

# Those of the GTiff driver in the wheels of rasterio 1.1: none, CCITT, LZW, JPEG, deflate under two
# numbers, PackBits, LERC, WebP.
_READ_BY_SERVER = {1, 2, 3, 4, 5, 7, 8, 32946, 32773, 34887, 50001}
_METHODS = {34925: "LZMA", 50000: "ZSTD", 50002: "JPEG XL", 34887: "LERC with ZSTD"}
_LERC, _WITH_ZSTD = 34887, 2
_COMMON_TYPES = ("uint8", "uint16", "float32", "float64")
_OTHER_TYPES = ("int8", "int16", "uint32", "int32")


def tiff_findings(name: str, data: bytes, layout: Layout) -> list[Finding]:
    """What the server would reject of the TIFF under this name, or what is odd about it."""
    # More than the layout allows, so that a wrong size can be reported.
    limit = 16 * layout.bands * layout.size**2 or MAX_VALUES
    try:
        header = read_tiff_header(name, data)
        found = [*_compression(name, header)]
        pixels = decode_tiff(name, data, limit, layout.bands, more=True)
    except InputError as error:
        return [Finding(name, error.problem, REPACK)]
    return found + image_findings(name, pixels, layout)


def image_findings(name: str, pixels: NDArray[np.generic], layout: Layout) -> list[Finding]:
    """What the server would reject of the pixels [bands, H, W] of one image, or score as black."""
    found = []
    bands, height, width = pixels.shape
    if bands < layout.bands:
        problem = f"has {bands} bands where the server reads {layout.bands}"
        found.append(Finding(name, problem, "write red, green and blue"))
    elif bands > layout.bands:
        problem = f"has {bands} bands, of which the server reads the first {layout.bands}"
        found.append(Finding(name, problem, "write red, green and blue alone", harmless=True))
    if layout.size and (height, width) != (layout.size, layout.size):
        side = f"{layout.size}x{layout.size}"
        problem = f"is {height}x{width} where the server reads {side}"
        found.append(Finding(name, problem, f"predict tiles of {side}, or --layout plain"))
    read = pixels[: layout.bands]
    return [*found, *stretch_findings(name, read), *_constant_findings(name, read)]


def stretch_findings(name: str, pixels: NDArray[np.generic]) -> list[Finding]:
    """What keeps the server from stretching the pixels [bands, H, W]; or what they are, if odd."""
    found = [*_type_findings(name, pixels)]
    if not np.isfinite(_span(pixels)).all():
        problem = "holds values that are not finite, or too far apart to stretch"
        found.append(Finding(name, problem, "predict it again"))
    return found


def _compression(name: str, header: TiffHeader) -> Iterator[Finding]:
    with_zstd = header.compression == _LERC and header.lerc == _WITH_ZSTD
    if header.compression not in _READ_BY_SERVER or with_zstd:
        method = _METHODS.get(header.compression, f"method {header.compression}")
        problem = f"is compressed by {method}, which the server's GDAL 2.4 cannot read"
        yield Finding(name, problem, "write it uncompressed, or by deflate or LZW")


def _type_findings(name: str, pixels: NDArray[np.generic]) -> Iterator[Finding]:
    kind = pixels.dtype.name
    if kind in _COMMON_TYPES:
        return
    remedy = "write uint16; uint8, float32 and float64 are read too"
    if kind == "int8" and pixels.min() < 0:
        problem = "pixels are int8 and negative, which the server's GDAL 2.4 reads as positive"
        yield Finding(name, problem, remedy)
        return
    if kind not in _OTHER_TYPES:
        yield Finding(name, f"pixels are {kind}, which the server's GDAL 2.4 cannot read", remedy)
        return
    spans = [int(channel.max()) - int(channel.min()) for channel in pixels]
    if max(spans) > np.iinfo(kind).max:
        problem = f"pixels are {kind}, and so far apart that the server's stretch overflows"
        yield Finding(name, problem, remedy)
    else:
        yield Finding(name, f"pixels are {kind}, which the server reads", remedy, harmless=True)


def _span(pixels: NDArray[np.generic]) -> NDArray[np.floating]:
    """What the server divides by, [bands]; not finite where a value is not."""
    with np.errstate(all="ignore"):
        span: NDArray[np.floating]
        span = pixels.max(axis=(1, 2)).astype(np.float64) - pixels.min(axis=(1, 2))
        # In which the server stretches it.
        return span.astype(np.float32) if pixels.dtype == np.float32 else span


def _constant_findings(name: str, pixels: NDArray[np.generic]) -> list[Finding]:
    span = _span(pixels)
    constant = np.flatnonzero(span == 0) + 1
    if len(constant) == len(span):
        return [
            Finding(
                name,
                "has one colour only, which the server scores as black",
                "check its radar tiles and the training",
                black=True,
            )
        ]
    if len(constant):
        problem = f"channel {constant[0]} of {len(span)} is constant"
        return [Finding(name, problem, "the server sets it to zero", harmless=True)]
    return []
