"""One entry of a zip, decompressed to no more than it says that it holds.

In: an open zip and an entry. Out: its bytes, whose sum is right. Python's own reader keeps to the
size that an entry states for deflate alone; what bzip2 and LZMA make of a few kilobytes has no
bound there, so they are decompressed here.
"""

import bz2
import lzma
import os
import struct
import zipfile
import zlib

# Python's reader, which is the server's, knows these beside stored and deflate.
OTHER_METHODS = {zipfile.ZIP_BZIP2: "bzip2", zipfile.ZIP_LZMA: "LZMA"}

_LOCAL_SIZE, _LENGTHS_AT = 30, 26
# APPNOTE.TXT 5.8.8: two bytes of version, two of the length of the properties, and these.
_LZMA_HEAD = struct.Struct("<2xHBI")
_LARGEST_DICTIONARY = 64 << 20


def unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The bytes of an entry, no more than it states.

    Raises:
        what Python's reader raises of damaged bytes.
    """
    if entry.compress_type not in OTHER_METHODS:
        return archive.read(entry)
    packed = _packed(archive, entry)
    if entry.compress_type == zipfile.ZIP_BZIP2:
        data = bz2.BZ2Decompressor().decompress(packed, entry.file_size + 1)
    else:
        data = _unpack_lzma(packed, entry.file_size + 1)
    if zlib.crc32(data) != entry.CRC:
        raise zipfile.BadZipFile("Bad CRC-32")
    return data


def _packed(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """What stands behind the header of an entry; any number of threads may ask."""
    if archive.fp is None:
        raise ValueError("the archive is closed")
    file = archive.fp.fileno()
    lengths = os.pread(file, 4, entry.header_offset + _LENGTHS_AT)
    start = entry.header_offset + _LOCAL_SIZE + sum(struct.unpack("<2H", lengths))
    return os.pread(file, entry.compress_size, start)


def _unpack_lzma(packed: bytes, most: int) -> bytes:
    length, settings, dictionary = _LZMA_HEAD.unpack_from(packed)
    if length != 5 or settings >= 9 * 5 * 5 or dictionary > _LARGEST_DICTIONARY:
        raise ValueError("its LZMA header is damaged, or asks for more memory than any image")
    rest, lc = divmod(settings, 9)
    pb, lp = divmod(rest, 5)
    settings_of = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings_of])
    return decompressor.decompress(packed[_LZMA_HEAD.size :], most)
