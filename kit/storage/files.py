"""Files and folders that appear complete or not at all, and the folders that all commands share.

Each artefact is written beside its final name, synced and renamed, so that a name in a folder is
always a complete file, whatever killed the process that wrote it, and nothing old goes before the
new is there.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kit.errors import BusyError, InputError, OutputError
from kit.storage.half_written import is_part, new_part, sweep_beside

AnyPath = str | os.PathLike[str]
"""What functions of the Python interface take for a path."""

WORK = Path("work")
RUNS = Path("runs")
PREDICTIONS = Path("predictions")
ENGINES = Path("engines")
SUBMISSIONS = Path("submissions")
FITTED = Path("ensembles")
PAIRS = "pairs.parquet"  # in the work folder

# The errors of the system where a file cannot be written.
_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM,
    errno.ENOTDIR, errno.EISDIR, errno.EIO,
}  # fmt: skip


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield where to write `path` until the block succeeds; then it is synced and gets its name.

    Raises:
        OutputError: the disk is full or may not be written to; what `path` was before stays.
    """
    with together(path.parent) as new:
        yield new(path.name)


@contextmanager
def together(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Files of `folder` that appear together: all of them if the block succeeds, or none.

    Yields a function that takes a name, perhaps in a folder of `folder`, and returns where to write
    it. The names are given in the order in which they were asked for. If one of them cannot be, the
    files before it are again what they were, where the file system has hard links.

    Raises:
        OutputError: the disk is full or may not be written to; what was there before stays.
    """
    names: list[str] = []
    part = folder

    def new(name: str) -> Path:
        if name not in names:
            names.append(name)
        make_folder((part / name).parent)
        return part / name

    try:
        with naming(folder):
            make_folder(folder)
            part = new_part(folder)
        try:
            yield new
        except OSError as error:
            raise _blamed(error, part, folder / ", ".join(names)) from error
        with naming(folder / ", ".join(names)):
            _finish(part, folder, names)
    finally:
        if part != folder:
            shutil.rmtree(part, ignore_errors=True)


def _finish(part: Path, folder: Path, names: Sequence[str]) -> None:
    """Sync the files in `part`, and give them their names in `folder`."""
    # safetensors writes for its owner alone; what is shared follows the umask like any file. That
    # cannot be asked for without changing it under other threads that write.
    mode = stat.S_IMODE(part.stat().st_mode) & 0o666
    for name in names:
        (part / name).chmod(mode)
        with (part / name).open("rb+") as written:
            os.fsync(written.fileno())
        make_folder((folder / name).parent)
    before, done, fresh = part / ".before", list[str](), set[str]()
    try:
        for name in names:
            (before / name).parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(folder / name, before / name)
            except FileNotFoundError:
                fresh.add(name)
            except OSError:  # a file system without hard links
                pass
            (part / name).replace(folder / name)
            done.append(name)
        for parent in {(folder / name).parent for name in names}:
            sync_folder(parent)
    except OSError:
        for name in reversed(done):
            with suppress(OSError):
                _put_back(before / name, folder / name, name in fresh)
        raise


def _put_back(before: Path, path: Path, is_fresh: bool) -> None:
    """Have `path` be what it was: nothing, or the file that `before` still names."""
    if is_fresh:
        path.unlink()
    elif before.exists():
        before.replace(path)


@contextmanager
def output(path: Path) -> Iterator[Path]:
    """`atomic` for a path that the user has given.

    A link is followed; what is no regular file, such as a device or a pipe, is written into.

    Raises:
        OutputError: it cannot be written, or is a folder.
    """
    if path.is_dir():
        raise unwritable(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    # What a shell has opened for /dev/stdout is not to be replaced, whatever it is.
    opened = os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/"))
    if not opened and (path.is_file() or not path.exists()):
        with atomic(Path(os.path.realpath(path))) as part:
            yield part
        return
    with TemporaryDirectory() as folder:
        yield Path(folder) / "output"
        with naming(path), path.open("wb") as file:
            file.write((Path(folder) / "output").read_bytes())


def refuse_existing(path: Path, remedy: str, overwrite: bool = False) -> None:
    """Refuse to write to `path` if it is there, unless it is to be replaced.

    Raises:
        BusyError: it is there; ends with `remedy`.
    """
    sweep_beside(path)
    if path.exists() and not overwrite:
        raise BusyError(f"{path}: exists\n  {remedy}")


def name_of(folder: Path) -> str:
    """The name of a folder, also where its path is "." or ends with ".."."""
    return os.path.basename(os.path.abspath(folder))


def make_folder(folder: Path) -> None:
    """Make `folder` and those that it lies in, each on disk in the one above it.

    Raises:
        OutputError: it cannot be made, or is a file.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with naming(folder):
        with suppress(FileExistsError):
            folder.mkdir()
            sync_folder(folder.parent)
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` on disk, as they are now.

    Raises:
        OutputError: the disk fails.
    """
    with naming(folder):
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


def append_line(path: Path, line: bytes) -> int:
    """Add a line, its end included, to the end of `path`; returns the file's new length.

    Where the last line was cut short, it ends before the new one begins.

    Raises:
        OutputError: the disk is full or may not be written to.
    """
    with naming(path), path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else b"\n" + line
        file.write(line)
        return file.tell()


def sync(path: Path) -> None:
    """Have the bytes of a file on disk.

    Raises:
        OutputError: the disk fails.
    """
    with naming(path), path.open("rb+") as file:
        os.fsync(file.fileno())


def truncate(path: Path, length: int) -> None:
    """Keep the first `length` bytes of a file.

    Raises:
        OutputError: the disk fails.
    """
    with naming(path):
        os.truncate(path, length)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; NaN and infinities are refused, since JSON has none."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: Path, remedy: str) -> Any:
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON, or nests too deep or has a number too long
            to be read; `remedy` tells the user what to do.
    """
    try:
        # From bytes: what Windows saves may be UTF-16, or have a byte order mark.
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy=remedy) from None
    except RecursionError:
        raise InputError(path, "is nested too deeply", remedy=remedy) from None
    except (OSError, ValueError) as error:
        raise InputError(path, f"not readable as JSON ({error})", remedy=remedy) from None


def read_object(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON file that holds an object; raises as `read_json`, and for anything else in it."""
    found = read_json(path, remedy)
    if not isinstance(found, dict):
        raise InputError(path, f"holds no JSON object but {str(found)[:40]!r}", remedy=remedy)
    return found


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sha256(value: Any) -> str:
    """SHA-256 of a JSON value, in hexadecimal, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def known_to_differ(one: str | None, other: str | None) -> bool:
    """Whether two digests differ; None is one that is not known."""
    return None not in (one, other) and one != other


def finite(value: Any) -> Any:
    """`value` with every number that JSON cannot hold replaced by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Say that `path` cannot be written, whatever the system reports of the block."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error


def _blamed(error: OSError, part: Path, where: Path) -> OSError:
    """An error of what wrote into `part`, if it is one of writing, by the name that users know."""
    if isinstance(error, OutputError):  # of a file written into the folder in the same way
        return error
    # Libraries that write for us do not always say which file it was.
    if error.filename is None:
        return unwritable(where, error) if error.errno in _DISK else error
    path = Path(os.fsdecode(error.filename))
    return unwritable(path, error) if path.is_relative_to(part) else error


def unwritable(path: Path, error: OSError) -> OutputError:
    """What to raise where the system does not let `path` be written."""
    remedy = "free disk space or give another folder, and run the same command again"
    shown = Path(*(each for each in path.parts if not is_part(Path(each))))
    return OutputError(f"{shown}: cannot be written ({error.strerror or error})\n  {remedy}")
