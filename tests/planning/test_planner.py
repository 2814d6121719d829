"""Plans for machines of every kind: what fits is trained, what does not is left out by name."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from kit.errors import InputError
from kit.hours import KEPT_BACK
from kit.planning.machine import Fit, Machine, Unsuitable
from kit.planning.plan import Plan
from kit.planning.planner import _Planner
from kit.planning.recipes import FOLDS, recipe_for
from kit.training.rates import Rate
from kit.variants.registry import VARIANTS
from kit.variants.settings import Variant


@dataclass(frozen=True)
class Pair:
    """As much of a pair as a plan looks at."""

    place: tuple[str, str]
    height: int = 256
    width: int = 256


_PLACES: dict[str, list[Pair]] = {}


def places(count: int, row: str) -> list[Pair]:
    """A pair of each of so many places, which all tests share: they are made once."""
    made = _PLACES.setdefault(row, [])
    made += [Pair((f"{n}", row)) for n in range(len(made), count)]
    return made[:count]


class Known(Machine):
    """A machine whose rates are known: `pixels` of width 1 that it trains in a second."""

    start_s = 5.0

    def __init__(self, pixels: float, pairs: int, held: int = 20, load_s: float = 0.001) -> None:
        super().__init__(Path())
        chosen, holdout = places(pairs, "0"), places(held, "1")
        self._known = SimpleNamespace(chosen=chosen, holdout=holdout, pairs=chosen + holdout)
        self._pixels = pixels
        self._load_s = load_s
        self.measured: list[Variant] = []

    @property
    def name(self) -> str:
        return "known"

    def data(self, dataset: int):
        return self._known

    def rate(self, variant: Variant) -> Rate:
        self.measured.append(variant)
        step_s = variant.width * variant.crop**2 * variant.batch / self._pixels
        image_s = variant.width * 256**2 / 3 / self._pixels
        return Rate(2 * step_s, step_s, self._load_s, image_s)

    def fit(self, variant: Variant) -> Fit:
        return Fit(20.0, 0.2)


def plan_of(
    machine: Machine, hours: float, scenes: int, gpus: int = 0, measure: str = "mae"
) -> Plan:
    return _Planner(machine, hours, measure, scenes, gpus).plan(Path())


LAPTOP, CARD = 4e6, 1e9
CASES = {
    "a laptop's half hour": (Known(LAPTOP, 45), 0.5, 10, 0),
    "a laptop's night": (Known(LAPTOP, 45), 8, 100, 0),
    "a card's night": (Known(CARD, 81_391, 1000), 8, 5000, 0),
    "eight cards' weekend": (Known(CARD, 81_391, 1000), 60, 5000, 8),
}


@pytest.mark.parametrize("case", CASES)
def test_everything_ends_within_the_hours_and_the_time_is_used(case: str) -> None:
    machine, hours, scenes, gpus = CASES[case]
    made = plan_of(machine, hours, scenes, gpus)
    planned = sum(made.minutes.values())
    assert planned <= hours * 60 * 1.001
    assert made.minutes["kept_back"] == pytest.approx(hours * 60 * KEPT_BACK, abs=0.01)
    capped = [
        each.settings["epochs"] + each.settings["decay_epochs"] for each in made.trainings[1:]
    ]
    assert capped and all(epochs >= 1 for epochs in capped)
    assert made.minutes["training"] > 0.1 * hours * 60


def test_a_member_of_the_larger_data_set_has_epochs_of_its_own_pairs() -> None:
    class Cloudy(Known):
        def data(self, dataset: int):
            more = places(12_000 if dataset == 1 else 0, "2")
            return SimpleNamespace(**vars(self._known) | {"chosen": self._known.chosen + more})

    machine = Cloudy(CARD, 8000, 100)
    made = plan_of(machine, 24, 500)
    (spade2,) = (each for each in made.trainings if each.variant == "spade2")
    assert spade2.chosen.dataset == 1
    steps = spade2.chosen.total_epochs * (20_000 // spade2.chosen.batch)
    assert steps * machine.rate(spade2.chosen).step_s <= 60 * (spade2.minutes or 0.0)


def test_hours_and_machines_make_different_plans() -> None:
    plans = {case: plan_of(*given) for case, given in CASES.items()}
    night = plans["a laptop's night"]
    widths = [plan.trainings[1].settings["width"] for plan in plans.values()]
    assert widths[0] < widths[1] and widths[2] <= widths[3]
    assert night.folds == FOLDS and plans["a card's night"].folds == 1
    assert plans["eight cards' weekend"].folds == 1
    few = {each.variant for each in night.trainings}
    many = {each.variant for each in plans["eight cards' weekend"].trainings}
    assert "unet2" in few and "unet1" in many and not few & many - {"trees1"}


def test_the_largest_size_with_enough_steps_is_taken_and_too_long_a_training_cut() -> None:
    made = plan_of(Known(1e12, 45), 8, 10)
    settings = made.trainings[1].settings
    assert settings["width"] == recipe_for(45).sizes[-1].width
    steps = (settings["epochs"] + settings["decay_epochs"]) * (45 * 4 // 5 // settings["batch"])
    most = recipe_for(45).most_steps
    assert most * 0.99 < steps <= most


@pytest.mark.parametrize(("pairs", "hours"), [(45, 0.5), (45, 24), (4_000, 24), (4_000, 200)])
def test_networks_with_batch_norm_see_eight_crops_in_a_step(pairs: int, hours: float) -> None:
    """Their statistics of fewer are far from those of all pairs, which they predict with."""
    batches = {True: set[int](), False: set[int]()}
    for each in plan_of(Known(LAPTOP, pairs), hours, 10).trainings[1:]:
        batches["batch" in each.chosen.norm].add(each.chosen.batch)
    assert batches[True] == {8} and batches[False] <= {4, 8}
    assert recipe_for(45).sizes_of(VARIANTS["nafnet2"])[0].batch == 4


def test_views_are_as_many_as_the_time_admits() -> None:
    assert plan_of(Known(LAPTOP, 45), 2, 10).flips == 8
    assert plan_of(Known(LAPTOP, 45), 0.5, 1000).flips == 1


def test_predicting_takes_from_training_what_it_lacks() -> None:
    many, few = (plan_of(Known(LAPTOP, 45), 1, scenes) for scenes in (2_000, 10))
    assert many.minutes["training"] < few.minutes["training"]
    assert sum(many.minutes.values()) <= 60.06


def test_the_measure_decides_the_space_of_the_members() -> None:
    made = plan_of(Known(CARD, 81_391), 8, 100, measure="official_2022")
    assert {each.chosen.target for each in made.trainings} == {"minmax"}
    assert "no variant of it is trained for official_2022" in made.left_out["spade2"]


def test_what_cannot_be_trained_is_left_out_with_its_reason() -> None:
    class Bare(Known):
        def fit(self, variant: Variant) -> Fit:
            raise Unsuitable("LightGBM is not installed")

        def rate(self, variant: Variant) -> Rate:
            if variant.width > 8:
                raise Unsuitable(f"width {variant.width} does not fit the memory")
            return super().rate(variant)

    made = plan_of(Bare(1e12, 45), 8, 10)
    assert made.left_out["trees1"] == "LightGBM is not installed"
    assert {each.settings["width"] for each in made.trainings} == {8}


def test_a_network_that_memory_does_not_hold_makes_room_for_the_next() -> None:
    class Small(Known):
        def rate(self, variant: Variant) -> Rate:
            if variant.model == "unet":
                raise Unsuitable("width 8, crop 96, batch 4 does not fit the memory")
            return super().rate(variant)

    made = plan_of(Small(LAPTOP, 45), 2, 10)
    assert [each.variant for each in made.trainings] == ["trees1", "nafnet2"]
    assert made.left_out["unet2"] == "width 8, crop 96, batch 4 does not fit the memory"


def test_hours_that_suffice_for_nothing_say_how_many_do() -> None:
    with pytest.raises(InputError, match=r"any variant: trees1: .*\n.*give .* hours or more"):
        plan_of(Known(1e5, 45), 0.01, 10)


@pytest.mark.parametrize("held", [0, 2, 20])
@pytest.mark.parametrize("fit_s", [2.0, 2000.0])
@pytest.mark.parametrize("pixels", [1e5, 4e6])
def test_the_hours_that_it_asks_for_suffice(held: int, fit_s: float, pixels: float) -> None:
    machine = Known(pixels, 45, held)
    machine.fit = lambda variant: Fit(fit_s, 0.2)  # type: ignore[method-assign]
    with pytest.raises(InputError) as error:
        plan_of(machine, 0.001, 10)
    asked = float(error.value.remedy.split()[1])
    assert plan_of(machine, asked, 10).trainings
    with pytest.raises(InputError):
        plan_of(machine, asked / 2, 10)
    assert "end in the 0 s of a run" in str(error.value)


@pytest.mark.parametrize("hours", [0.0, float("inf"), float("nan")])
def test_what_is_no_number_of_hours_is_refused_before_anything_is_measured(hours: float) -> None:
    machine = Known(LAPTOP, 45)
    with pytest.raises(InputError, match=r"--hours: .* no time to plan with"):
        plan_of(machine, hours, 10)
    assert not machine.measured


def test_there_are_no_more_folds_than_places() -> None:
    machine = Known(LAPTOP, 45, held=2)
    machine._known.chosen = [Pair((f"{n % 3}", "0")) for n in range(45)]
    assert plan_of(machine, 2, 10).folds == 3
    machine._known.chosen = [Pair(("0", "0"))] * 45
    with pytest.raises(InputError, match=r"has 1 place to train on and 2 held out\n.*3 places"):
        plan_of(machine, 2, 10)


def test_a_run_of_the_smallest_fold_ends_in_time() -> None:
    """Of 9 pairs in 5 folds one holds out a single one: 8 pairs are 2 steps, and 7 are 1."""
    few = plan_of(Known(LAPTOP, 9, held=2), 0.4, 10)
    settings = few.trainings[-1].settings
    steps = (settings["epochs"] + settings["decay_epochs"]) * 2
    step_s = settings["width"] * settings["crop"] ** 2 * settings["batch"] / LAPTOP
    assert few.folds == 5 and few.trainings[-1].minutes * 60 > 5 * steps * step_s


def test_without_a_hold_out_there_are_folds() -> None:
    assert plan_of(Known(LAPTOP, 45, held=2), 0.15, 10).folds == FOLDS


def test_a_pack_pays_where_reading_is_slower_than_training() -> None:
    assert not plan_of(Known(LAPTOP, 45), 2, 10).pack
    assert plan_of(Known(LAPTOP, 45, load_s=5.0), 2, 10).pack


def test_a_fit_is_left_out_where_it_would_take_a_third_of_the_time() -> None:
    machine = Known(LAPTOP, 45)
    machine.fit = lambda variant: Fit(2000.0, 0.2)  # type: ignore[method-assign]
    assert "would take more than a third" in plan_of(machine, 0.5, 10).left_out["trees1"]


def test_where_none_is_held_out_folds_score_what_is_trained_on_all_pairs() -> None:
    made = plan_of(Known(LAPTOP, 45, held=0), 0.5, 10)
    assert made.all_pairs and made.folds == FOLDS
    assert sum(made.minutes.values()) <= 30.03
    assert not plan_of(Known(LAPTOP, 45), 0.5, 10).all_pairs


def test_where_nothing_is_held_out_a_slow_machine_has_fewer_folds_and_not_fewer_networks() -> None:
    class Fast(Known):
        def fit(self, variant: Variant) -> Fit:
            return Fit(3.0, 0.1)

    pixels = (12e6, 6e6, 3e6)
    made = [
        plan_of(Fast(each, 45, held=0), hours, 10) for hours in (0.085, 0.17) for each in pixels
    ]
    networks = [(each.folds, len(each.trainings) - 1) for each in made]
    assert networks == [(5, 1), (3, 1), (5, 0), (5, 2), (3, 2), (3, 1)]
    assert all(each.all_pairs for each in made)
    assert plan_of(Fast(6e6, 45, held=11), 0.085, 10).folds == 1


def test_on_several_cards_a_run_on_all_pairs_follows_its_folds() -> None:
    """However many cards there are, one run after another takes twice as long as one."""
    made = plan_of(Known(LAPTOP, 45, held=0), 0.5, 10, gpus=32)
    assert made.all_pairs and len(made.trainings) == 3
    longest = max((each.minutes or 0.0) / 6 for each in made.trainings)
    assert made.minutes["training"] >= 1.99 * longest
    assert sum(made.minutes.values()) <= 30.03


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [LAPTOP, 5 * LAPTOP, CARD])
@pytest.mark.parametrize("measure", ["mae", "official_2022"])
def test_one_more_pair_does_not_make_another_plan(pixels: float, measure: str) -> None:
    """As the number of pairs grows, a network grows or shrinks by one size at a time."""
    widths = [8, 16, 32, 64]
    few, many = (99, 150, 199, 300, 499, 500), (500, 700, 999, 1_500, 1_999, 4_999, 20_000, 80_000)
    for held, counts in ((0, few), (20, few), (100, many)):
        for count in counts:
            one, more = (
                plan_of(Known(pixels, n, held), 8, 200, 0, measure) for n in (count, count + 1)
            )
            first, second = (plan.trainings[1].settings for plan in (one, more))
            assert one.folds == more.folds
            assert abs(widths.index(first["width"]) - widths.index(second["width"])) <= 1
            epochs = [each["epochs"] + each["decay_epochs"] for each in (first, second)]
            assert max(epochs) < 4 * (min(epochs) + 1)  # crops of twice the side; whole epochs


def test_of_hundreds_of_pairs_a_laptop_trains_no_smaller_network_than_of_dozens() -> None:
    dozens, hundreds = (
        plan_of(Known(LAPTOP, pairs, held), 8, 200, 0, "official_2022").trainings[1]
        for pairs, held in ((45, 0), (501, 100))
    )
    assert (dozens.variant, hundreds.variant) == ("unet2m", "unet2m")
    assert hundreds.settings["width"] == dozens.settings["width"] == 32


def test_a_card_uses_its_time_for_hundreds_of_pairs() -> None:
    plans = [plan_of(Known(CARD, pairs, 0), 8, 200) for pairs in (45, 500)]
    assert plans[1].minutes["training"] > 10 * plans[0].minutes["training"]


def test_where_much_is_held_out_folds_are_for_time_that_is_left() -> None:
    laptop, card = (plan_of(Known(pixels, 500, 100), 8, 200) for pixels in (LAPTOP, CARD))
    assert (laptop.folds, card.folds) == (1, FOLDS)
    assert plan_of(Known(LAPTOP, 200, 40), 8, 200).folds == FOLDS


class Seen(Known):
    """A machine whose pairs show each place at several dates, of which some are held out."""

    def __init__(self, pixels: float, pairs: int, held: int) -> None:
        super().__init__(pixels, pairs, held)
        chosen, places = self._known.chosen, max(held, pairs // 4)
        self._known.chosen = [Pair((f"{n % places}", "0")) for n in range(len(chosen))]
        self._known.holdout = [Pair((f"{n}", "0")) for n in range(held)]


def test_where_places_recur_members_have_the_prior_and_nothing_is_in_folds() -> None:
    made = plan_of(Seen(LAPTOP, 45, 11), 2, 10)
    assert made.folds == 1 and not made.all_pairs
    assert [each.variant for each in made.trainings] == ["trees1", "prior1", "unet2", "nafnet2"]
    assert all(each.chosen.prior for each in made.trainings)
    server = plan_of(Seen(LAPTOP, 45, 11), 2, 10, measure="official_2022").trainings
    assert [each.variant for each in server] == ["trees1m", "prior1m", "unet2m", "nafnet2m"]
    assert {each.chosen.target for each in server} == {"minmax"}
    # Of few places kit fit takes the mean of all members, so that each must be worth it.
    assert len(plan_of(Seen(LAPTOP, 45, 5), 2, 10).trainings) == 3
    # Nothing could be fitted on two places, and elsewhere no place has a prior.
    few = plan_of(Seen(LAPTOP, 45, 2), 2, 10)
    elsewhere = _Planner(Seen(LAPTOP, 45, 11), 2, "mae", 10, 0, recurring=False).plan(Path())
    for plan in (few, elsewhere, plan_of(Known(LAPTOP, 45, 11), 2, 10)):
        assert plan.folds == FOLDS and not any(each.chosen.prior for each in plan.trainings)
