"""Of how many dates the inputs of a prediction were, in a line for its user."""

from collections import Counter

from kit.plain_text import count_of
from kit.prediction.manifest import Manifest


def dates_line(manifest: Manifest) -> str:
    """What a finished manifest says of other dates; "" where its network is given none."""
    scenes = manifest.scenes.values()
    radar = Counter(entry["radar_dates"] for entry in scenes if "radar_dates" in entry)
    prior = Counter(entry["prior_dates"] > 0 for entry in scenes if "prior_dates" in entry)
    parts = []
    if radar:
        counts = (f"of {count_of(n, 'date')} for {radar[n]}" for n in sorted(radar, reverse=True))
        parts.append(f"radar averaged: {', '.join(counts)} scenes")
    if prior:
        parts.append(f"prior: {prior[True]} of {prior.total()} scenes have one")
    return f"{manifest.variant}: {'; '.join(parts)}" if parts else ""
