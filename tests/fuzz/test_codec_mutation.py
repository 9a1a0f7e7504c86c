"""No codec raises on any damaged session."""

import pytest

from drivers import registry
from hil.contract import subject_named
from tests.fuzz.mutation import fuzz

EXECUTIONS = 1500


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(registry.OURS))
def test_damaged_sessions_raise_nothing(name):
    assert fuzz(subject_named(name), EXECUTIONS, seed=1) > 0
