"""What a user is told of a folder that was converted."""

from collections.abc import Sequence

from kit.sources.definition import NAMES, Definition
from kit.sources.detect import GENERAL, Choice
from kit.sources.listing import Listing
from kit.sources.twins import Twins, tally_parts
from kit.sources.units import SourceUnits
from kit.units_record import units_text


def describe(
    definition: Definition,
    choice: Choice,
    found: Listing,
    twins: Sequence[Twins],
    units: SourceUnits,
    absent: Sequence[str],
) -> tuple[str, ...]:
    """Lines on what was found, and on what is missing that other data have.

    Args:
        definition: the layout.
        choice: with the alternative of it that was found.
        found: all images.
        twins: those that belong together.
        units: theirs.
        absent: lines on lists of the split that name more.
    """
    parts = ", ".join(f"{part} {count:,}" for part, count in tally_parts(twins).items())
    lines = [f"source {definition.name} ({definition.about}): {parts}"]
    # The names of the kit's other sources leave no doubt of what they are.
    may_differ = definition.name == GENERAL or definition.name not in NAMES
    if may_differ and choice.number is not None and len(definition.radar.files) > 1:
        radar, optical = (
            s.files[choice.number].text for s in (definition.radar, definition.optical)
        )
        lines.append(f"radar is {radar}, optical is {optical}")
    if found.aside:
        lines.append(f"left aside: {len(found.aside)} files, such as {found.aside[0]}")
    if found.unknown:
        lines.append(f"not used: {len(found.unknown)} images, such as {found.unknown[0]}")
    lines += absent
    lines.append(f"units: {units_text(units.record())}")
    missing = []
    if "QA60" not in definition.optical.bands:
        missing.append("QA60 (only the rule on colours finds clouds)")
    if not definition.date_field and not any("date" in t.text for t in definition.radar.files):
        missing.append(f"dates (all are {definition.date})")
    if missing:
        lines.append(f"without {' and '.join(missing)}")
    return tuple(lines)
