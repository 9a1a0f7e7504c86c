import importlib
import pkgutil

import pytest

import agent
import drivers
import hil
from agent.cli.explain import codes
from drivers.errors import HaulierError, Level

for package in (agent, drivers, hil):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        # What runs inside another maker's package is no module of ours.
        if not module.name.endswith(("__main__", ".vda5050_sdk")):
            importlib.import_module(module.name)


def all_errors(root: type[HaulierError] = HaulierError) -> list[type[HaulierError]]:
    return [root, *(error for child in root.__subclasses__() for error in all_errors(child))]


@pytest.mark.parametrize("error", all_errors(), ids=lambda error: error.__name__)
def test_each_error_speaks_to_machines_the_platform_and_people(error: type[HaulierError]) -> None:
    assert error.code == error.code.upper()
    assert "code" in vars(error), "a code of its own"
    assert error.vda_type[0].islower()
    assert error.level in Level
    assert len(error.hint) > 20
    assert 1 <= error.exit_code < 128


def test_codes_are_unique() -> None:
    found = [error.code for error in all_errors()]
    assert len(found) == len(set(found))


def test_explain_knows_every_error_of_the_product() -> None:
    product = {e.code for e in all_errors() if not e.__module__.startswith("hil")}
    assert product <= set(codes())
