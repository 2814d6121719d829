"""What OpenMP's library reads once, when torch loads it: its settings, and the number of cores."""

import os

THREADS, SPINS, POLICY = "OMP_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"


def affine_cores() -> int:
    """How many cores this process may run on, whatever part of their time it may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spinning_is_set() -> bool:
    """Whether something says how long threads spin: the user, or `share_cores`."""
    return SPINS in os.environ or POLICY in os.environ
