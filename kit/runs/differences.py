"""What differs between runs: settings, data, and the weights that they started from.

In: the configuration of each run. Out: for each the values that set it apart. What more than half
of the runs share is usual and left out, and so is what a model does not use; all folds of a variant
are one run.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kit.plain_text import count_of
from kit.storage.files import json_sha256
from kit.variants.fold_names import base_name
from kit.variants.settings import Variant, setting_text, to_dict

# That of all pairs ends where its folds say, and they at the end of their schedule.
_OF_ONE_RUN = ("name", "fold", "ends_after")
_OF_A_FOLD = (
    "folds", "epochs", "decay_epochs", "validations", "patience", "accumulate", "precision", "clip",
    "seed",
)  # fmt: skip
_OF_TREES = ("trees", "leaves", "thresholds", "tile_statistics")
_OF_FITTED = (
    *_OF_TREES, "model", "dataset", "pixel_loss", "boxes", "lr", "date", "radar_dates", "prior",
    "target", "seed", "folds",
)  # fmt: skip


def settings_of(variant: Variant, others: dict[str, Any]) -> dict[str, Any]:
    """All that may set a run apart: the fields that its model uses, and what else is known."""
    fields = to_dict(variant)
    used = _OF_FITTED if variant.is_fitted else fields.keys() - {*_OF_ONE_RUN, *_OF_TREES}
    return {field: value for field, value in fields.items() if field in used} | others


def unlike(variant: Variant, first: Variant) -> str:
    """What keeps a variant and the first from being averaged as one, in words; "" if nothing does.

    Of the settings that their models use; folds may differ in how long they were trained, in how
    they were computed, and in their seeds.
    """
    one, two = settings_of(variant, {}), settings_of(first, {})
    fields = [f for f in one if f in two and f not in _OF_A_FOLD and one[f] != two[f]]
    if not fields:
        return ""
    own, other = (settings_text({field: each[field] for field in fields}) for each in (one, two))
    return f"was trained with {own}, but {first.name} with {other}"


def differences(runs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """For each run, by name, the settings that more than half of those that use them do not share.

    Args:
        runs: the settings of each, as `settings_of` gives them; folds under the name of their
            variant.
    """
    fields = dict.fromkeys(field for values in runs.values() for field in values)
    found: dict[str, dict[str, Any]] = {name: {} for name in runs}
    for field in fields:
        using = {name: values[field] for name, values in runs.items() if field in values}
        counts = Counter(map(json_sha256, using.values()))
        (usual, most), *_ = counts.most_common(1)
        for name, value in using.items():
            shared = json_sha256(value) == usual and 2 * most > len(using)
            if len(counts) > 1 and not shared:
                found[name][field] = value
    return found


def apart(runs: Iterable[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, str]]:
    """What sets runs apart, in lines: the folds of a variant share one, and what is usual has none.

    Args:
        runs: the name of each, and what `differences` found of it.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for name, settings in runs:
        if settings:
            alike.setdefault((base_name(name), settings_text(settings)), []).append(name)
    return [(_named(base, names), text) for (base, text), names in alike.items()]


def _named(base: str, names: Sequence[str]) -> str:
    """One name for a run, its folds, or both."""
    if len(names) == 1:
        return names[0]
    folds = count_of(len(names) - (base in names), "fold")
    return f"{base} and {folds}" if base in names else f"{base}, {folds}"


def settings_text(settings: Mapping[str, Any]) -> str:
    """Settings as `--set` takes them, such as `width=4 turns=true`."""
    return " ".join(setting_text(field, value) for field, value in settings.items())
