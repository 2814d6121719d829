"""Files that appear complete or not at all, and the folders that every command shares.

Each artefact is written beside its final name, synced and renamed, so that a name in a folder is
always a complete file, whatever killed the process that wrote it.
"""

import errno
import fcntl
import hashlib
import json
import math
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from tokenize import TokenError
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from kit.errors import BusyError, InputError, OutputError

AnyPath = str | os.PathLike[str]
"""What functions of the Python interface take for a path."""

WORK = Path("work")
RUNS = Path("runs")
PREDICTIONS = Path("predictions")
ENGINES = Path("engines")
SUBMISSIONS = Path("submissions")

# The errors of the system where a file cannot be written.
_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM,
    errno.ENOTDIR, errno.EISDIR,
}  # fmt: skip

# numpy reads the header of an array as Python source, and passes on what Python's parser raises.
# Until 3.11.8 and 3.12.2 that raises SystemError now and then when two threads parse at a time, as
# they share a counter (https://github.com/python/cpython/issues/106905).
_PARSER = Lock()

# Seconds that a lock is waited for: where `holder` may be looking, for an instant; and where a node
# has died, whose lock NFS keeps for its lease, 90 s as a rule.
_GLANCE = 0.15
_LEASE = 120


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, synced and renamed to it when the block succeeds.

    Raises:
        OutputError: the disk is full or may not be written to; what `path` was before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The umask cannot be asked for without changing it under other threads that write.
        with temporary.open("wb") as made:
            mode = stat.S_IMODE(os.fstat(made.fileno()).st_mode)
        yield temporary
        # safetensors writes for its owner alone; what is shared follows the umask like any file.
        temporary.chmod(mode)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        # Libraries that write for us do not always say which file it was.
        unnamed = error.filename is None and error.errno in _DISK
        ours = str(error.filename) in {str(temporary), str(path.parent)}
        if isinstance(error, OutputError) or not (unnamed or ours):
            raise
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on disk, as they are now."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        # Some network and shared folders keep names at once, and know no such request.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, completely or not at all."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def append(path: Path, data: bytes) -> int:
    """Add `data` to the end of `path`; returns its new length.

    Raises:
        OutputError: the disk is full or may not be written to.
    """
    try:
        with path.open("ab") as file:
            file.write(data)
            return file.tell()
    except OSError as error:
        raise _unwritable(path, error) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinities are refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON; `remedy` tells the user what to do.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy=remedy) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(path, f"not readable as JSON ({error})", remedy=remedy) from None


def read_array(path: Path, remedy: str) -> NDArray[Any]:
    """The array in an .npy file, mapped and not to be written to. Any number of threads may ask.

    Raises:
        InputError: the file is missing, cut short or holds no array.
    """
    try:
        with _PARSER:
            array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy=remedy) from None
    except (OSError, ValueError, SyntaxError, TokenError) as error:
        problem = f"not readable as an array ({' '.join(str(error).split())})"
        raise InputError(path, problem, remedy=remedy) from None
    return array.view(np.ndarray)  # the subclass for maps costs time whenever it is indexed


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sha256(value: Any) -> str:
    """SHA-256 of a JSON value, in hexadecimal, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def lock(folder: Path, restarted: bool = False) -> Iterator[None]:
    """Hold `folder` for this process; the operating system frees it when the process ends, however.

    Args:
        folder: made if it is not there.
        restarted: this process may follow one on a node that died, whose lock a file server keeps
            for a while; another host's is then waited for.

    Raises:
        BusyError: another living process holds it; says which, and on which host.
        OutputError: the folder cannot be written to, or its file system has no locks.
    """
    host = os.uname().nodename  # hosts may share a file system
    begun = time.monotonic()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / ".lock").open("a+")
    except OSError as error:
        raise _unwritable(folder, error) from error
    with opened as file:
        while not _lock(folder, file):
            file.seek(0)
            owner = file.read().strip() or "?"
            elsewhere = " on " in owner and not owner.endswith(f" on {host}")
            if time.monotonic() - begun > (_LEASE if restarted and elsewhere else _GLANCE):
                raise BusyError(f"{folder}: in use by process {owner}")
            time.sleep(0.05)
        with suppress(OSError):  # on a full disk it is held all the same
            file.truncate(0)
            os.write(file.fileno(), f"{os.getpid()} on {host}".encode())
        yield


def _lock(folder: Path, file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        remedy = "mount its file system with locks (flock), or give another folder"
        raise OutputError(f"{folder}: cannot be locked ({error.strerror})\n  {remedy}") from error
    return True


def holder(folder: Path) -> str | None:
    """The process that holds `folder` with `lock` and its host, or None; "?" if it does not say."""
    try:
        with (folder / ".lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "?"
    except OSError:
        pass
    return None


def sweep_temporaries(folder: Path) -> None:
    """Remove what killed processes left incomplete in a folder that the caller has locked."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> OutputError:
    remedy = "free disk space or give another folder, and run the same command again"
    return OutputError(f"{path}: cannot be written ({error.strerror or error})\n  {remedy}")


def finite(value: Any) -> Any:
    """`value` with every number that JSON cannot hold replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
