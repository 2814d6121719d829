"""Training that starts from trained weights, also with other planes than they were given."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kit.errors import BusyError, InputError
from kit.models.registry import build_generator
from kit.pairs.prepare import prepare
from kit.runs.folder import BEST, CONFIG, saved
from kit.runs.notes import add_note, notes_of, read_notes
from kit.runs.status import status
from kit.runs.training_pairs import TRAINING_PAIRS, read_training_pairs
from kit.runs.weights import Weights, read_weights, save_weights
from kit.screening.rule import CloudRule
from kit.training.initial import read_start, start_from
from kit.training.train import train
from kit.training.validate import validate
from kit.variants.settings import Variant
from tests.helpers.variants import tiny

MODELS = ("spade2", "p2phd1", "nafnet1", "unet1")


def made(path: Path, variant: Variant) -> tuple[nn.Module, Weights]:
    """A random generator, and what a file of its weights says."""
    torch.manual_seed(1)
    generator = build_generator(variant).eval()
    save_weights(path, generator, variant, {"mean_color": [0.5, 0.5, 0.5]})
    return generator, read_weights(path)


def of(variant: Variant, weights: Weights) -> tuple[nn.Module, list[str]]:
    torch.manual_seed(2)
    generator = build_generator(variant)
    told: list[str] = []
    start_from(generator, variant, weights, told.append)
    return generator.eval(), told


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_start_from_weights_predicts_what_they_predict(tmp_path: Path, name: str) -> None:
    variant = tiny(name)
    before, weights = made(tmp_path / BEST, variant)
    after, told = of(replace(variant, lr=0.5, target="minmax"), weights)
    planes = torch.rand(1, 2, 32, 32)
    torch.testing.assert_close(after(planes), before(planes), rtol=1e-3, atol=1e-4)
    assert told == [f"{weights.path}: was trained with target=reflectance, not minmax"]


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_new_planes_start_at_zero_and_known_ones_stay_what_they_were(
    tmp_path: Path, name: str
) -> None:
    variant = replace(tiny(name), prior=True)
    before, weights = made(tmp_path / BEST, variant)
    # Two planes are new, and lie between those that both know; means over boxes lie after them.
    norm = "batch" if variant.norm == "instance" else variant.norm
    dated = replace(variant, date=True, boxes=(5,), norm=norm)
    after, told = of(dated, weights) if norm == variant.norm else of(
        replace(variant, boxes=(5,)), weights
    )  # fmt: skip
    planes = torch.rand(1, 6, 32, 32)
    wide = planes
    if norm == variant.norm:
        wide = torch.cat([planes[:, :2], torch.rand(1, 2, 32, 32), planes[:, 2:]], dim=1)
    torch.testing.assert_close(after(wide), before(planes), rtol=1e-3, atol=1e-4)
    assert "VV over 5 pixels, VH over 5 pixels start at weight 0" in told[0]


@torch.no_grad()
def test_planes_that_are_gone_are_told_and_left_out(tmp_path: Path) -> None:
    variant = tiny("unet1", "prior=true")
    before, weights = made(tmp_path / BEST, variant)
    after, told = of(replace(variant, prior=False), weights)
    planes = torch.rand(1, 2, 32, 32)
    nothing = torch.cat([planes, torch.zeros(1, 4, 32, 32)], dim=1)
    torch.testing.assert_close(after(planes), before(nothing), rtol=1e-4, atol=1e-5)
    assert told[0].endswith("prior B4, prior B3, prior B2, presence of a prior are left out")


def test_another_network_is_refused_by_what_differs(tmp_path: Path) -> None:
    _, weights = made(tmp_path / BEST, tiny("p2phd1", "width=4"))
    with pytest.raises(InputError, match=r"of another network(.|\n)*trained with: width=4"):
        of(tiny("p2phd1"), weights)
    with pytest.raises(InputError, match=r"trained with: model=pix2pixhd, width=4, norm=instance"):
        of(tiny("unet1"), weights)
    with pytest.raises(InputError, match="trees1 is fitted in one go"):
        read_start(tmp_path / BEST, tiny("trees1"))
    with pytest.raises(InputError, match="no such file"):
        read_start(tmp_path / "gone.safetensors", tiny("p2phd1"))


@pytest.mark.slow
def test_a_run_remembers_its_start_and_goes_on_without_the_file(trained: Path) -> None:
    source = Path("runs/p2phd1") / BEST
    variant = tiny("p2phd1", "name=tuned", "validations=2", "ema=0")
    told: list[dict[str, Any]] = []
    where: dict[str, Any] = {"work": Path("work"), "runs": Path("runs")}

    def kill(record: dict[str, Any]) -> None:
        told.append(record)
        if record.get("epoch") == 1:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(variant, init=source, note="from p2phd1", watch=kill, **where)
    notes = [record["note"] for record in told if "note" in record]
    assert any(f"starts from {source}" in note for note in notes)
    assert not any("warning" in note for note in notes)
    before = read_training_pairs(Path("runs/p2phd1"))
    tuned = read_training_pairs(Path("runs/tuned"))
    assert before and tuned and set(tuned.before) == set(before.optical)
    config = (Path("runs/tuned") / CONFIG).read_text()
    assert read_weights(source).sha256 in config
    (shown,) = (each for each in status(Path("runs")) if each.variant == "tuned")
    assert shown.differs["init"] == str(source) and shown.notes == ("from p2phd1",)
    with pytest.raises(BusyError, match=r"started with other weights than .*p2phd1"):
        train(variant, init=Path("runs/p2phd1/last.safetensors"), **where)
    with pytest.raises(BusyError, match="started with weights of its own"):
        train(tiny("p2phd1"), init=source, **where)
    run = train(variant, **where)
    assert read_training_pairs(Path("runs/tuned")) == tuned
    assert "init" in (Path("runs/tuned") / CONFIG).read_text()
    straight = train(replace(variant, name="straight"), init=source, **where)
    ends = [read_weights(each.folder / BEST).tensors() for each in (run, straight)]
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])
    fresh = train(replace(variant, name="fresh"), **where)
    other = read_weights(fresh.folder / BEST).tensors()
    assert not all(np.array_equal(ends[0][name], other[name]) for name in other)


@pytest.mark.slow
def test_a_start_that_was_killed_before_it_saved_is_not_forgotten(trained: Path) -> None:
    source, variant = Path("runs/p2phd1") / BEST, tiny("p2phd1", "name=tuned")
    where: dict[str, Any] = {"work": Path("work"), "runs": Path("runs")}

    def kill(record: dict[str, Any]) -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(variant, init=source, watch=kill, **where)
    assert not saved(Path("runs/tuned"))
    (shown,) = (each for each in status(Path("runs")) if each.variant == "tuned")
    assert shown.command.endswith(f" --init {source}")
    with pytest.raises(BusyError, match=rf"begun with --init {source}, and has saved nothing"):
        train(variant, **where)
    assert train(variant, init=source, **where).steps
    assert "init" in (Path("runs/tuned") / CONFIG).read_text()


def test_notes_are_kept_in_order_and_not_repeated(tmp_path: Path) -> None:
    for folder, text in (("a", "one"), ("a", "one"), ("a", ""), ("a", "two"), ("a.fold1", "two")):
        (tmp_path / folder).mkdir(exist_ok=True)
        add_note(tmp_path / folder, text)
    (tmp_path / "a" / "notes.jsonl").open("ab").write(b'{"note": "cut sho')
    assert [note.text for note in read_notes(tmp_path / "a")] == ["one", "two"]
    assert notes_of(tmp_path, "a") == ("one", "two") and notes_of(tmp_path, "b") == ()


@pytest.mark.slow
def test_weights_that_have_seen_the_hold_out_are_told_and_not_validated(trained: Path) -> None:
    prepare(Path("data"), Path("other"), rule=CloudRule(), seed=7)
    told: list[str] = []
    variant = tiny("p2phd1", "name=leaking")
    train(
        variant,
        work="other",
        runs="runs",
        init=Path("runs/p2phd1") / BEST,
        watch=lambda record: told.append(record.get("note", "")),
    )
    assert any("pairs that are held out: its scores say little" in note for note in told)
    with pytest.raises(InputError, match="were trained on pairs of this hold-out"):
        validate(["leaking"], work=Path("other"), runs=Path("runs"))


@pytest.mark.slow
def test_what_weights_have_seen_stays_known_where_their_run_is_trained_anew(trained: Path) -> None:
    prepare(Path("data"), Path("other"), rule=CloudRule(), seed=7)
    source, told = Path("runs/p2phd1") / BEST, list[str]()

    def watch(record: dict[str, Any]) -> None:
        told.append(record.get("note", ""))

    where: dict[str, Any] = {"work": "other", "runs": "runs", "init": source}
    beside = train(tiny("p2phd1", "name=beside"), **where)
    placed = train(tiny("p2phd1"), overwrite=True, watch=watch, **where)
    seen = [read_training_pairs(each.folder) for each in (beside, placed)]
    assert seen[0] and seen[1] and seen[0].before == seen[1].before != ()
    assert any("pairs that are held out: its scores say little" in note for note in told)
    with pytest.raises(InputError, match="were trained on pairs of this hold-out"):
        validate(["p2phd1"], work=Path("other"), runs=Path("runs"))


@pytest.mark.slow
def test_weights_that_came_alone_are_told_and_those_of_a_run_that_goes_on_are_not_forgotten(
    trained: Path,
) -> None:
    where: dict[str, Any] = {"work": Path("work"), "runs": Path("runs")}
    tuned = train(tiny("p2phd1", "name=tuned"), init=Path("runs/p2phd1") / BEST, **where)
    before = read_training_pairs(tuned.folder)
    alone, told = Path("alone") / BEST, list[str]()
    alone.parent.mkdir()
    alone.write_bytes((Path("runs/p2phd1") / BEST).read_bytes())

    def watch(record: dict[str, Any]) -> None:
        told.append(record.get("note", ""))

    train(tiny("p2phd1", "name=tuned"), init=alone, **where)
    assert read_training_pairs(tuned.folder) == before
    # What is lost is not made up: it is asked for again.
    assert before and before.before
    for damaged in (None, "{}"):
        path = tuned.folder / TRAINING_PAIRS
        path.write_text(damaged) if damaged else path.unlink()
        for init in (None, alone):
            with pytest.raises(InputError, match=r"gone or damaged.*\n.*give --init runs/p2phd1/"):
                train(tiny("p2phd1", "name=tuned"), init=init, **where)
        train(tiny("p2phd1", "name=tuned"), init=Path("runs/p2phd1") / BEST, **where)
        assert read_training_pairs(tuned.folder) == before
    train(tiny("p2phd1", "name=unknown"), init=alone, watch=watch, **where)
    line = f"warning: {TRAINING_PAIRS} is not beside {alone}: what these weights have seen is"
    assert sum(line in note for note in told) == 1
