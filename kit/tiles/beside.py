"""What GDAL would open beside a raster, before it does: a mask (`.msk`), or overviews (`.ovr`).

It opens them whatever they hold. What is no TIFF there is refused, for it may be a VRT, which may
name any file or server.
"""

import os
from pathlib import Path

from kit.errors import InputError
from kit.tiles.sidecars import sidecars_of

_RASTERS = (".msk", ".MSK", ".ovr", ".OVR")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def check_beside(path: Path) -> None:
    """Refuse a mask and overviews beside a raster that are no TIFFs.

    Raises:
        InputError: one of them is something else.
    """
    for beside in (Path(f"{path}{suffix}") for suffix in _RASTERS):
        if beside.exists() and _beginning(beside) not in _TIFF:
            remedy = f"move it away from {path.name}, or write it as a TIFF"
            raise InputError(beside, "is no TIFF", remedy=remedy)


def has_sidecars(path: Path) -> bool:
    """Whether a tile has sidecars; raises as `check_beside`."""
    if not sidecars_of(str(path)):
        return False
    check_beside(path)
    return True


def _beginning(path: Path) -> bytes:
    """The first four bytes; none of what cannot be read, or would have to be waited for."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return os.read(file, 4)
        finally:
            os.close(file)
    except OSError:
        return b""
