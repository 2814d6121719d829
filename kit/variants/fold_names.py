"""How the run of a fold is called: `spade2.fold2` is the second fold of spade2.

In: the name of a variant and a fold, or of a run. Out: the other of the two.
"""

import re
from pathlib import Path

_FOLD = re.compile(r"\.fold[1-9]\d*$", re.ASCII)


def fold_name(name: str, fold: int) -> str:
    """The run of a fold, from 1, of the variant called `name`."""
    return f"{name}.fold{fold}"


def base_name(run: str) -> str:
    """The variant that a run is a fold of; the name of the run itself where it is none."""
    return _FOLD.sub("", run)


def is_fold(run: str, name: str) -> bool:
    """Whether a run is called as a fold of the variant called `name`."""
    return run != name and base_name(run) == name


def fold_folders(folder: Path, name: str) -> list[Path]:
    """What lies in a folder and is called as a fold of the variant called `name`, sorted."""
    return sorted(path for path in folder.glob("*.fold*") if is_fold(path.name, name))
