"""Runs that are fitted in one go: boosted trees, from pairs to weights that predict."""

import builtins
import json
import signal
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from kit.engines.request import Request
from kit.errors import InputError
from kit.inputs.dataset import PairDataset
from kit.inputs.planes import InputPlanes
from kit.models.flips import average_views
from kit.models.infer import infer
from kit.models.trees import BoostedTrees
from kit.pairs.open_pairs import open_pairs
from kit.pairs.table import read_pairs, train_pairs
from kit.prediction.predict import predict
from kit.runs.records import read_records
from kit.runs.status import status
from kit.runs.weights import load_run, load_weights, save_weights
from kit.training import boosting, fit_trees
from kit.training.boosting import Settings, boost
from kit.training.export_weights import export_weights
from kit.training.train import train
from kit.training.validate import validate
from kit.variants.registry import find_variant
from kit.variants.settings import Variant

SETTINGS = Settings(
    trees=5, leaves=7, shrinkage=0.3, smallest=20, loss="l1", thresholds="best", seed=0
)


def small(*settings: str) -> Variant:
    return find_variant("trees1", ("trees=4", "leaves=5", "lr=0.3", *settings))


def pixels(count: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(count, 3)).astype(np.float32)
    return x, (np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] + random.normal(size=count)).astype("f4")


def as_module(x: np.ndarray, boosted: boosting.Boosted, settings: Settings) -> np.ndarray:
    made = BoostedTrees(x.shape[1], (), settings.trees, settings.leaves)
    tensors = {name: torch.stack([tensor] * 3) for name, tensor in boosted.tensors.items()}
    made.load_state_dict(tensors | {"base": torch.full((3,), boosted.base)}, assign=True)
    sums = made.base[:, None].repeat(1, len(x))
    made.add_reference(torch.from_numpy(x.T.copy()), sums)
    return sums[0].numpy()


@pytest.mark.parametrize(
    ("loss", "thresholds"), [("l1", "best"), ("mse", "best"), ("l1", "random")]
)
def test_the_module_predicts_what_the_library_does(loss, thresholds) -> None:
    import lightgbm

    x, y = pixels()
    settings = replace(SETTINGS, loss=loss, thresholds=thresholds)
    boosted = boost(x, y, settings)
    booster = lightgbm.train(
        boosting._parameters(settings),
        lightgbm.Dataset(x, y, init_score=np.full(len(y), boosted.base)),
        settings.trees,
    )
    expected = boosted.base + booster.predict(x)
    assert np.abs(as_module(x, boosted, settings) - expected).max() < 1e-6
    # Half the error of the best constant is explained, so that there is something to compare.
    assert np.abs(expected - y).mean() < 0.9 * np.abs(np.median(y) - y).mean()


def test_a_target_of_one_value_is_its_own_tree() -> None:
    x, y = pixels(500)
    boosted = boost(x, np.full_like(y, 0.25), SETTINGS)
    assert boosted.base == 0.25 and not boosted.tensors["left"].any()
    assert np.allclose(as_module(x, boosted, SETTINGS), 0.25)


