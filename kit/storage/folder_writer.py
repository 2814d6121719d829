"""Many files of one folder, each of which appears whole or not at all, at little cost.

Each is written beside its name, synced and renamed, as `kit.storage.files.atomic` does it, but all
in one folder that goes at the end, when the names are synced too: a disk takes milliseconds for
each of these, however small the file.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from kit.storage.files import make_folder, naming, sync, sync_folder
from kit.storage.half_written import new_part


class FolderWriter:
    """Writes many files into a folder, each of which appears once it is on disk; from any thread.

    Their names are on disk once it is closed, in one go for all of them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._part: Path | None = None
        self._making = Lock()

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Have `write` write the file called `name`, at the path that it is given.

        Raises:
            OutputError: the disk is full or may not be written to; what was there before stays.
        """
        path = self._folder / name
        with naming(path):
            part = self._made() / name
            try:
                write(part)
                sync(part)
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def close(self) -> None:
        """Have the names on disk; after a failure too, it leaves no file that is half written.

        Raises:
            OutputError: the disk fails.
        """
        if self._part:
            with naming(self._folder):
                shutil.rmtree(self._part, ignore_errors=True)
                sync_folder(self._folder)

    def _made(self) -> Path:
        with self._making:
            if not self._part:
                make_folder(self._folder)
                self._part = new_part(self._folder)
            return self._part
