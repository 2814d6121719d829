"""The hours that are given, and what this machine does in them -> a plan.

In: pairs, hours, a measure and the test tiles; measured rates. Out: a `Plan`. The rules, in order:

1. A tenth of the hours is kept back. Of the rest three quarters are for training; fitting,
   predicting and packaging have what is left, and take from training what they lack.
2. The number of pairs decides the recipe: variants in the order of what they add, and their sizes.
3. As many networks are trained as get enough steps in their smallest size; in folds, if that holds
   for two or more, and little is held out or each gets its largest size all the same. Each gets the
   largest size that has steps enough for it. Where nothing is held out, folds are fewer in too
   little time for five, and a run on all pairs follows them.
4. Where other dates of known places are held out and predicted, every member is given the prior,
   and there are no folds, which hold out whole places.
5. Each scene is predicted in as many views, 8, 4 or 1, as the time after training admits.
6. A pack pays where a batch takes longer to read than a step, and the disk has room for it.

Refused by name: hours in which nothing ends.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import torch

from kit.errors import InputError
from kit.fitting.selection import FEWEST_PLACES
from kit.hours import KEPT_BACK, hours_of, seconds_of
from kit.inputs.dataset import steps_per_epoch
from kit.intervals import ENOUGH_PLACES
from kit.metrics import check_measure
from kit.models.flips import FLIPS
from kit.pairs.table import PAIRS
from kit.plain_text import count_of
from kit.planning.afterwards import Afterwards, Lineup, Member
from kit.planning.inputs import find_radar, recur
from kit.planning.machine import Machine, Unsuitable
from kit.planning.plan import Plan, Training
from kit.planning.recipes import ENOUGH_HELD, FEWER_FOLDS, FOLDS, PRIOR, Size, recipe_for, variants
from kit.storage.files import WORK, AnyPath
from kit.training.hours import cost, within
from kit.training.rates import Rate
from kit.variants.registry import VARIANTS
from kit.variants.settings import Variant

_TRAINING_SHARE = 0.75  # of the time that is not kept back
_LONGEST = 1e8  # seconds, three years: what does not end in these never does
_TILE_BYTES = 10  # of a pixel of a pair: VV and VH in float16, three bands in uint16


def make_plan(
    hours: float,
    *,
    measure: str = "official_2022",
    test: AnyPath | None = None,
    source: str | None = None,
    work: AnyPath = WORK,
    gpus: int | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Decide what is trained, so that everything up to the archive ends within `hours`.

    Args:
        hours: for everything from now on.
        measure: what the ensemble is fitted for; an official one has members of the server's space.
        test: the tiles that are to be predicted; without them no time is kept for more than one
            view of as many scenes as there are pairs.
        source: the layout of `test`, see `kit.sources`; None to find it out.
        work: the folder that `prepare` wrote.
        gpus: trainings at a time, each on a card of its own; all that there are if None.
        report: called with what is measured.

    Raises:
        InputError: nothing ends within these hours, there are no pairs, or no test tiles.
    """
    check_measure(measure)
    radar = find_radar(Path(test), source) if test is not None else None
    machine = Machine(Path(work), report)
    count = torch.cuda.device_count()
    cards = gpus if gpus is not None else count if count > 1 else 0
    scenes = radar.number if radar else None
    recurring = radar is not None and recur(radar, machine.data(2).pairs)
    planner = _Planner(machine, hours, measure, scenes, cards, recurring=recurring)
    return planner.plan(Path(work))


