"""The funnel from optical scenes to pairs, and why the others were left out."""

import numpy as np

from kit.pairs.table import Pair
from kit.reporting.artefacts import Artefacts, ScreenedScenes
from kit.reporting.blocks import Bar, Bars, Block, Section, Table, Text, Tone
from kit.tiles.units import clipping

_STAGES = (
    "radar within the window",
    "no nodata",
    "Dataset-1: no QA60 cloud",
    "Dataset-2: no cloud",
)
_CLOUDY = ("with cloud by the rule", "with cloud or shadow by rule and detector")


def funnel(found: Artefacts) -> Section | None:
    """From scenes to Dataset-2, the split of that, and the reasons; None without scenes."""
    scenes = found.scenes
    if scenes is None and not found.pairs:
        return None
    blocks: list[Block] = []
    optical = int(scenes.is_optical.sum()) if scenes else len(found.pairs)
    if found.pairs:
        detector = "detector" in found.summary.get("settings", {})
        bars = _of_pairs(optical, found.pairs, detector)
        blocks += [Bars(bars, "Optical scenes"), Bars(_split(found.pairs), "Dataset-2 is split")]
        window = found.summary.get("settings", {}).get("window_days")
        days = f" {window} days or less apart" if window is not None else ""
        lead = f"{len(found.pairs):,} pairs of a radar and an optical scene{days}; "
        lead += f"{bars[-1].count:,} of them show no cloud."
    else:
        assert scenes
        bars = _of_scenes(optical, scenes)
        blocks += [Bars(bars, "Optical scenes"), Text("No pairs yet.", "kit prepare DATA")]
        radar = len(scenes.is_optical) - optical
        lead = f"{optical:,} optical and {radar:,} radar scenes are screened, and not yet paired."
    if found.rejected:
        rows = [(kind, f"{count:,}") for kind, count in found.rejected.most_common()]
        blocks.append(Table(("reason", "number"), rows, "Left out before"))
    clipped = found.summary.get("clipped", {})
    if clipped:
        text = clipping(clipped)
        blocks.append(Text(f"{text[0].upper()}{text[1:]}."))
    return Section("data", "From scenes to pairs", "Data", lead, tuple(blocks))


def _of_pairs(optical: int, pairs: tuple[Pair, ...], detector: bool) -> tuple[Bar, ...]:
    whole = sum(pair.nodata == 0 for pair in pairs)
    clear, clearest = (sum(getattr(pair, f"dataset{n}") for pair in pairs) for n in (1, 2))
    reasons = (
        "without radar near in date",
        "with nodata",
        "with QA60 cloud",
        _CLOUDY[detector],
    )
    return _bars(optical, (len(pairs), whole, clear, clearest), _STAGES, reasons)


def _of_scenes(optical: int, scenes: ScreenedScenes) -> tuple[Bar, ...]:
    whole = scenes.is_optical & (scenes.nodata == 0)
    clear = whole & (scenes.qa60 == 0)
    clearest = clear & scenes.clear
    counts = tuple(int(np.count_nonzero(each)) for each in (whole, clear, clearest))
    last = "clear by rule and detector" if scenes.detector else "no cloud by the rule"
    reasons = ("with nodata", "with QA60 cloud", _CLOUDY[scenes.detector])
    return _bars(optical, counts, ("no nodata", "no QA60 cloud", last), reasons)


def _bars(
    optical: int, counts: tuple[int, ...], stages: tuple[str, ...], reasons: tuple[str, ...]
) -> tuple[Bar, ...]:
    longest = max(optical, *counts, 1)
    bars = [Bar("readable", optical, optical / longest, "muted")]
    before = optical
    for stage, count, reason in zip(stages, counts, reasons, strict=True):
        lost = f"-{before - count:,} {reason}" if before > count else ""
        bars.append(Bar(stage, count, count / longest, "train", lost))
        before = count
    return tuple(bars)


def _split(pairs: tuple[Pair, ...]) -> tuple[Bar, ...]:
    kinds: tuple[tuple[str, str, Tone, str], ...] = (
        ("train", "to train on", "train", ""),
        ("holdout", "hold-out", "holdout", "set aside for scores"),
        ("buffer", "buffer", "buffer", "show ground of the hold-out"),
    )
    counts = {name: sum(p.dataset2 and p.split == name for p in pairs) for name, *_ in kinds}
    total = max(sum(counts.values()), 1)
    return tuple(
        Bar(label, counts[name], counts[name] / total, tone, note)
        for name, label, tone, note in kinds
        if counts[name] or name != "buffer"
    )
