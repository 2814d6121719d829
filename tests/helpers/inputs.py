"""What a network of a variant is given."""

from kit.inputs.planes import InputPlanes
from tests.helpers.variants import tiny


def planes(*settings: str) -> InputPlanes:
    """Those of spade2 with these settings."""
    return InputPlanes(tiny("spade2", *settings))