class _Planner:
    """Applies the rules; `machine` measures what they ask for."""

    def __init__(
        self,
        machine: Machine,
        hours: float,
        measure: str,
        scenes: int | None,
        gpus: int,
        *,
        recurring: bool = True,
    ) -> None:
        self.machine = machine
        self.hours = hours
        self.measure = measure
        self.gpus = gpus
        data = machine.data(2)
        self.pairs = len(data.chosen)
        places, held = ({pair.place for pair in part} for part in (data.chosen, data.holdout))
        self.places, self.held_places = len(places), len(held)
        self.holdout = len(data.holdout)
        self.scored = self.held_places >= FEWEST_PLACES
        self.prior = recurring and self.scored and not places.isdisjoint(held)
        predicted = self.pairs if scenes is None else scenes
        self.after = Afterwards(machine.start_s, self.pairs, self.holdout, predicted)
        self.recipe = recipe_for(self.pairs)
        if self.prior and self.held_places >= ENOUGH_PLACES:  # or kit fit could not leave it out
            self.recipe = replace(self.recipe, members=(*self.recipe.members, PRIOR))
        self.seconds = seconds_of(hours)
        self.spent = 0.0

    def plan(self, work: Path) -> Plan:
        """The plan.

        Raises:
            InputError: nothing ends within the hours, or nothing could be fitted after them.
        """
        if not self._folds():
            places = count_of(self.places, "place")
            problem = f"has {places} to train on and {self.held_places} held out"
            remedy = f"kit fit scores on {FEWEST_PLACES} places or more: add tiles of others"
            raise InputError(work / PAIRS, problem, remedy=remedy)
        started = time.monotonic()
        self._lineup()  # which measures; what follows does not
        self.spent = time.monotonic() - started
        self.seconds -= self.spent
        chosen = self._lineup()
        if not chosen.members:
            raise self._too_short(chosen)
        training = self._training_seconds(chosen)
        left = self.seconds - training
        flips = next((n for n in reversed(FLIPS) if self.after.total(chosen, n) <= left), 1)
        minutes = {
            "training": training / 60,
            "fitting": self.after.fitting(chosen) / 60,
            "predicting": self.after.predicting(chosen, flips) / 60,
            "packaging": self.after.packaging() / 60,
            "kept_back": self.hours * 60 * KEPT_BACK,
        }
        return Plan(
            hours=round(self.hours, 4),
            machine=self.machine.name,
            pairs=self.pairs,
            measure=self.measure,
            folds=chosen.folds,
            all_pairs=chosen.all_pairs,
            flips=flips,
            pack=self._pack_pays(chosen, work),
            gpus=self.gpus,
            trainings=tuple(map(_as_training, chosen.members)),
            minutes={name: round(value, 2) for name, value in minutes.items()},
            left_out=chosen.left_out,
        )

    def _folds(self) -> tuple[int, ...]:
        """How many folds are tried in turn; 1 alone needs a hold-out that kit fit can score on."""
        most = min(FOLDS, self.places)  # a fold holds out whole places
        if not self.scored:
            return (most, min(FEWER_FOLDS, most)) if most > 1 else ()
        return (1,) if most < 2 or self.prior else (most, 1)

    def _lineup(self) -> Lineup:
        """Members that end in time: in folds where two networks do, or where kit fit needs them."""
        best = Lineup((), 1, False, {})
        for folds in self._folds():
            lineup = self._members(_TRAINING_SHARE * self.seconds, folds)
            after = self.after.total(lineup, 1)
            if after > (1 - _TRAINING_SHARE) * self.seconds:
                lineup = self._members(self.seconds - after, folds)
            if self._training_seconds(lineup) + self.after.total(lineup, 1) > self.seconds:
                lineup = lineup._replace(members=())
            if len(lineup.networks) >= 2 and (folds == 1 or self._folds_pay(lineup.networks)):
                return lineup
            if self.scored or not best.members or (lineup.networks and not best.networks):
                best = lineup
        return best

    def _folds_pay(self, networks: Sequence[Member]) -> bool:
        """Whether little is held out, or networks lack neither size nor steps in folds."""
        largest, steps = self.recipe.sizes[-1].width, self.recipe.most_steps / 2
        served = (each.variant.width == largest and each.steps >= steps for each in networks)
        return self.holdout < ENOUGH_HELD or all(served)

    def _members(self, seconds: float, folds: int) -> Lineup:
        """The members of the recipe that fit into so many seconds, each in so many folds."""
        left, left_out, members = seconds, dict[str, str](), list[Member]()
        networks = []
        every = variants(self.recipe, self.measure, prior=self.prior, left_out=left_out)
        for variant in every:
            try:
                if not variant.is_fitted:
                    self._smallest_rate(variant)
                    networks.append(variant)
                    continue
                fit = self.machine.fit(variant)
            except Unsuitable as reason:
                left_out[variant.name] = str(reason)
                continue
            run_s = fit.fit_s + self.machine.start_s + self._held(folds) * fit.image_s
            if self._rounds(1, folds) * run_s > left / 3:
                fits = count_of(self._runs(folds), "fit")
                why = f"{fits} of {run_s:.0f} s each would take more than a third of the time"
                left_out[variant.name] = why
                continue
            total_s = self._runs(folds) * run_s
            members.append(Member(variant, total_s, run_s, fit.image_s))
            left -= self._rounds(1, folds) * run_s
        for count in range(len(networks), 0, -1):
            share = left / self._rounds(count, folds) - self.machine.start_s
            steps = self.recipe.needed(count, folds)
            if all(self._smallest(each, share, folds, steps) for each in networks[:count]):
                why = f"too little time for {count + 1} networks: one would get too few steps"
                left_out |= {each.name: why for each in networks[count:]}
                members += [self._largest(each, share, folds) for each in networks[:count]]
                break
        else:
            left_out |= {each.name: self._why_not(each, left, folds) for each in networks}
        return Lineup(tuple(members), folds, self._all_pairs(folds), left_out)

    def _smallest(self, variant: Variant, seconds: float, folds: int, steps: int) -> bool:
        """Whether the smallest size of `variant` gets so many steps."""
        size = self.recipe.sizes_of(variant)[0]
        return self._sized(variant, size, seconds, folds, steps) is not None

    def _largest(self, variant: Variant, seconds: float, folds: int) -> Member:
        """`variant` in the largest size that gets steps enough for it, or else in the smallest."""
        best: Member | None = None
        for size in self.recipe.sizes_of(variant):
            try:
                steps = self.recipe.grow_steps if best else 1
                found = self._sized(variant, size, seconds, folds, steps)
            except Unsuitable:
                break
            if found is None:
                break
            best = found
        assert best is not None
        return best

    def _sized(
        self, variant: Variant, size: Size, seconds: float, folds: int, steps: int
    ) -> Member | None:
        """`variant` in a size, for as many epochs as end in time; None with fewer than `steps`."""
        sized = self.machine.sized(variant, size)
        rate = self.machine.rate(sized)
        pairs = self._trained_on(sized, folds)
        each = cost(sized, rate, pairs, self._held(folds))
        try:
            timed = within(sized, each, self._held(folds), seconds)
        except InputError:
            return None
        an_epoch = steps_per_epoch(pairs, sized.batch)
        if timed.total_epochs * an_epoch < steps:
            return None
        if (most := max(1, self.recipe.most_steps // an_epoch)) < timed.total_epochs:
            falling = round(most * timed.decay_epochs / timed.total_epochs)
            timed = replace(timed, epochs=max(1, most - falling), decay_epochs=falling)
        run_s = each.total_s(timed) + self.machine.start_s
        total_s = self._runs(folds) * run_s
        steps, waits = timed.total_epochs * an_epoch, rate.load_s > rate.step_s
        return Member(timed, total_s, run_s, rate.image_s, rate.read_s, steps, waits)

    def _smallest_rate(self, variant: Variant) -> Rate:
        """How fast `variant` is trained in its smallest size."""
        return self.machine.rate(self.machine.sized(variant, self.recipe.sizes_of(variant)[0]))

    def _why_not(self, variant: Variant, seconds: float, folds: int) -> str:
        step_s = self._smallest_rate(variant).step_s
        sized = self.machine.sized(variant, self.recipe.sizes_of(variant)[0])
        run_s = seconds / self._rounds(1, folds) - self.machine.start_s
        return (
            f"a step takes {step_s:.2g} s with {Size(sized.width, sized.crop, sized.batch)}, and "
            f"fewer than {self.recipe.needed(1, folds)} end in the {max(0.0, run_s):.0f} s of a run"
        )

    def _training_seconds(self, chosen: Lineup) -> float:
        """Seconds on all cards; none shorter than its longest run, for which a last one waits."""
        total = sum(each.total_s for each in chosen.members)
        longest = max((each.longest_s for each in chosen.members), default=0.0)
        return max(total / max(1, self.gpus), longest) + longest * self._waits(chosen.folds)

    def _all_pairs(self, folds: int) -> bool:
        """Whether a run on all pairs follows the folds: where none of them is held out."""
        return folds > 1 and not self.holdout

    def _runs(self, folds: int) -> int:
        return folds + self._all_pairs(folds)

    def _held(self, folds: int) -> int:
        """The pairs that a run is validated on."""
        return self.holdout or (self.pairs // folds if folds > 1 else 0)

    def _trained_on(self, variant: Variant, folds: int) -> int:
        """The pairs of the run that takes longest: that on all, or that of the smallest fold."""
        pairs = len(self.machine.data(variant.dataset).chosen)
        whole = folds == 1 or self._all_pairs(folds)
        return pairs if whole else pairs - pairs // folds

    def _waits(self, folds: int) -> bool:
        """Whether cards may have to wait, since a run on all pairs follows its folds."""
        return self.gpus > 1 and self._all_pairs(folds)

    def _rounds(self, members: int, folds: int) -> int:
        """How many runs follow each other on a card, or are waited for."""
        return -(-members * self._runs(folds) // max(1, self.gpus)) + self._waits(folds)

    def _pack_pays(self, chosen: Lineup, work: Path) -> bool:
        pixels = sum(pair.height * pair.width for pair in self.machine.data(1).pairs)
        room = shutil.disk_usage(work).free > 2 * _TILE_BYTES * pixels
        return room and any(each.waits for each in chosen.members)

    def _too_short(self, chosen: Lineup) -> InputError:
        reasons = "; ".join(f"{name}: {why}" for name, why in [*chosen.left_out.items()][:3])
        problem = f"{self.hours:.3g} hours are too short to train any variant: {reasons}"
        seconds = max(1.0, self.seconds)
        while not self._suffice(seconds):
            seconds *= 1.25
            if seconds > _LONGEST:
                return InputError(
                    "--hours", problem, remedy="remove these reasons; more hours do not help"
                )
        least = 1.1 * hours_of(self.spent + seconds)
        remedy = f"give {least:.2g} hours or more, or train one variant with --hours"
        return InputError("--hours", problem, remedy=remedy)

    def _suffice(self, seconds: float) -> bool:
        """Whether anything in its smallest size ends in so many seconds."""
        every = variants(self.recipe, self.measure, prior=self.prior)
        other = copy(self)  # larger sizes would have to be measured
        other.seconds, other.recipe = seconds, self.recipe.in_smallest_sizes(every)
        return bool(other._lineup().members)


def _as_training(member: Member) -> Training:
    variant = member.variant
    fields = ("width", "crop", "batch", "precision", "epochs", "decay_epochs", "validations")
    sized = {} if variant.is_fitted else {name: getattr(variant, name) for name in fields}
    if variant.prior and not VARIANTS[variant.name].prior:
        sized["prior"] = True
    return Training(variant.name, sized, round(member.total_s / 60, 2))
