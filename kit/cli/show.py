"""What a command found -> tables and lines for the reader.

In: the result of a command. Out: words on stderr, the last of them what to run next.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.cli.console import say, table
from kit.metrics import RULES
from kit.tiles.rejection import REJECTED, tally
from kit.variants import ENSEMBLES, PAPER, PAPER_LEADERBOARD, VARIANTS, Variant

_SHOWN = 20

if TYPE_CHECKING:
    from kit.archive.check import Checked
    from kit.cli.doctor import Finding
    from kit.engines.compile import Built
    from kit.pairs.pack import Packed, Plan
    from kit.pairs.summary import Summary
    from kit.prediction.predict import Prediction
    from kit.runs.status import Status
    from kit.scoring.codabench import Scored
    from kit.scoring.score import Report
    from kit.screening.screen import Screening
    from kit.screening.sensitivity import Effects
    from kit.simulation.simulate import World
    from kit.submission.leaderboard import Logged, Standings
    from kit.submission.package import Package
    from kit.submission.reproduce import Reproduction
    from kit.training.train import Run
    from kit.training.train_all import Outcome
    from kit.training.validate import Row


def world(result: "World") -> None:
    """How much `kit simulate` made."""
    say(f"{result.train.parent}: {result.s1_scenes} radar and {result.s2_scenes} optical scenes, "
        f"{result.tiles} tiles")  # fmt: skip
    say(f"next: kit prepare {result.train}")


def summary(result: "Summary", work: Path) -> None:
    """The paper's numbers for a folder of tiles, and what was left out."""
    rows = [
        ("Sentinel-1 scenes", result.scenes_s1),
        ("Sentinel-2 scenes", result.scenes_s2),
        ("pairs", result.pairs),
        ("Dataset-1: no nodata, no cloud by QA60", result.dataset1),
        ("Dataset-2: and no cloud by the heuristic", result.dataset2),
        ("hold-out, from Dataset-2", result.holdout),
        ("to train on: Dataset-1", result.train1),
        ("to train on: Dataset-2", result.train2),
    ]
    table("Data", ("", "number"), rows)
    if result.dropped:
        table(f"Left out ({work / REJECTED})", ("why", "number"), [*result.dropped.items()])
    if not result.holdout:
        say("no hold-out: a fifth of Dataset-2 is less than one pair, so nothing can be validated")
    say("next: kit train spade2; or kit pack first, to train from a few large files")


def screening(result: "Screening", tried: "Effects", work: Path) -> None:
    """What the tiles are like, and what each option of the cloud rule does to Dataset-2."""
    rows = [
        ("Sentinel-1 scenes", result.scenes_s1),
        ("Sentinel-2 scenes", result.scenes_s2),
        ("of these without nodata and QA60 cloud, as for Dataset-1", result.dataset1),
        ("and without heuristic cloud, as for Dataset-2", result.dataset2),
        ("read in this run", result.measured),
    ]
    table("Scenes", ("", "number"), rows)
    if result.rejected:
        left_out = [*tally(result.rejected).items()]
        table(f"Left out ({work / REJECTED})", ("why", "number"), left_out)
    if tried.sampled:
        some = f"{tried.sampled:,} of " if tried.sampled < tried.scenes else "all "
        table(
            f"Dataset-2 with one option changed ({some}{tried.scenes:,} scenes of Dataset-1)",
            ("option", "value", "kept", "change", "share"),
            [
                (
                    row.option if row.value == "-" else f"--{row.option.replace('_', '-')}",
                    row.value,
                    row.kept,
                    f"{row.kept - tried.rows[0].kept:+}",
                    f"{row.kept / tried.sampled:.1%}",
                )
                for row in tried.rows
            ],
        )
    else:
        say("no scene is without nodata and QA60 cloud: there is nothing to try other rules on")
    say(
        "next: kit prepare with the same DATA and cloud options; what is screened is not read again"
    )


def plan(result: "Plan") -> None:
    """What `kit pack` is about to write, and the room for it."""
    all_bytes, todo, free = map(_gigabytes, (result.bytes, result.bytes_to_write, result.free))
    say(f"{result.folder}: {result.pairs:,} pairs in {result.shards} shards, {all_bytes}; "
        f"to be written: {result.shards_to_write} shards, {todo}; free: {free}")  # fmt: skip


def packed(result: "Packed") -> None:
    """What a pack holds."""
    rows = [
        ("pairs", f"{result.pairs:,}"),
        ("shards", result.shards),
        ("of these there before", result.shards_before),
        ("shards taken away", result.shards_removed),
        ("bytes", f"{result.bytes:,}"),
    ]
    table(f"Pack ({result.folder})", ("", "number"), rows)
    say("next: kit train spade2, which now reads the pack and no tile")


