"""Training: pairs -> a run folder.

In: a variant and the pair table. Out, in `runs/<variant>/`: `config.json`, `pairs.json`,
`metrics.jsonl`, sample grids, `checkpoints/` to resume from, `last.safetensors`, and
`weights.safetensors`, the best on the hold-out. The same command again resumes an interrupted
training, to the same end.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from kit.errors import InputError
from kit.hours import seconds_of
from kit.machine.cores import loader_threads
from kit.machine.device import keep_memory, pick, unreached
from kit.machine.distributed import ProcessGroup, local_ranks, process_group, restarted
from kit.plain_text import one_line
from kit.progress import Report
from kit.runs import earlier
from kit.runs import folder as folders
from kit.runs.notes import add_note
from kit.runs.planes import OF_OTHER_SCENES, planes_for_training
from kit.runs.records import read_records, truncate_records
from kit.storage.files import RUNS, WORK, AnyPath
from kit.storage.lock import lock
from kit.training import checkpoint
from kit.training.begin import begin_run, refuse_forgotten, unsaved_settings
from kit.training.child import patience
from kit.training.compiled import decide
from kit.training.ending import with_end
from kit.training.fitted import fit
from kit.training.hours import in_time
from kit.training.initial import Start, read_start, start_from
from kit.training.precision import settled, slower_here
from kit.training.run_data import make_setup, read_data
from kit.training.run_log import RunLog, Watch
from kit.training.setup import RunSetup
from kit.training.state import State
from kit.training.trainer import Trainer
from kit.variants.record import from_record, to_record
from kit.variants.registry import find_variant
from kit.variants.settings import Variant, setting_text, to_dict


@dataclass(frozen=True, slots=True)
class Run:
    """A finished training. `mae` and `psnr` are the best on the hold-out, None without one.

    What is fitted in one go has no steps.
    """

    folder: Path
    steps: int
    mae: float | None
    psnr: float | None
    pairs: int


def train(
    variant: Variant | str,
    *,
    work: AnyPath = WORK,
    runs: AnyPath = RUNS,
    groups: AnyPath | None = None,
    hours: float | None = None,
    init: AnyPath | None = None,
    note: str = "",
    overwrite: bool = False,
    workers: int | None = None,
    compile: bool | None = None,
    watch: Watch | None = None,
) -> Run:
    """Train `variant` on its data set, or resume its interrupted training.

    Started by torchrun, the processes share each batch, and rank 0 writes.

    Args:
        variant: model, losses, data set and schedule; or its name, as for `find_variant`.
        work: the folder that `prepare` wrote.
        runs: the folder of all runs; this one is `runs/<variant.name>`.
        groups: for one of several folds, a table of what is to be held out together, as
            `kit.pairs.groups` reads it; None for blocks of places.
        hours: after a few steps that are measured, train for as many epochs as end within so many
            hours, less a tenth; a run that goes on keeps those that were chosen at its start.
        init: a weights file to start from in place of random weights, as `kit.training.initial`
            takes it; a run that goes on needs none.
        note: what is to be remembered of the run, see `kit.runs.notes`.
        overwrite: train from the start even if the run exists, which goes when the new one has
            weights; if that ends before it has saved anything, it is there again.
        workers: threads that prepare batches ahead; 0 prepares each when it is needed, and None is
            as many as `kit.machine.cores.loader_threads` says.
        compile: compile the generator with torch.compile. None goes on as the run was started, and
            else compiles on CUDA, in one process, where a few steps show that it pays.
        watch: called with each record of `metrics.jsonl`.

    Raises:
        InputError: no pair table, no pair to train on, a pack that lacks one or is damaged, no
            intact checkpoint, or a batch that cannot be shared or is too large for the device;
            pairs that cannot be divided into so many folds; hours that end before an epoch;
            weights to start from that are of another network; or a torch.compile that fails.
        BusyError: the run exists with other settings or data, or another process trains it.
        CheckError: the loss is not finite; the last checkpoint is kept.
        OutputError: the disk is full; the last checkpoint is kept.
        KeyboardInterrupt: stopped by a signal, after saving; only in the main thread.
    """
    started = time.monotonic()
    work, runs = Path(work), Path(runs)
    variant = asked = find_variant(variant) if isinstance(variant, str) else variant
    folder = runs / variant.name
    # What the weights have seen too: with --overwrite they may lie in the folder that is cleared.
    start = read_start(Path(init), variant) if init is not None else None
    data = read_data(variant, work, Path(groups) if groups is not None else None)
    planes = planes_for_training(asked, work, data.reader, data.chosen, data.holdout)
    keep_memory()
    if workers is None:
        workers = loader_threads(pick().type == "cuda", local_ranks())
    with process_group() as group, ExitStack() as locks:
        _check(variant, len(data.chosen), group, hours)

        restored = ""

        def enter() -> None:
            nonlocal restored
            locks.enter_context(lock(folder, restarted(), patience()))
            locks.callback(earlier.settle, folder)
            if not restarted():
                earlier.settle(folder)
                if overwrite:
                    earlier.set_aside(folder)
            restored = checkpoint.restore_config(folder)

        unsaved = ending = ""

        def begin() -> None:
            nonlocal asked, variant, unsaved, ending
            if start is None and not overwrite:
                refuse_forgotten(folder)
            asked, ending = with_end(asked, data, start, folder)
            chosen = settled(asked, folder)
            unsaved = unsaved_settings(folder, chosen)
            variant = begin_run(folder, chosen, data, planes, start, compiled.compile)
            add_note(folder, note)

        group.on_main(enter)
        rate, setup = None, make_setup(asked, planes, data, folder, group)
        compiled = decide(setup, compile, hours, workers)
        if hours is not None:
            asked, rate = in_time(
                setup, hours, started, workers=workers, compile=compiled.compile, rate=compiled.rate
            )
        group.on_main(begin)
        variant = _of_main(group, variant, folder)
        torch.manual_seed(variant.seed)
        if any(getattr(variant, field) != getattr(asked, field) for field in OF_OTHER_SCENES):
            planes = planes_for_training(variant, work, data.reader, data.chosen, data.holdout)
        planes = replace(planes, variant=variant)
        setup = make_setup(variant, planes, data, folder, group)
        if variant.is_fitted:
            if unsaved and watch:
                watch({"note": unsaved})
            mae, psnr = fit(setup, watch)
            return Run(folder, 0, mae, psnr, len(data.chosen))
        told: list[str] = []
        state = group.on_all(lambda: _new_state(variant, start, told.append))
        group.on_all(lambda: _check_cells(setup, state.generator))
        log = RunLog(setup, state, watch)
        notes = (restored, unsaved, ending, unreached(), *_not_asked(folder, variant, asked))
        for line in filter(None, notes):
            log.note(line)
        if compiled.why:
            log.note(f"{folder}: {compiled.why}")
        if not _resume(setup, state, log):
            held = {str(pair.optical) for pair in (*data.holdout, *data.held)}
            for line in (*told, *(start.warnings(held, data.units) if start else ())):
                log.note(line)
        if hours is not None and rate:
            log.chosen_by_hours(hours, rate.step_s)
        Trainer(setup, state, log, compile=compiled.compile, workers=workers).run()
    return Run(folder, state.step, state.mae, state.psnr, len(data.chosen))


def _check(variant: Variant, pairs: int, group: ProcessGroup, hours: float | None) -> None:
    """Refuse hours of what has no epochs, hours that are none, and a batch that ranks cannot share.

    Each rank computes its share in as many parts.
    """
    if variant.is_fitted:
        if hours is not None:
            remedy = "leave --hours out: it is fitted in one go, in seconds or minutes"
            raise InputError(variant.name, "has no epochs that hours could choose", remedy=remedy)
        return
    if hours is not None:
        seconds_of(hours)
        if variant.ends_after:
            problem = f"ends_after={variant.ends_after} and --hours both say when it ends"
            raise InputError(variant.name, problem, remedy="leave one of the two out")
    shares, problem = group.world_size * variant.accumulate, ""
    if variant.batch % shares:
        divisors = f"{group.world_size} processes x accumulate={variant.accumulate}"
        problem = f"batch={variant.batch} is not divisible by {divisors}"
    elif shares > 1 and pairs < variant.batch:
        problem = f"batch={variant.batch} is more than the {pairs} pairs to train on"
    if problem:
        remedy = f"use --set batch=... with a multiple of {shares}, at most {pairs}"
        raise InputError(variant.name, problem, remedy=remedy)


def _of_main(group: ProcessGroup, variant: Variant, folder: Path) -> Variant:
    """The variant that rank 0 trains."""
    text = group.broadcast_text(json.dumps(to_record(variant)))
    return from_record(json.loads(text), folder, "")


def _not_asked(folder: Path, variant: Variant, asked: Variant) -> Iterator[str]:
    """Lines on the settings of a training that are not those asked for."""
    if not asked.validations:
        asked = replace(asked, validations=variant.validations)
    if variant.ends_after and not asked.ends_after:
        asked = replace(asked, ends_after=variant.ends_after)
        epochs = f"{variant.ends_after} of {variant.total_epochs} epochs"
        yield f"{folder}: ends after {epochs}, as it was started"
    if asked.precision == "auto":
        asked = replace(asked, precision=variant.precision)
        if slower := slower_here(variant):
            yield f"{folder}: {slower}"
    before, now = to_dict(variant), to_dict(asked)
    differences = [setting_text(f, before[f]) for f in before if before[f] != now[f]]
    if differences:
        yield f"{folder}: {', '.join(differences)}, as an earlier kit started it"


def _new_state(variant: Variant, start: Start | None, report: Report) -> State:
    def begin(generator: nn.Module) -> None:
        if start:
            weights = start.weights
            report(f"starts from {weights.path}, weights of {weights.variant.name}")
            start_from(generator, variant, weights, report)

    try:
        return State.new(variant, begin)
    except (RuntimeError, MemoryError) as error:
        problem = f"its networks cannot be created ({one_line(error)})"
        raise InputError(variant.name, problem, remedy="reduce its width") from None


def _check_cells(setup: RunSetup, generator: nn.Module) -> None:
    """Refuse a batch norm of a single value, for which the network would have to pad its input."""
    variant, ranks = setup.variant, setup.group.world_size
    images = min(variant.batch, len(setup.dataset)) // variant.accumulate // ranks
    crop = setup.dataset.crop
    if variant.norm != "instance" and images == 1 and crop <= getattr(generator, "shrink", 0):
        problem = f"a crop of {crop} is one cell, and one image at a time gives one value to norm"
        remedy = "compute two images or more at a time, or use --set norm=instance"
        raise InputError(variant.name, problem, remedy=remedy)


def _resume(setup: RunSetup, state: State, log: RunLog) -> bool:
    """Load the newest intact checkpoint that rank 0 sees; drop later metrics. Whether it did."""
    group, folder = setup.group, setup.folder / folders.CHECKPOINTS
    found = group.on_all(lambda: group.is_main and checkpoint.resume(state, folder, log.note))
    resumed, step = group.broadcast([found, state.step])

    def follow() -> None:
        if resumed and not group.is_main:
            checkpoint.load_when_visible(state, checkpoint.at_step(folder, step))

    group.on_all(follow)
    if resumed and state.batch == 0 and setup.is_over(state.epoch, state.best_step):
        log.note(f"finished before, at step {state.step}; --overwrite trains it from the start")
    elif resumed:
        log.note(f"resuming from step {state.step}")
        if state.counts != setup.variant.counts:
            by = state.counts.upper()
            log.note(f"{setup.folder}: weights are chosen by {by}, as an earlier kit started it")
    elif group.is_main and read_records(setup.folder):
        log.note("no checkpoint yet: starting at step 0")
    if group.is_main:
        truncate_records(setup.folder, state.recorded)
    return bool(resumed)
