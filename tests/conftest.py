"""What every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A first call may compile a kernel, and machines are noisy: time is no property of a unit.
settings.register_profile("haulier", deadline=None, max_examples=40)
# Run by .ci/run, with --hypothesis-profile.
settings.register_profile("thorough", deadline=None, max_examples=100)
settings.load_profile("haulier")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recordings and official schemas beside the project; skips without it."""
    path = Path(os.environ.get("HAULIER_SHARED", Path(__file__).parents[2] / "shared"))
    if not path.is_dir():
        pytest.skip("no folder of shared recordings and schemas")
    return path