def event(record: dict[str, Any]) -> str:
    """What a record of a training says that is worth a line of its own; "" if nothing."""
    if "note" in record:
        return str(record["note"])
    if "whole_s" in record:
        return f"takes {duration(record['whole_s'])} as a whole at this rate"
    if "holdout_mae" in record:
        mae, psnr = record["holdout_mae"], record["holdout_psnr"]
        weights = f" ({record['weights']} weights)"
        return f"epoch {record['epoch']}: hold-out MAE {mae:.5f}, PSNR {psnr:.2f} dB{weights}"
    for name, value in record.items():
        if name.endswith("_spike"):
            who = name.removesuffix("_spike")
            return f"step {record['step']}: shortened the {who}'s gradient, {value:.0f} times usual"
    return ""


def losses(record: dict[str, Any]) -> str:
    """The losses and the rate of a record, in a few words."""
    values = [f"{name} {record[name]:.4f}" for name in ("l1", "gan") if name in record]
    return f"{' '.join(values)} {record['images_per_s']} images/s"


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days, whichever is easiest to read."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def status(found: "Sequence[Status]") -> None:
    """How far every run is."""
    table(
        "Runs",
        ("variant", "state", "step", "of", "images/s", "left", "best MAE", "at step"),
        [
            (
                run.variant,
                run.state,
                run.step,
                run.steps or "",
                f"{run.images_per_s:.1f}" if run.images_per_s else "",
                duration(run.left_s) if run.left_s else "",
                f"{run.mae:.5f}" if run.mae is not None else "",
                run.mae_step if run.mae_step is not None else "",
            )
            for run in found
        ],
    )
    for run in (run for run in found if run.command):
        say(f"to go on with {run.variant}: {run.command}")


def outcomes(found: "Sequence[Outcome]") -> None:
    """How each of several trainings ended."""
    rows = [
        (each.variant, f"exit code {each.exit_code}" if each.exit_code else "done",
         duration(each.seconds))
        for each in found
    ]  # fmt: skip
    table("Trained", ("variant", "end", "took"), rows)
    failed = [each.variant for each in found if each.exit_code]
    others = "; the others are trained" if len(failed) < len(found) else ""
    say(f"failed: {', '.join(failed)}{others}" if failed else "next: kit validate")


def run(result: "Run") -> None:
    """How a training ended."""
    best = f", best hold-out MAE {result.mae:.5f}, PSNR {result.psnr:.2f} dB" if result.mae else ""
    say(f"{result.folder}: {result.steps} steps on {result.pairs} pairs{best}")
    say(f"next: kit validate, or kit predict --ensemble {result.folder.name} --input TEST")


def validation(rows: "Sequence[Row]") -> None:
    """Table 1 for the data at hand, beside the paper's."""
    table(
        f"Hold-out of {rows[0].scores.n} pairs",
        ("variant", "MAE", "PSNR", "pooled PSNR", "paper's MAE", "paper's PSNR"),
        [
            (
                row.variant if row.target == "reflectance" else f"{row.variant} ({row.target})",
                f"{row.scores.mae:.5f}",
                f"{row.scores.psnr:.2f}",
                f"{row.scores.psnr_pooled:.2f}",
                *((f"{row.paper[0]:.5f}", f"{row.paper[1]:.2f}") if row.paper else ("", "")),
            )
            for row in rows
        ],
    )
    ranked = sorted(rows[1:], key=lambda row: row.scores.mae)
    best = [row.variant for row in ranked if row.target == ranked[0].target][:3]
    say(f"next: kit predict --ensemble {','.join(best)} --input TEST")


def prediction(result: "Prediction", folder: Path) -> None:
    """What was predicted, and what could not be."""
    names = ", ".join(result.members)
    say(f"{folder}: {result.scenes} scenes by {names}; {result.done} images made, "
        f"{result.skipped} were there")  # fmt: skip
    for name, drew in result.engines.items():
        say(f"{name}: drawn by " + " and ".join(map(_engine, drew)))
    for scene, share in result.nodata.items():
        say(f"nodata in {share:.2%} of the radar scene {scene}: taken for lowest backscatter")
    if result.rejected:
        table("Left out", ("what", "why"), [(item.name, item.reason) for item in result.rejected])
    say("next: kit package")


def engines(result: "Sequence[Built]") -> None:
    """What will draw for each variant, how fast it was here, and what it changes."""
    rows = [
        (b.variant, b.backend, b.precision, f"{b.height}x{b.width}",
         f"{b.rate:.3g}" if b.rate else "-", b.gate) for b in result
    ]  # fmt: skip
    table("Engines", ("variant", "backend", "in", "tiles", "images/s", "gate"), rows)
    if any(b.rate is None for b in result):
        say("next: copy runs and engines to the machine with that card, and kit predict there")
    else:
        say("next: kit predict --ensemble " + ",".join(b.variant for b in result) + " --input TEST")


def rate(images: int, seconds: float) -> str:
    """So many images in so much time."""
    return f"{images:,} images in {seconds:.1f} s: {images / seconds:,.0f} images/s"


def archive(result: "Package", measure: str) -> None:
    """What was packaged, and how it scores; `measure` is what the leaderboard shows."""
    say(f"{result.archive}: {result.images} images, sha256 {result.sha256}")
    say(f"written {rate(result.images, result.write_seconds)}")
    say(f"checked {rate(result.images, result.check_seconds)}")
    if result.left_out:
        say(f"{result.left_out} predicted scenes are not on the expected list: left out")
    if result.scores:
        report(result.scores)
        say(f"the leaderboard shows {measure}: {result.scores.rows[-1].as_dict()[measure]:.5g}")
    say(f"next: upload it, or kit score {result.archive} TRUTH")


