"""Silence for libraries: torch's exporters and NNCF warn of internals, NNCF prints to stdout."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def silenced(level: int = logging.WARNING) -> Iterator[None]:
    """Suppress warnings, lines on stdout, and log messages up to `level`."""
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
