"""ukis-csmask itself: the same masks as its own class gives, from one session."""

import sys

import numpy as np
import pytest

from kit.screening import ukis

mask = pytest.importorskip("ukis_csmask.mask", reason="needs the extra 'detector'")


def clouds(bands: int, size: int) -> np.ndarray:
    """A dark scene with a bright round cloud in it, [bands, size, size] DN."""
    random = np.random.default_rng(size)
    y, x = np.mgrid[:size, :size] / size
    cloud = 6000 * np.clip(1.2 - 6 * np.hypot(y - 0.4, x - 0.4), 0, 1)
    ground = np.array([600, 700, 500, 3000, 1800, 900])[:bands, None, None]
    noise = random.integers(0, 80, (bands, size, size))
    return (ground + noise + cloud).astype(np.uint16)


@pytest.mark.filterwarnings("ignore:Your input image is smaller")
@pytest.mark.parametrize(
    ("bands", "size"), [(4, 120), pytest.param(6, 256, marks=pytest.mark.slow)]
)
def test_masks_are_those_of_the_package(bands: int, size: int) -> None:
    scene = clouds(bands, size)[:, ::-1]
    (found,) = ukis.classes(scene[None], 1)
    names = ["red", "green", "blue", "nir", "swir16", "swir22"][:bands]
    image = np.moveaxis(scene, 0, -1).astype(np.float32) / np.float32(10_000)
    expected = mask.CSmask(image, names, "l2a", intra_op_num_threads=1).csm[..., 0]
    assert (found == expected).mean() > 0.9999
    assert set(np.unique(found)) >= {ukis.CLEAR, ukis.CLOUD}


@pytest.mark.slow
def test_a_process_opens_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    ukis._network.cache_clear()
    made = []
    session = mask.onnxruntime.InferenceSession
    monkeypatch.setattr(
        mask.onnxruntime,
        "InferenceSession",
        lambda *given, **settings: made.append(1) or session(*given, **settings),
    )
    first, again = (ukis.classes(clouds(4, size)[None], 1) for size in (64, 64))
    assert np.array_equal(first, again)
    assert len(made) == 1


def test_the_version_is_told_of_package_and_number() -> None:
    name, number = ukis.version().split()
    assert name == "ukis-csmask" and number[0].isdigit()


@pytest.mark.parametrize("missing", ["ukis_csmask", "onnxruntime"])
def test_where_it_is_missing_the_install_line_is_told(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "ukis_csmask"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match="pip install") as caught:
        ukis.version()
    assert "pip install 'sar-to-optical-kit[detector]'" in str(caught.value)
    assert ("onnxruntime" in str(caught.value)) == (missing == "onnxruntime")
