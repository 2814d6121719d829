"""Which engine predicts: measured, checked, cached, and refused where it changes too much.

A clock that only the backends of these tests move forward makes every rate exact.
"""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kit.engines import builder, registry
from kit.engines.backend import Plan, Spec
from kit.engines.backends import eager
from kit.engines.calibration import samples
from kit.engines.choose import build_for, choose
from kit.engines.engine import Engine
from kit.engines.request import Precision, Request
from kit.errors import CheckError, InputError, OutputError
from kit.models.infer import Forward
from kit.runs.weights import read_run

SIZE = (32, 32)
ANY = Request()


class Clock:
    """A clock that stands still but for `now`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Backend:
    """Eager, but for an error of its own in each precision, and the time that a call takes."""

    clock: Clock
    seconds: float
    errors: dict[Precision, float] = field(default_factory=lambda: {"float32": 0.0})
    label: str = "1"
    built: list[str] = field(default_factory=list)
    loaded: list[Plan] = field(default_factory=list)
    memory: int = 99  # tiles

    def require(self) -> None:
        pass

    def targets(self) -> Mapping[str, str]:
        return {"there": "there", "here": "here"}

    def version(self) -> str:
        return self.label

    def device(self) -> str:
        return "here"

    def precisions(self) -> Sequence[Precision]:
        return tuple(self.errors)

    def plans(self) -> Sequence[Plan]:
        return Plan(8), Plan(2)

    def build(self, generator: nn.Module, spec: Spec, folder: Path, tiles: Tensor) -> None:
        assert tiles.shape[1:] == (2, spec.height, spec.width)
        assert bool(len(tiles)) == (spec.precision == "int8")
        assert (tiles.abs() <= 1).all()
        self.built.append(spec.precision)
        (folder / "error").write_text(str(self.errors[spec.precision]))

    def load(
        self, folder: Path, spec: Spec, plan: Plan, generator: Callable[[], nn.Module]
    ) -> Forward:
        error = float((folder / "error").read_text())
        network = generator()
        self.loaded.append(plan)
        if plan.batch > self.memory:
            raise MemoryError

        def run(sar: Tensor) -> Tensor:
            self.clock.now += self.seconds
            return eager.forward(network, sar) + error

        return run


class Eager(Backend):
    """Eager in the list of backends: 20 images/s, where the others have 80 and 800."""

    def plans(self) -> Sequence[Plan]:
        return (Plan(4),)

    def build(self, *given: object) -> None:
        raise AssertionError("eager needs no building")

    def load(self, folder: Path, *given: object) -> Forward:
        (folder / "error").write_text("0")
        run = super().load(folder, *given)  # type: ignore[arg-type]
        (folder / "error").unlink()
        return run


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Backend]:
    clock = Clock()
    found = {"fast": Backend(clock, 0.01), "slow": Backend(clock, 0.1)}
    monkeypatch.setattr(registry, "BACKENDS", {**found, "eager": Eager(clock, 0.2)})
    monkeypatch.setattr("kit.engines.builder.BACKENDS", registry.BACKENDS)
    monkeypatch.setattr(builder, "pick", lambda: torch.device("cpu"))
    # These backends build nothing of the network, whose rewriting has tests of its own.
    monkeypatch.setattr(builder, "for_inference", lambda generator, *_: generator)
    return found


def pick(
    request: Request = ANY,
    name: str = "p2phd1",
    told: list[str] | None = None,
    **settings,
) -> Engine:
    weights = read_run(Path("runs"), name)
    return choose(
        weights,
        settings.pop("size", SIZE),
        request,
        cache=Path("engines"),
        samples=settings.pop("samples", lambda: samples(Path("work"), weights, SIZE)),
        report=(told if told is not None else []).append,
        clock=registry.BACKENDS["eager"].clock,
        **settings,
    )


def test_the_fastest_that_passes_is_taken_and_the_reason_told(trained: Path, backends) -> None:
    told: list[str] = []
    engine = pick(told=told)
    assert (engine.name, engine.spec) == ("fast", Spec("float32", *SIZE))
    assert "fast in float32, the fastest of 3 that pass" in told[-1]
    # Batches of another size than the reference's round their last digits otherwise.
    assert engine.accuracy.change < 1e-6 and engine.accuracy.tiles > 0
    tiles = torch.rand(engine.batch, 2, *SIZE) * 2 - 1
    expected = eager.forward(read_run(Path("runs"), "p2phd1").generator, tiles)
    torch.testing.assert_close(engine(tiles), expected)


def test_a_second_choice_builds_loads_and_measures_nothing(trained: Path, backends) -> None:
    first = pick()
    for backend in backends.values():
        backend.built.clear()
        backend.loaded.clear()
    again = pick()
    assert again.describe() == first.describe()
    assert not any(backend.built or backend.loaded for backend in backends.values())


def test_a_fast_engine_that_changes_the_mae_is_left_out(trained: Path, backends) -> None:
    backends["fast"].errors = {"int8": 0.5, "float32": 0.5}
    told: list[str] = []
    assert pick(told=told).name == "slow"
    assert sum("skipped: mean difference" in line for line in told) == 2


def test_one_asked_for_by_name_is_refused_or_falls_back(trained: Path, backends) -> None:
    backends["fast"].errors = {"int8": 0.5, "bfloat16": 0.4, "float32": 0.0}
    with pytest.raises(CheckError, match=r"fast in int8: mean difference (.|\n)*--fallback") as no:
        pick(Request("fast", "int8"))
    assert no.value.exit_code == 4
    told: list[str] = []
    engine = pick(Request("fast", "int8", fallback=True), told=told)
    assert engine.spec.precision == "float32"
    assert [line.split()[-1] for line in told if "is refused" in line] == ["bfloat16", "float32"]
    assert pick(Request("fast", "int8", tolerance=1e9)).spec.precision == "int8"
    assert pick(Request("fast")).spec.precision == "float32"


def test_what_no_backend_or_precision_can_do_is_named(trained: Path, backends) -> None:
    with pytest.raises(InputError, match="no such backend") as caught:
        pick(Request("warp"))
    assert caught.value.exit_code == 3
    with pytest.raises(InputError, match="no such precision"):
        pick(Request(precision="fp4"))
    with pytest.raises(InputError, match="does not compute in int8"):
        pick(Request("fast", "int8"))
    with pytest.raises(InputError, match="no backend here computes in float16"):
        pick(Request(precision="float16"))


def test_a_backend_that_is_missing_is_named_with_what_would_bring_it(
    trained: Path, backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    def require() -> None:
        raise InputError("fast", "not installed", remedy="pip install fast")

    monkeypatch.setattr(backends["fast"], "require", require, raising=False)
    with pytest.raises(InputError, match="pip install fast"):
        pick(Request("fast"))
    assert pick().name == "slow"


def test_for_a_few_scenes_nothing_is_built(trained: Path, backends) -> None:
    told: list[str] = []
    assert pick(told=told, scenes=5).name == "eager"
    assert "kit compile" in told[-1] and not backends["fast"].built
    assert pick(scenes=5000).name == "fast"
    # What is built already is used for a few, too.
    assert pick(scenes=5).name == "fast"


def test_what_began_a_prediction_goes_on_with_it(trained: Path, backends) -> None:
    before = pick(Request("slow")).describe()
    assert pick(before=[before]).name == "slow"
    assert pick(Request("fast"), before=[before]).name == "fast"
    assert pick(before=[{"name": "of an older kit"}]).name == "fast"


def test_a_plan_for_which_the_memory_is_short_is_skipped(trained: Path, backends) -> None:
    backends["fast"].memory = 2
    assert pick(Request("fast")).batch == 2
    backends["slow"].memory = 0
    named = re.escape(backends["slow"].device())
    with pytest.raises(InputError, match=f"^{named}: has too little memory for one tile"):
        pick(Request("slow"))
    # It is built, and measured as soon as there is memory.
    backends["slow"].memory = 99
    assert pick(Request("slow")).batch == 8 and backends["slow"].built == ["float32"]


@pytest.mark.slow
def test_other_weights_versions_and_sizes_get_engines_of_their_own(trained: Path, backends) -> None:
    pick(Request("fast"))
    pick(Request("fast"), name="spade2")
    backends["fast"].label = "2"
    pick(Request("fast"))
    found = samples(Path("work"), read_run(Path("runs"), "p2phd1"), SIZE)
    assert found.optical is not None
    images = [np.concatenate([each, each], axis=-1) for each in (found.inputs, found.optical)]
    wide = type(found)(*images, found.others, found.known_mae, found.source)
    pick(Request("fast"), size=(32, 64), samples=lambda: wide)
    assert len(backends["fast"].built) == 4
    assert len([*Path("engines").glob("[!.]*-fast-*")]) == 4


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "about", "foreign"])
def test_a_damaged_or_foreign_entry_is_built_again(trained: Path, backends, damage: str) -> None:
    pick(Request("fast"))
    (entry,) = Path("engines").glob("p2phd1-fast-*")
    file = entry / ("engine.json" if damage == "about" else "error")
    if damage == "gone":
        file.unlink()
    elif damage == "foreign":
        pick(Request("fast"), name="spade2")
        (other,) = Path("engines").glob("spade2-fast-*")
        for path in entry.iterdir():
            path.write_bytes((other / path.name).read_bytes())
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data[:-1] if damage == "cut" else data)
    backends["fast"].built.clear()
    told: list[str] = []
    pick(Request("fast"), told=told)
    assert backends["fast"].built == ["float32"]
    assert "the engine is built again" in told[0]


def test_an_engine_for_another_machine_is_measured_and_compared_on_that(
    trained: Path, backends
) -> None:
    weights = read_run(Path("runs"), "p2phd1")
    settings = {
        "cache": Path("engines"),
        "samples": lambda: samples(Path("work"), weights, SIZE),
        "report": lambda _: None,
    }
    backends["fast"].errors = {"int8": 0.5, "float32": 0.0}
    assert build_for("here", weights, SIZE, Request("fast", "int8"), **settings).is_dir()
    assert not backends["fast"].loaded
    with pytest.raises(CheckError, match="mean difference"):
        pick(Request("fast", "int8"))
    assert backends["fast"].built == ["int8"] and backends["fast"].loaded
    there = build_for("there", weights, SIZE, Request("fast", "float32"), **settings)
    assert pick(Request("fast", "float32")).spec.precision == "float32"
    assert backends["fast"].built == ["int8", "float32", "float32"] and there.is_dir()
    with pytest.raises(InputError, match="no such target"):
        build_for("elsewhere", weights, SIZE, Request("fast", "float32"), **settings)
    for request in (Request(), Request("fast"), Request(precision="int8")):
        with pytest.raises(InputError, match="--precision"):
            build_for("there", weights, SIZE, request, **settings)


def test_tiles_to_calibrate_with_are_read_for_int8_alone(trained: Path, backends) -> None:
    backends["fast"].errors = {"int8": 0.0, "bfloat16": 0.0, "float32": 0.0}
    weights = read_run(Path("runs"), "p2phd1")
    found = samples(Path("work"), weights, SIZE)
    read: list[int] = []

    def others() -> np.ndarray:
        read.append(1)
        return found.inputs[:0]

    bare = replace(found, others=others)
    for precision in ("float32", "bfloat16"):
        engine = pick(Request("fast", precision), samples=lambda: bare)
        assert engine.accuracy.source == found.source and not read
    engine = pick(Request("fast", "int8"), samples=lambda: bare)
    assert engine.accuracy.source == f"{found.source}, which it is calibrated with" and read == [1]
    again = pick(Request("fast", "int8"), samples=lambda: bare)
    assert again.accuracy == engine.accuracy and read == [1]


def test_without_truths_the_mean_difference_bounds_the_change(trained: Path, backends) -> None:
    backends["fast"].errors = {"int8": 0.002, "float32": 0.0}
    weights = read_run(Path("runs"), "p2phd1")
    found = samples(Path("work"), weights, SIZE)
    bare = type(found)(found.inputs, None, found.others, 0.05, "given")
    with pytest.raises(CheckError, match=r"at most 1\.\d\d %|at most 2\.00 %"):
        pick(Request("fast", "int8"), samples=lambda: bare)
    unknown = type(found)(found.inputs, None, found.others, None, "given")
    with pytest.raises(CheckError, match="without truth or a known MAE"):
        pick(Request("slow", "float32"), samples=lambda: unknown)


def test_an_unknown_change_is_refused_with_what_helps(trained: Path, backends) -> None:
    weights = read_run(Path("runs"), "p2phd1")
    found = samples(Path("work"), weights, SIZE)
    unknown = {"samples": lambda: type(found)(found.inputs, None, found.others, None, "given")}
    for request in (Request("slow", fallback=True), Request("fast", "float32")):
        with pytest.raises(CheckError, match=r"change is unknown\n  prepare pairs of 32x32") as no:
            pick(request, **unknown)
        assert "--tolerance 1" in str(no.value) and "--fallback" not in str(no.value)
    assert pick(Request("slow", tolerance=1), **unknown).name == "slow"
    assert pick(**unknown).name == "eager"


def test_a_hold_out_that_arrives_later_is_compared_on_without_building(
    trained: Path, backends
) -> None:
    backends["fast"].errors = {"int8": 0.002}
    weights = read_run(Path("runs"), "p2phd1")
    found = samples(Path("work"), weights, SIZE)
    unknown = type(found)(found.inputs, None, found.others, None, "given")
    with pytest.raises(CheckError, match="unknown"):
        pick(Request("fast", "int8"), samples=lambda: unknown)
    told: list[str] = []
    request = Request("fast", "int8", tolerance=1)
    accuracy = pick(request, told=told, pairs="a digest").accuracy
    assert accuracy.mae is not None and accuracy.source == found.source
    assert backends["fast"].built == ["int8"] and sum("mean difference" in x for x in told) == 1
    # On tiles of another hold-out it may fail.
    other = type(found)(found.inputs, found.optical * 0, found.others, None, "others")
    again = pick(request, samples=lambda: other, pairs="another").accuracy
    assert again.source == "others" and again.change != accuracy.change
    # They are the same the next time, and not even read.
    kept = pick(request, samples=lambda: pytest.fail("are read"), pairs="another")
    assert kept.accuracy == again


@pytest.mark.slow
def test_with_other_cores_rates_are_measured_again(trained: Path, backends, monkeypatch) -> None:
    assert pick(scenes=5).rate == 20
    backends["fast"].clock.now = 0
    registry.BACKENDS["eager"].seconds = 0.002  # 2000 images/s
    assert pick(scenes=5).rate == 20
    monkeypatch.setattr("kit.engines.builder.cores", lambda: 64)
    assert pick(scenes=5).rate == pytest.approx(2000)
    assert pick(Request("slow")).rate == pytest.approx(80)
    backends["slow"].seconds = 0.01
    monkeypatch.setattr("kit.engines.builder.processor", lambda: "another")
    assert pick(Request("slow")).rate == pytest.approx(800)
    assert backends["slow"].built == ["float32"]


def test_rates_that_are_near_are_measured_side_by_side_once(
    trained: Path, backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends["slow"].seconds = 0.015
    asked: list[list[str]] = []

    def side_by_side(engines: Sequence[tuple[Engine, int]], *_: object) -> list[float]:
        asked.append([engine.name for engine, _ in engines])
        return [float(engine.name == "slow") for engine, _ in engines]

    monkeypatch.setattr("kit.engines.builder.side_by_side", side_by_side)
    assert pick().name == pick().name == "slow"
    assert asked == [["fast", "slow"]]


@pytest.mark.slow
def test_rates_that_cannot_be_kept_decide_all_the_same(
    trained: Path, backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    backends["slow"].seconds = 0.015
    assert pick().name == "fast"
    monkeypatch.setattr("kit.engines.builder.cores", lambda: 64)
    backends["fast"].seconds = 0.02  # with as many cores slow is faster
    locks = [*Path("engines").glob(".p2phd1-*")]
    for place in locks:
        shutil.rmtree(place)
        place.touch()
    whole = builder.obtain

    def obtain(cache: Path, name: str, *given: Any) -> Any:
        if "-rates-" in name:
            raise OutputError("engines is read-only")
        return whole(cache, name, *given)

    monkeypatch.setattr(builder, "obtain", obtain)
    assert pick().name == "slow"
    assert all(place.is_file() for place in locks) and len(locks) == 4


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor stands in for a card."""
    monkeypatch.setattr(builder, "pick", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")


def test_a_card_holds_one_engine_at_a_time(trained: Path, backends, card, monkeypatch) -> None:
    backends["slow"].seconds = 0.015
    events: list[str] = []

    def side_by_side(engines: Sequence[tuple[Engine, int]], *_: object) -> list[float]:
        ((engine, batch),) = engines
        events.append(engine.name)
        engine.plan = Plan(batch // 2)  # as if the memory had been short
        return [float(engine.name == "slow")]

    def release(engine: Engine) -> None:
        events.append("released")
        whole(engine)

    whole = Engine.release
    monkeypatch.setattr("kit.engines.builder.side_by_side", side_by_side)
    monkeypatch.setattr(Engine, "release", release)
    best = pick()
    assert best.name == "slow" and best.plan.batch == best.batch
    assert events == ["fast", "released", "slow", "released"]


def test_on_a_card_the_reference_is_not_rounded_to_tf32(
    trained: Path, backends, card, monkeypatch
) -> None:
    rounded: list[bool] = []
    whole = eager.forward

    def forward(*given: Any) -> Tensor:
        rounded.append(torch.backends.cudnn.allow_tf32)
        return whole(*given)

    monkeypatch.setattr(eager, "forward", forward)
    assert torch.backends.cudnn.allow_tf32, "torch's default"
    pick(Request("fast", "float32"))
    assert {*rounded} == {False, True}
    # Eager float32 as it runs there is itself compared with that.
    told: list[str] = []
    found = pick(Request("eager", "float32"), told=told)
    assert found.accuracy.tiles and found.accuracy.mean < 1e-6  # batches differ in size


def test_cards_of_one_architecture_have_rates_of_their_own(
    trained: Path, backends, card, monkeypatch
) -> None:
    names: list[str] = []
    whole = builder.rated

    def rated(found: Any, machine: str, *others: Any) -> Any:
        names.append(machine)
        return whole(found, machine, *others)

    monkeypatch.setattr(builder, "rated", rated)
    for name in ("RTX 4090", "RTX 4060"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda name=name: name)
        pick(Request("fast", "float32"))
    assert len({*names}) == 2


def test_on_a_card_eager_float32_needs_no_truth(trained: Path, backends, card) -> None:
    weights = read_run(Path("runs"), "p2phd1")
    found = samples(Path("work"), weights, SIZE)
    unknown = {"samples": lambda: type(found)(found.inputs, None, found.others, None, "given")}
    told: list[str] = []
    assert pick(told=told, **unknown).name == "eager"
    assert any("eager in float32: mean difference" in line for line in told)
    for request in (Request("eager", "float32"), Request("eager", "float32", tolerance=0)):
        engine = pick(request, **unknown)
        assert engine.accuracy.tiles and engine.accuracy.change is None


def test_a_build_that_the_memory_does_not_hold_is_named(
    trained: Path, backends, monkeypatch
) -> None:
    def build(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Backend, "build", build)
    with pytest.raises(InputError, match="too little memory to build fast in float32") as caught:
        pick(Request("fast", "float32"))
    assert "--backend eager" in caught.value.remedy
