"""How many examples a property test has time for."""

from hypothesis import settings

THOROUGH = 100  # examples of the profile of that name, in tests/conftest.py


def examples(thorough: int) -> int:
    """Return the present profile's share of what a thorough run tries."""
    return max(2, thorough * settings.default.max_examples // THOROUGH)
