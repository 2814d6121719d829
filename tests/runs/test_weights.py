"""Weights files are complete in themselves, and damage never passes for weights."""

import math
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import kit
from kit.engines.request import Request
from kit.errors import CheckError, InputError
from kit.models.registry import build_generator
from kit.runs.claim import Basis, claim
from kit.runs.folder import BEST, LAST
from kit.runs.status import status
from kit.runs.tensors import TensorFile, save_tensors, write_tensors
from kit.runs.weights import load_run, load_weights, read_run, read_weights, save_weights
from kit.storage.files import sha256
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
    same, other = (tmp_path / name / saved.name for name in ("same", "other"))
    save_weights(same, first.generator, first.variant, FACTS)
    assert load_weights(same).sha256 == first.sha256 == sha256(saved)
    with torch.no_grad():
        next(first.generator.parameters()).add_(1e-3)
    save_weights(other, first.generator, first.variant, FACTS)
    assert load_weights(other).sha256 != first.sha256


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
    file = TensorFile(saved, str)
    tensors, about = file.tensors(), file.about
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


def test_a_run_that_was_stopped_before_its_first_weights_is_gone_on_with(tmp_path: Path) -> None:
    claim(tmp_path / "long", tiny("p2phd1", "name=long"), Basis("pairs"))
    with pytest.raises(InputError) as error:
        read_run(tmp_path, "long")
    assert error.value.remedy == f"train the variant first: {status(tmp_path)[0].command}"
    assert "kit train p2phd1 --set name=long" in error.value.remedy
    (tmp_path / "long" / "config.json").unlink()
    with pytest.raises(InputError, match="first: kit train VARIANT --set name=long"):
        read_run(tmp_path, "long")


def test_a_name_that_no_variant_has_lists_those_that_there_are(saved: Path) -> None:
    shutil.copytree(saved.parent, saved.parents[1] / "mine")
    for name, closest in (("spade9", "spade"), ("mime", "mine"), ("submission3", "submission")):
        with pytest.raises(InputError, match=f"did you mean {closest}.*known are .*mine"):
            load_run(saved.parents[1], name)


def test_best_and_last_weights_that_changed_places_are_noticed(trained: Path) -> None:
    best, last = (Path("runs/p2phd1") / name for name in (BEST, LAST))
    best.rename("aside")
    last.rename(best)
    Path("aside").rename(last)
    with pytest.raises(InputError, match=r"was written as last\.safetensors\n.*kit train p2phd1"):
        load_run(Path("runs"), "p2phd1")
    kit.train(tiny("p2phd1"))  # exports them again
    assert {load_weights(path).path for path in (best, last)} == {best, last}


def test_the_checksum_is_of_the_weights_that_predict(saved: Path, tmp_path: Path) -> None:
    """A training replaces the file between the reading of its description and of its tensors."""
    first = load_weights(saved)
    started = read_weights(saved)
    torch.manual_seed(1)
    save_weights(saved, build_generator(tiny("spade2")), tiny("spade2"), FACTS)
    assert started.sha256 == first.sha256 != sha256(saved)
    old, now = first.generator.state_dict(), started.generator.state_dict()
    assert all(torch.equal(old[name], now[name]) for name in old)


def test_a_file_that_is_written_over_while_it_is_open_is_refused(
    saved: Path, tmp_path: Path
) -> None:
    started = read_weights(saved)
    torch.manual_seed(1)
    other = tmp_path / saved.name
    save_weights(other, build_generator(tiny("spade2")), tiny("spade2"), FACTS)
    with saved.open("rb+") as file:  # the same file, not another of its name
        file.write(other.read_bytes())
    with pytest.raises(InputError, match="does not match"):
        _ = started.generator


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_weight_that_isnot_finite_is_neither_saved_nor_loaded(
    saved: Path, monkeypatch: pytest.MonkeyPatch, number: float
) -> None:
    generator = load_weights(saved).generator
    before = saved.read_bytes()
    with torch.no_grad():
        generator.up_0.conv_0.bias[1] = number
    with pytest.raises(CheckError, match=r"up_0\.conv_0\.bias would hold .* not finite"):
        save_weights(saved, generator, tiny("spade2"), FACTS)
    assert saved.read_bytes() == before
    with monkeypatch.context() as old:
        old.setattr("kit.runs.tensors.not_finite", lambda _: "")
        save_weights(saved, generator, tiny("spade2"), FACTS)
    with pytest.raises(InputError, match=r"up_0\.conv_0\.bias holds .* not finite"):
        load_weights(saved)


@pytest.mark.parametrize("color", [None, [0.1, 0.2], [0.1, 0.2, "x"], [0.1, 0.2, math.nan], 0.5])
def test_weights_without_a_mean_colour_say_so(trained: Path, color: object) -> None:
    path = Path("runs/p2phd1") / BEST
    facts = {} if color is None else {"mean_color": color}
    save_weights(path, load_weights(path).generator, tiny("p2phd1"), facts)
    with pytest.raises(InputError, match="does not say the mean colour"):
        kit.predict("p2phd1", "test", request=Request("eager", "float32"))


@pytest.mark.parametrize(
    "about",
    [
        "[]", "null", "3", '"text"', "{", "{}", "[" * 100_000, '{"sha256": ' + "9" * 5000 + "}",
        '{"sha256": null}', '{"sha256": "", "variant": []}', '{"sha256": "", "format": 99}',
        '{"sha256": "", "format": "2"}', '{"sha256": "", "variant": null, "facts": []}',
    ],
)  # fmt: skip
def test_a_description_of_any_other_kind_is_refused(saved: Path, about: str) -> None:
    tensors = TensorFile(saved, str).tensors()
    write_tensors(saved, tensors, {"kit": about})
    with pytest.raises(InputError, match=r"weights\.safetensors"):
        load_weights(saved)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"facts": None}, "no facts"),
        ({"facts": []}, "no facts"),
        ({"scaling": None}, "scaling None"),
        ({"variant": {}}, "has no name"),
        ({"variant": {"seed": 2**70}}, "has no name"),
        ({"format": 3}, "newer version of the kit"),
        ({"file": "last.safetensors"}, "was written as last"),
    ],
)
def test_an_intact_description_of_another_form_is_refused(
    saved: Path, change: dict, found: str
) -> None:
    file = TensorFile(saved, str)
    save_tensors(saved, file.tensors(), file.about | change)
    with pytest.raises(InputError, match=found):
        load_weights(saved)
