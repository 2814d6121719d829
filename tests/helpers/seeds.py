"""Small tiles of every plain kind, for the fuzzer to begin with.

Use: python tests/helpers/seeds.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np

from kit.storage.files import write_bytes
from kit.tiles.tiff import encode_tiff

if __name__ == "__main__":
    random = np.random.default_rng(0)
    for height, width in ((1, 1), (3, 7), (16, 16), (33, 20)):
        for dtype in ("uint16", "float32"):
            pixels = random.integers(0, 9000, (1, height, width)).astype(dtype)
            path = Path(sys.argv[1]) / f"{dtype}-{height}x{width}.tiff"
            write_bytes(path, encode_tiff(pixels))
