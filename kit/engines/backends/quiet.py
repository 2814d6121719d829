"""Silence: torch's exporters and NNCF warn of their own insides, and NNCF draws bars on stdout."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet(most: int = logging.WARNING) -> Iterator[None]:
    """Neither warnings, nor lines on stdout, nor log messages up to the level `most`."""
    level = logging.root.manager.disable
    logging.disable(most)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
