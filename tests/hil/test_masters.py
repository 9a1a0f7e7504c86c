"""Masters of other makers drive the daemon on the bench, to the end of every order."""

import os
from pathlib import Path

import pytest

from agent.clock import SystemClock
from hil.errors import ExtraMissing
from hil.masters.drive import MASTERS, Master, drive
from hil.mosquitto import executable

PACKAGES = "HAULIER_MASTERS"  # directory that the masters were installed into


def packages(master: Master) -> Path:
    directory = os.environ.get(PACKAGES)
    if directory is None:
        pytest.skip(f"{PACKAGES} names no directory with {master.name}")
    if executable() is None:
        pytest.skip("mosquitto is not installed")
    return master.packages(Path(directory))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("master", MASTERS.values(), ids=MASTERS)
def test_a_master_takes_all_its_steps(master: Master, tmp_path: Path) -> None:
    result = drive(master, packages(master), tmp_path, SystemClock())
    for event in result.transcript:
        print(event)
    print(*result.journal, result.complaint, sep="\n")
    assert result.passed
    assert result.transcript[-1]["what"] == "passed"
    assert not [line for line in result.journal if "agent.failed" in line]
    assert not [line for line in result.journal if "message.refused" in line]


@pytest.mark.parametrize("master", MASTERS.values(), ids=MASTERS)
def test_a_master_that_is_not_there_says_how_to_get_it(master: Master, tmp_path: Path) -> None:
    with pytest.raises(ExtraMissing, match=r"install .*(==|@)"):
        master.packages(tmp_path)
