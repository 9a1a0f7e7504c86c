from importlib import metadata

import pytest

from hil.emulator import registry
from hil.emulator.ld06 import Ld06Emulator
from hil.errors import BenchError


@pytest.fixture
def installed(monkeypatch):
    """Entry points as another distribution would bring them."""
    points = []
    monkeypatch.setattr(registry.metadata, "entry_points", lambda group: points)
    return lambda name, target: points.append(metadata.EntryPoint(name, target, registry.GROUP))


@pytest.mark.parametrize("name", registry.OURS)
def test_ours_load_and_carry_their_names(name):
    emulator = registry.load(name)
    assert emulator.name == name
    assert "mute" in emulator.fault_kinds


def test_other_makers_come_by_entry_point_and_replace_nobody(installed):
    installed("spinner", "hil.emulator.ld06:Ld06Emulator")
    installed("scip", "hil.emulator.ld06:Ld06Emulator")
    assert registry.load("spinner") is Ld06Emulator
    assert registry.load("scip") is not Ld06Emulator


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("no_such_module_of_ours:Device", "No module named"),
        ("hil.emulator.ld06:Nobody", "Nobody"),
        ("hil.emulator.ld06", "emulator broken"),
    ],
)
def test_a_broken_emulator_is_named(installed, target, why):
    installed("broken", target)
    with pytest.raises(BenchError, match=why):
        registry.load("broken")


def test_a_name_nobody_has_is_told():
    with pytest.raises(BenchError, match=r"no emulator named xyz \(there are: .*ld06"):
        registry.load("xyz")
