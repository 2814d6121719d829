"""Where files are written before they get their names, and what a kill leaves there.

Each write has a new folder of its own beside the final name, `.<host>-<boot>-<process>-<n>.part`,
into which libraries may put temporary files of theirs too. Its name says who writes it, on whatever
machine, so that one sweep tells what is left over from what is being written.
"""

import hashlib
import os
import re
import shutil
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path

_NAME = re.compile(r"\.([0-9a-f]{6})-([0-9a-f]{6})-(\d+)-\d+\.part")
_COUNT = count()


def new_part(folder: Path) -> Path:
    """Make the folder of one write into `folder`; removes what dead processes of this host left."""
    if folder not in _swept():
        _swept().add(folder)
        sweep(folder, locked=False)
    part = folder / f".{_digest(_host())}-{_digest(_boot())}-{os.getpid()}-{next(_COUNT)}.part"
    part.mkdir()
    return part


def is_part(path: Path) -> bool:
    """Whether `path` is the folder of a write, or was that of one by an older kit."""
    return path.name.startswith(".") and path.name.endswith(".part")


def sweep(folder: Path, locked: bool = True) -> None:
    """Remove what is half written in `folder` and will not be finished.

    Args:
        folder: need not be there.
        locked: the caller has locked it, so that only living processes of this host, which write
            what belongs to no lock, such as a sheet, are to be spared. Otherwise nothing of
            another host is touched: it cannot be asked.
    """
    try:
        found = [Path(entry) for entry in os.scandir(folder) if is_part(Path(entry))]
    except OSError:
        return
    for path in found:
        if _is_left(path.name, locked):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()


def sweep_beside(path: Path) -> None:
    """Remove what a kill may have left of a write that had given `path` its name already.

    For commands that find what they would write, and so write nothing that would sweep.
    """
    sweep(Path(os.path.realpath(path)).parent, locked=False)


def _is_left(name: str, locked: bool) -> bool:
    written_by = _NAME.fullmatch(name)
    if not written_by:  # by a kit before 0.3, which did not say where
        return locked
    host, boot, process = written_by.groups()
    if host != _digest(_host()):
        return locked
    return boot != _digest(_boot()) or not _is_alive(int(process))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # another user's
    return True


@cache
def _swept() -> set[Path]:
    return set()


@cache
def _host() -> str:
    """This host. Containers on one machine do not see each other's processes: each is one."""
    try:
        return f"{os.uname().nodename} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return os.uname().nodename


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
