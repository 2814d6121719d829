"""Arrays of files are mapped, by any number of threads; what is no array is named."""

import ast
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from kit.errors import InputError
from kit.storage.arrays import read_array


def test_arrays_are_mapped_and_not_to_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6, dtype=np.uint16).reshape(2, 3))
    array = read_array(path, "")
    assert array.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert type(array) is np.ndarray and isinstance(array.base, np.memmap)
    assert not array.flags.writeable


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "no such file"),
        (b"", "not readable as an array"),
        (b"PK\x03\x04", "not readable as an array"),
        (b"\x93NUMPY\x01\x00\x06\x00('a',\n", "not readable as an array"),
    ],
    ids=["missing", "empty", "zip", "header"],
)
def test_what_is_no_array_is_named(tmp_path: Path, data: bytes | None, problem: str) -> None:
    path = tmp_path / "a.npy"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.npy: {problem}.*\n*.*make it again"):
        read_array(path, "make it again")


def test_one_thread_at_a_time_parses_the_header_of_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros(3))
    literal_eval, parsing, most = ast.literal_eval, 0, 0

    def slowly(source: str) -> object:
        nonlocal parsing, most
        parsing += 1
        most = max(most, parsing)
        time.sleep(0.01)
        parsing -= 1
        return literal_eval(source)

    monkeypatch.setattr(ast, "literal_eval", slowly)
    with ThreadPoolExecutor(4) as threads:
        for array in threads.map(lambda _: read_array(path, ""), range(16)):
            assert array.shape == (3,)
    assert most == 1
