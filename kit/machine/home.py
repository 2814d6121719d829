"""The user's home folder, where there may be none: a user id without a name, and no HOME."""

import os
import tempfile
from pathlib import Path


def home() -> Path:
    """The home folder; without one that of temporary files, which is HOME from now on."""
    try:
        return Path.home()
    except RuntimeError:
        os.environ["HOME"] = tempfile.gettempdir()
        return Path.home()
