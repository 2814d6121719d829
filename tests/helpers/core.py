"""Marks of tests that need the compiled core, and cases with and without it."""

import pytest

from kit.machine import native

CORE, WHY_NOT = native.load("kit_core")
needs_core = pytest.mark.skipif(CORE is None, reason=WHY_NOT)
NATIVE = pytest.param("native", marks=needs_core)
