"""``haulier driver test``, as an installed entry point would bring it."""

import json
from importlib import metadata

import pytest

from agent.cli import driver, main
from drivers.lidar import ld06
from drivers.lidar.ld06 import Ld06
from hil.contract import CHECKS


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    point = metadata.EntryPoint("test", "hil.cli.driver_test:VERB", driver.PLUGINS)
    monkeypatch.setattr(driver.metadata, "entry_points", lambda group: [point])


@pytest.mark.slow
def test_a_driver_of_ours_keeps_everything(capsys):
    assert main(["driver", "test", "sick_lms2xx"]) == 0
    out = capsys.readouterr().out
    assert out.count("kept  ") == len(CHECKS)
    assert "BROKEN" not in out


@pytest.mark.slow
def test_a_broken_driver_is_told_and_ends_with_one(monkeypatch, capsys):
    class Clinging(Ld06):
        """Does not let go."""

        def stop(self):
            return self.start()

    monkeypatch.setattr(ld06, "Ld06", Clinging)
    assert main(["driver", "test", "ld06", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert list(told["broken"]) == ["stop"]
    assert "stopping needs" in told["broken"]["stop"]
    assert len(told["kept"]) == len(CHECKS) - 1


def test_unknown_names_are_told(capsys):
    assert main(["driver", "test", "ld60"]) == 78
    assert "did you mean ld06" in capsys.readouterr().err
