"""`import kit`: names that are imported when they are used, and a run as a function of arrays."""

from pathlib import Path

import numpy as np
import pytest

import kit
from kit.engines.request import Request
from kit.errors import InputError
from kit.prediction.predict import predict
from kit.tiles.names import S1_BANDS
from kit.tiles.reader import read_scene
from tests.helpers.tiles import key


def test_every_name_is_there_and_documented() -> None:
    names = set(dir(kit)) & set(kit._HOMES)
    assert names >= {"prepare", "train", "validate", "predict", "package", "score", "load"}
    for name in names:
        assert getattr(kit, name).__name__ == name
        assert getattr(kit, name).__doc__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'kit' has no attribute 'predcit'"):
        _ = kit.predcit  # type: ignore[attr-defined]


def test_the_cores_are_counted_when_a_name_is_first_used_and_not_again(monkeypatch) -> None:
    counted: list[bool] = []
    monkeypatch.setattr("kit.machine.cores.share_cores", lambda: counted.append(True))
    kit._share_cores.cache_clear()
    for name in ("KitError", "variant", "KitError"):
        getattr(kit, name)
    assert counted == [True]


def test_a_loaded_run_predicts_what_the_command_predicts(trained: Path) -> None:
    predict("spade2", "test", request=Request("eager", "float32"))
    tiles = [Path("test/sent1") / f"Sentinel1_{band}_{key(40)}.tiff" for band in S1_BANDS]
    sar = read_scene("Sentinel1", tiles)
    model = kit.load("runs/spade2")
    rgb = model.predict(sar)
    assert model.variant.name == "spade2"
    assert rgb.dtype == np.float32 and rgb.shape == (3, 32, 32)
    stored = np.load(f"predictions/spade2/{key(40)}.npy")
    np.testing.assert_allclose(rgb * 65535, stored, atol=1)
    both = model.predict(np.stack([sar, sar[:, ::-1]]))
    np.testing.assert_allclose(both[0], rgb, atol=1e-5)
    assert model.predict(np.full((2, 40, 56), np.nan)).shape == (3, 40, 56)


@pytest.mark.parametrize("shape", [(2,), (32, 32), (3, 32, 32), (1, 4, 32, 32), (2, 0, 32)])
def test_an_array_of_another_shape_is_refused(trained: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"give VV and VH in dB as \[2, H, W\]"):
        kit.load("runs/spade2").predict(np.zeros(shape))


def test_a_variant_is_a_name_and_fields(trained: Path) -> None:
    assert kit.variant("spade2", width=8, betas=[0.5, 0.9]).betas == (0.5, 0.9)
    with pytest.raises(InputError, match="no field called 'widht'"):
        kit.variant("spade2", widht=8)
