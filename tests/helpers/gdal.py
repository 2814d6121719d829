"""GDAL's settings in the environment of a test, and none of them after it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rasterio._env import del_gdal_config


@contextmanager
def gdal_environment(name: str, value: str) -> Iterator[None]:
    """Set a variable; rasterio would keep it as a setting of GDAL when it is gone."""
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        del_gdal_config(name)
