"""What to change where a training step takes more memory than there is.

In: a run's setup, and how many pairs fit at a time, if that is known. Out: options that the run can
be started with, or go on with.
"""

from kit.runs.folder import saved
from kit.training.setup import RunSetup

_MOST_PARTS = 3  # numbers of parts that are offered, where nobody knows how many are enough


def to_fit(setup: RunSetup, fits: int | None = None) -> str:
    """What to change so that a step fits into the memory.

    Args:
        setup: the run. One that has saved something goes on with its batch, crop and width alone.
        fits: how many pairs of a rank fit at a time; None where that is not known.
    """
    variant, ranks = setup.variant, setup.group.world_size
    is_begun = saved(setup.folder)
    smaller = "reduce the crop or the width"
    if is_begun:
        smaller = "train from the start, with --overwrite and a smaller crop or width"
    # Each rank computes its share of a batch in parts of equally many pairs.
    share = min(variant.batch, len(setup.dataset)) // ranks
    parts = [n for n in range(variant.accumulate + 1, share + 1) if share % n == 0]
    if fits is not None:
        parts = [n for n in parts if share / n <= fits][:1]
    if not parts:
        return smaller
    setting = f"--set accumulate={parts[0]}"
    if others := ", ".join(map(str, parts[1:_MOST_PARTS])):
        setting += f" (or {others})"
    does = "computes the same batch in parts"
    if share * ranks < variant.batch:
        # Of fewer pairs than its batch has, a run computes all at a time alone.
        setting = f"--set batch={share} {setting}"
        if is_begun:
            does = "with --overwrite trains from the start, with the batch in parts"
    known = "" if fits is None else f"{fits} fit: "
    return f"{known}{setting} {does}" + ("" if known else f"; or {smaller}")
