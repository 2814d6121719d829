"""How the tests run, whichever of them; `tests/helpers/fixtures.py` has what they use."""

import gc
import os
import signal

import pytest
from hypothesis import settings

# Machines that run tests are shared, and one that stops for a moment has found no fault.
settings.register_profile("kit", deadline=None)
settings.load_profile("kit")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start

# A shell lets what it starts in the background ignore Ctrl-C, for which some tests would then wait.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, and torch with them, but not where tests are only handed out to others."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.helpers.fixtures")


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over torch and the tests themselves: a million objects."""
    gc.collect()
    gc.freeze()