def report(result: "Report") -> None:
    """The scores of the baseline, each member and the archive, and what each number is."""
    rows = (*result.rows, *([result.other] if result.other else []))
    values = [row.as_dict() for row in rows]
    # A measure a line, so that all numbers stay whole on a terminal of 80 columns.
    lines = [
        (name, *("inf" if row[name] is None else f"{row[name]:.4g}" for row in values))
        for name in RULES
    ]
    titles = ("", *(row.name.partition(" (")[0] for row in rows))
    table(f"Scores of {result.rows[-1].scores.n} images", titles, lines)
    for name, rule in RULES.items():
        say(f"  {name}: {rule}")
    if result.unscored:
        first = result.unscored[0]
        say(f"{len(result.unscored)} images have no clear truth in the window, {first} first")
    for name in result.absent:
        say(f"no row for {name}: its predictions are gone, incomplete or made anew")


def checked(archive: Path, result: "Checked") -> None:
    """What the server would reject, and what it would pass over."""
    if result.findings:
        rows = [
            (f.name, "passed over" if f.harmless else "rejected", f.problem, f.remedy)
            for f in result.findings[:_SHOWN]
        ]
        table(f"{len(result.findings)} findings", ("what", "", "problem", "remedy"), rows)
        if len(result.findings) > _SHOWN:
            say(f"and {len(result.findings) - _SHOWN} more; --json lists them all")
    if result.ok:
        say(f"{archive}: {result.images} images; the server has no reason to reject it")


def codabench(result: "Scored") -> None:
    """The scores that a competition's leaderboard reads."""
    table("Scores", ("measure", "value"), [(k, f"{v:.6g}") for k, v in result.scores.items()])
    say(f"scores: {result.path}")


def reproduction(result: "Reproduction") -> None:
    """Which parts of an archive are there, and whether the same bytes came out."""
    rows = [(part.name, part.state, part.problem) for part in result.parts]
    table("Parts", ("what", "state", "problem"), rows)
    for part in result.parts:
        if part.remedy:
            say(f"{part.name}: {part.remedy}")
    if result.entries:
        first = ", ".join(result.entries[:_SHOWN])
        say(f"{len(result.entries)} images differ: {first}")
    for name, (then, now) in result.versions.items():
        say(f"{name} {then} then, {now} now")
    if result.same:
        say(f"the same bytes: sha256 {result.expected}")
    if result.out:
        say(f"written: {result.out}")


def logged(result: "Logged") -> None:
    """The score that was noted."""
    before = f" (before: {result.before})" if result.before else ""
    say(f"{result.name} of {result.time}: leaderboard {result.score:g}{before}")
    say("next: kit leaderboard")


def standings(result: "Standings") -> None:
    """All submissions, and which local score orders them as the server does."""
    measures = [agreement.measure for agreement in result.agreements]

    def cell(value: float | None) -> str:
        return "" if value is None else f"{value:.5g}"

    table(
        "Submissions",
        ("name", "members", *measures, "leaderboard"),
        [
            (
                row.name,
                row.members,
                *(cell(row.local[measure]) for measure in measures),
                cell(row.leaderboard),
            )
            for row in result.rows
        ],
    )
    for agreement in result.agreements:
        if agreement.tau is None:
            say(f"{agreement.measure}: no agreement to tell from {agreement.n} submissions")
        else:
            say(f"{agreement.measure} orders {agreement.n} submissions as the server does: "
                f"tau {agreement.tau:.2f}")  # fmt: skip
    if result.best:
        say(f"trust {' or '.join(result.best)} most")


def variants() -> None:
    """Table 1 and Table 2."""
    rows = []
    for v in VARIANTS.values():
        mae, psnr = PAPER.get(v.name, ("", ""))
        rows.append((v.name, v.model, _loss(v), v.dataset, mae, psnr))
    table("Variants", ("name", "model", "loss", "dataset", "paper's MAE", "paper's PSNR"), rows)
    table(
        "Ensembles",
        ("name", "members", "paper's leaderboard score"),
        [
            (name, ", ".join(who), PAPER_LEADERBOARD.get(name, ""))
            for name, who in ENSEMBLES.items()
        ],
    )
    say('next: kit train spade2, or one of your own: a TOML file with base = "spade2"')


def findings(result: "Sequence[Finding]") -> None:
    """What this machine will use."""
    table("This machine", ("", "", "why"), [(f.name, f.value, f.why) for f in result])


def _engine(described: dict[str, Any]) -> str:
    precision = described.get("precision")
    return f"{described['name']} in {precision}" if precision else str(described["name"])


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


def _loss(variant: Variant) -> str:
    parts = ["GAN"] if variant.gan else []
    return " + ".join([*parts, f"{variant.l1:g} L1" if variant.l1 != 1 else "L1"])
