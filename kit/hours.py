"""Hours that somebody gives for what a command does.

In: hours. Out: the seconds that may be planned, and back. Refused by name: what is no time at all.
"""

import math

from kit.errors import InputError

KEPT_BACK = 0.1  # of the time that is given


def seconds_of(hours: float) -> float:
    """The seconds of so many hours, less what is kept back.

    Raises:
        InputError: the hours are not finite, or not above zero.
    """
    if not (math.isfinite(hours) and hours > 0):
        remedy = "give the hours that there are, such as 8 or 0.5"
        raise InputError("--hours", f"{hours:g} hours are no time to plan with", remedy=remedy)
    return hours * 3600 * (1 - KEPT_BACK)


def hours_of(seconds: float) -> float:
    """The hours to give where so many seconds are needed."""
    return seconds / 3600 / (1 - KEPT_BACK)
