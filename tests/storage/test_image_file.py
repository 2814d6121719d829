"""The file of a prediction: what numpy would have written, byte for byte."""

import io
from pathlib import Path

import numpy as np
import pytest

from kit.storage.image_file import digest, read_image, write_image

IMAGE = np.random.default_rng(0).integers(0, 2**16, (3, 5, 7), dtype=np.uint16)


@pytest.mark.parametrize(
    "image",
    [IMAGE, IMAGE[:, :1, :1], IMAGE[:, ::2, ::-1], IMAGE.transpose(0, 2, 1), IMAGE.astype(">u2")],
    ids=["packed", "pixel", "strided", "turned", "big-endian"],
)
def test_the_bytes_are_those_of_numpy(image: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    write_image(path, image)
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(image, "<u2"), allow_pickle=False)
    assert path.read_bytes() == file.getvalue()
    np.testing.assert_array_equal(read_image(path, digest(image), ""), image)
