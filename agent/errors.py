"""Errors of the agent, beside those of the devices in :mod:`drivers.errors`.

::

    HaulierError
     └─ AgentError
         ├─ ConfigError         the configuration is wrong; the service does not restart on it
         ├─ MapError            the map cannot be read or makes no sense
         ├─ LocalizationLost    the robot does not know where it is
         ├─ OrderRejected       an order of the platform cannot be accepted
         ├─ ActionFailed        an action of an order did not succeed
         └─ BrokerUnavailable   the shared platform cannot be reached
"""

from drivers.errors import HaulierError, Level


class AgentError(HaulierError):
    """Base of everything that goes wrong in the agent itself."""

    code = "AGENT_ERROR"


class ConfigError(AgentError):
    """The configuration cannot be used.

    Example scenarios: unknown key, value out of bounds, file missing.
    """

    code = "CONFIG_INVALID"
    vda_type = "configurationError"
    hint = "Run 'haulier config check' and correct the key that it names."
    exit_code = 78


class MapError(AgentError):
    """The map cannot be used.

    Example scenarios: the image is cut short, the yaml names no resolution, the start pose lies
    outside the map.
    """

    code = "MAP_INVALID"
    vda_type = "mapError"
    hint = "Copy the map again (yaml and image together) or re-export it from the map tool."
    exit_code = 65


class LocalizationLost(AgentError):
    """The pose on the map can no longer be trusted; the robot stands still."""

    code = "LOCALIZATION_LOST"
    vda_type = "localizationLost"
    hint = "Check that the lidar is clean and uncovered, then set the pose again."


class OrderRejected(AgentError):
    """An order cannot be accepted; the order at hand, if any, goes on."""

    code = "ORDER_REJECTED"
    vda_type = "orderError"
    level = Level.WARNING
    hint = "Compare the order with the reason given; the robot keeps what it had."

    def __init__(self, detail: str, *, vda_type: str = "orderError", **context: str) -> None:
        super().__init__(detail, **context)
        self.rejection_type = vda_type


class ActionFailed(AgentError):
    """An action did not succeed."""

    code = "ACTION_FAILED"
    vda_type = "actionFailed"
    level = Level.WARNING
    hint = "Read the action's result description in the state message."


class BrokerUnavailable(AgentError):
    """The broker of the shared platform cannot be reached; the robot finishes what it has."""

    code = "BROKER_UNAVAILABLE"
    vda_type = "brokerUnavailable"
    level = Level.WARNING
    hint = (
        "Check the network, the broker's address and port and the credentials in [broker]; the "
        "agent keeps trying by itself."
    )
    exit_code = 69