def test_the_same_pairs_give_the_same_trees_of_a_share_of_their_pixels(trained: Path) -> None:
    pairs = train_pairs(read_pairs(Path("work/pairs.parquet")), 2)
    variant = small()
    dataset = PairDataset(InputPlanes(variant), open_pairs(Path("work"), pairs), pairs, crop=32)
    told: list[tuple[int, int, str]] = []
    first, facts = fit_trees.fit_trees(dataset, most=4000, advance=lambda *now: told.append(now))
    again, _ = fit_trees.fit_trees(dataset, most=4000)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert facts["pixels"] == len(pairs) * (4000 // len(pairs))
    assert facts["fitted_by"].startswith("lightgbm ") and facts["features"][0] == "VV"
    assert (len(pairs), len(pairs), "pairs") in told and (12, 12, "trees") in told


@pytest.mark.slow
def test_trees_are_a_member_like_any_other(trained: Path) -> None:
    seen: list[dict] = []
    run = train(small(), watch=seen.append)
    (record,) = read_records(run.folder)
    assert record["holdout_mae"] == run.mae and any("done" in each for each in seen)
    (row,) = [row for row in validate(["trees1"]) if row.variant == "trees1"]
    assert row.scores.mae == pytest.approx(run.mae)
    (state,) = [each for each in status(Path("runs")) if each.variant == "trees1"]
    assert (state.state, state.mae, state.command) == ("finished", run.mae, "")
    lines: list[str] = []
    done = predict("trees1,spade2", "test", report=lines.append)
    assert done.scenes == 2 and done.engines["trees1"][0]["name"] == "eager"
    assert any("trees1: eager in float32" in line for line in lines)
    with pytest.raises(InputError, match="trees1: its model trees runs in eager float32 alone"):
        predict("trees1", "test", request=Request(backend="openvino"))
    with pytest.raises(InputError, match="is of model=trees and boxes="):
        export_weights("trees1", "out")


def test_trees_show_a_turned_scene_the_same_and_are_computed_once(trained: Path) -> None:
    train(small())
    generator = load_run(Path("runs"), "trees1").generator
    planes = np.random.default_rng(0).random((1, 2, 24, 32), np.float32)
    plain = infer(generator, planes)
    views = average_views(partial(infer, generator), planes, 8)
    # A mean that is rounded otherwise may move a pixel across a threshold.
    assert (np.abs(views - plain) > 1e-6).mean() < 0.01
    once = predict("trees1", "test", predictions="once")
    eight = predict("trees1", "test", predictions="eight", flips=8)
    assert (once.flips, eight.flips) == (1, 8)
    for path in Path("once/trees1").glob("*.npy"):
        assert path.read_bytes() == (Path("eight/trees1") / path.name).read_bytes()


@pytest.mark.slow
def test_a_finished_run_stays_and_a_damaged_one_is_fitted_again(trained: Path) -> None:
    def notes() -> str:
        told: list[dict] = []
        run = train(small(), watch=told.append)
        assert run.mae == first.mae and len(read_records(run.folder)) == 1
        return " ".join(str(each["note"]) for each in told if "note" in each)

    first = train(small())
    weights = first.folder / "weights.safetensors"
    written = weights.read_bytes()
    assert notes() == "fitted before; --overwrite fits it again"
    assert weights.read_bytes() == written
    weights.write_bytes(written[:-1] + bytes([written[-1] ^ 1]))
    assert "fitting runs/trees1/weights.safetensors again: damaged" in notes()
    assert weights.read_bytes() == written
    weights.unlink()
    assert notes() == "" and weights.read_bytes() == written


def test_trees_of_another_library_predict_and_are_named(trained: Path, monkeypatch) -> None:
    run = train(small())
    before = load_run(Path("runs"), "trees1")
    monkeypatch.setattr(boosting, "version", lambda: "lightgbm 9.9")
    told: list[dict] = []
    assert train(small(), watch=told.append).mae == run.mae
    fitted_by = before.facts["fitted_by"]
    assert told == [{"note": f"fitted before by {fitted_by}; --overwrite fits it again"}]


def test_trees_of_several_libraries_are_named_where_they_are_averaged(
    trained: Path, monkeypatch
) -> None:
    train(small())
    monkeypatch.setattr(boosting, "version", lambda: "lightgbm 9.9")
    train(small("name=later"))
    lines: list[str] = []
    predict("trees1,later", "test", report=lines.append)
    (line,) = [line for line in lines if "libraries" in line]
    assert "trees1 by lightgbm 4" in line and "later by lightgbm 9.9" in line


def test_trees_of_other_features_are_refused(trained: Path) -> None:
    train(small())
    weights = load_run(Path("runs"), "trees1")
    other = weights.facts | {"features": ["VH", "VV"]}
    path = Path("other/weights.safetensors")
    path.parent.mkdir()
    save_weights(path, weights.generator, weights.variant, other)
    with pytest.raises(InputError, match=r"its trees are of the features \['VH', 'VV'\]"):
        load_weights(path)


@pytest.mark.parametrize("during", ["pairs", "trees"])
def test_a_signal_ends_a_fit_and_the_earlier_run_is_back(trained: Path, during: str) -> None:
    weights = train(small()).folder / "weights.safetensors"
    written = weights.read_bytes()

    def interrupt(record: dict) -> None:
        if record.get("words") == during:
            signal.raise_signal(signal.SIGINT)

    def from_main(record: dict) -> None:
        # Trees are counted in threads of their own, where no signal is delivered.
        if threading.current_thread() is threading.main_thread():
            interrupt(record)
        elif record.get("words") == during:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(small("trees=50"), overwrite=True, watch=from_main)
    assert weights.read_bytes() == written


def test_a_library_that_is_missing_or_broken_is_named(trained: Path, monkeypatch) -> None:
    real = builtins.__import__

    def broken(error: Exception):
        def importer(name: str, *rest: object, **more: object):
            if name == "lightgbm":
                raise error
            return real(name, *rest, **more)

        return importer

    monkeypatch.setattr(builtins, "__import__", broken(ImportError("No module")))
    with pytest.raises(InputError, match=r"pip install 'sar-to-optical-kit\[trees\]'"):
        train(small())
    lost = OSError("libgomp.so.1: cannot open shared object file: No such file or directory")
    monkeypatch.setattr(builtins, "__import__", broken(lost))
    with pytest.raises(InputError, match=r"libgomp.so.1(.|\n)*OpenMP"):
        train(small())
    assert not Path("runs/trees1/weights.safetensors").exists()
    assert json.loads(Path("runs/trees1/config.json").read_text())


def test_settings_that_trees_cannot_have_are_refused() -> None:
    with pytest.raises(InputError, match=r"pixel_loss is 'charbonnier'(.|\n)*l1 or mse"):
        small("pixel_loss=charbonnier")
    with pytest.raises(InputError, match="leaves is 1"):
        small("leaves=1")
    with pytest.raises(InputError, match=r"gan is 1\.0"):
        small("gan=1")
