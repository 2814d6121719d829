"""Weights files are complete in themselves, and damage never passes for weights."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kit.errors import InputError
from kit.files import sha256
from kit.models.registry import build_generator
from kit.runs.weights import load_run, load_tensors, load_weights, save_tensors, save_weights
from tests.helpers.variants import tiny

FACTS = {"mean_color": [0.1, 0.2, 0.3], "epoch": 3}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "spade2" / "weights.safetensors"
    torch.manual_seed(0)
    save_weights(path, build_generator(tiny("spade2")), tiny("spade2"), FACTS)
    return path


def test_a_weights_file_is_all_that_is_needed(saved: Path) -> None:
    torch.manual_seed(0)
    generator = build_generator(tiny("spade2")).eval()
    weights = load_weights(saved)
    sar = torch.randn(1, 2, 32, 32)
    with torch.no_grad():
        assert torch.equal(weights.generator(sar), generator(sar))
    assert weights.variant == tiny("spade2")
    assert weights.facts == FACTS
    assert not weights.generator.training


def test_the_checksum_tells_weights_apart(saved: Path, tmp_path: Path) -> None:
    first = load_weights(saved)
    save_weights(tmp_path / "same", first.generator, first.variant, FACTS)
    assert load_weights(tmp_path / "same").sha256 == first.sha256 == sha256(saved)
    with torch.no_grad():
        next(first.generator.parameters()).add_(1e-3)
    save_weights(tmp_path / "other", first.generator, first.variant, FACTS)
    assert load_weights(tmp_path / "other").sha256 != first.sha256


@pytest.mark.parametrize("position", [0, 9, 200, -1, -500])
def test_a_flipped_bit_is_noticed(saved: Path, position: int) -> None:
    data = bytearray(saved.read_bytes())
    data[position] ^= 1
    saved.write_bytes(data)
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        load_weights(saved)


def test_truncation_is_noticed(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged"):
        load_weights(saved)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "exploded",)

    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError):
        load_weights(path)
    assert not (tmp_path / "exploded").exists()


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="not written by the kit"):
        load_weights(tmp_path / "x.safetensors")


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, build_generator(tiny("p2phd1")), tiny("spade2"), FACTS)
    with pytest.raises(InputError, match="not weights of this kit"):
        load_weights(path)


def test_another_scaling_is_refused(saved: Path) -> None:
    tensors, about = load_tensors(saved, "")
    del about["sha256"]
    about["scaling"]["dn"] = [0, 4000]
    save_tensors(saved, tensors, about)
    with pytest.raises(InputError, match="4000"):
        load_weights(saved)


def test_weights_of_another_variant_are_refused(saved: Path) -> None:
    other = saved.parents[1] / "spade4"
    shutil.copytree(saved.parent, other)
    with pytest.raises(InputError, match="holds weights of spade2, not of spade4"):
        load_run(saved.parents[1], "spade4")


def test_missing_weights_say_what_to_train(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kit train spade1"):
        load_run(tmp_path, "spade1")


def test_a_name_that_no_variant_has_lists_those_that_there_are(saved: Path) -> None:
    shutil.copytree(saved.parent, saved.parents[1] / "mine")
    for name, closest in (("spade9", "spade"), ("mime", "mine"), ("submission3", "submission")):
        with pytest.raises(InputError, match=f"did you mean {closest}.*known are .*mine"):
            load_run(saved.parents[1], name)
