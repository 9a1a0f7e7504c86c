import inspect
import re

import pytest

import agent.errors
import drivers.errors
from drivers.errors import HaulierError, Level

ERRORS = sorted(
    {
        error
        for module in (drivers.errors, agent.errors)
        for error in vars(module).values()
        if inspect.isclass(error) and issubclass(error, HaulierError)
    },
    key=lambda error: error.__name__,
)
# What tickets, dashboards and scripts rely on: a code is never renamed, only added.
CODES = {
    "HaulierError": "HAULIER_ERROR",
    "DriverError": "DRIVER_ERROR",
    "PortUnavailable": "PORT_UNAVAILABLE",
    "PortLost": "PORT_LOST",
    "StreamStale": "STREAM_STALE",
    "DeviceFault": "DEVICE_FAULT",
    "DriverUnknown": "DRIVER_UNKNOWN",
    "CaptureUnusable": "CAPTURE_UNUSABLE",
    "AgentError": "AGENT_ERROR",
    "ConfigError": "CONFIG_INVALID",
    "MapError": "MAP_INVALID",
    "LocalizationLost": "LOCALIZATION_LOST",
    "OrderRejected": "ORDER_REJECTED",
    "MessageInvalid": "MESSAGE_INVALID",
    "ActionFailed": "ACTION_FAILED",
    "BrokerUnavailable": "BROKER_UNAVAILABLE",
    "DaemonUnreachable": "DAEMON_UNREACHABLE",
    "DaemonRunning": "DAEMON_RUNNING",
    "NoOrderToCancel": "NO_ORDER_TO_CANCEL",
    "ActionUnsupported": "ACTION_UNSUPPORTED",
    "LogError": "LOG_INVALID",
}


def test_codes_are_stable():
    found = {error.__name__: error.code for error in ERRORS}
    assert {name: found.get(name) for name in CODES} == CODES


def test_codes_are_unique():
    codes = [error.code for error in ERRORS]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_names_itself_to_machines_platform_and_people(error):
    assert "code" in vars(error), "inherits the code of another error"
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", error.code)
    assert re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*)*", error.vda_type)
    assert isinstance(error.level, Level)
    assert error.hint.endswith(".")
    assert "\n" not in error.hint
    assert 64 <= error.exit_code <= 78


@pytest.mark.parametrize(
    "error",
    [error for error in ERRORS if not error.__subclasses__()],
    ids=lambda error: error.__name__,
)
def test_every_error_that_is_raised_has_a_hint_of_its_own(error):
    parent = error.__base__
    assert error.hint != HaulierError.hint or parent is HaulierError or "hint" in vars(error), (
        "a technician is told to read the log"
    )


def test_an_error_carries_detail_and_context():
    error = drivers.errors.PortLost("ttyUSB0: gone", port="ttyUSB0")
    assert (str(error), error.detail) == ("ttyUSB0: gone", "ttyUSB0: gone")
    assert error.context == {"port": "ttyUSB0"}
