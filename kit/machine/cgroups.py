"""The cgroups of this process, by which containers and clusters limit what it may use.

In: the files of the kernel below a root. Out: the folders that may hold a limit.
"""

from pathlib import Path


def cgroups(controller: str, root: Path = Path("/")) -> list[Path]:
    """The folders of this process's cgroups that may limit it, those of all their parents too.

    Args:
        controller: of what is limited, "cpu" or "memory"; version 1 has a hierarchy for each.
        root: of the file system that holds `proc` and `sys`.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return []
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / (controller if controllers else "")
        inner = mount / path.lstrip("/")
        # A container may see its own cgroup as the mount's top, and the path that its host sees.
        found += [inner, *(each for each in inner.parents if each.is_relative_to(mount))]
    return found
