"""Where a connection goes, as whom, and what the robot's topics are called there."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.clock import Clock
from agent.telemetry.access import Address, BrokerParams
from agent.telemetry.addressing import OwnTopics, Topics
from agent.telemetry.credentials import Credentials
from agent.telemetry.iot_hub import HubTopics, hub_resource, hub_username
from agent.telemetry.platform import Platform
from agent.telemetry.provisioning import Assignment, register


@dataclass(frozen=True, slots=True)
class Seat:
    """A place at a broker.

    Attributes:
        address: Of the broker.
        client_id: Name of the robot there.
        username: Account, empty for none.
        topics: How the robot's topics are carried.
        resource: What a signature is to be about, empty where none is wanted.
    """

    address: Address
    client_id: str
    username: str
    topics: Topics
    resource: str = ""


class Seats:
    """Finds the robot's place; for the link's thread."""

    def __init__(
        self,
        params: BrokerParams,
        credentials: Credentials,
        base: str,
        received: list[str],
        clock: Clock,
    ) -> None:
        """Note what is configured.

        Args:
            params: The configuration.
            credentials: For the provisioning service.
            base: What all topics of the robot begin with.
            received: Last levels of the topics that the robot takes.
            clock: For the talk with the provisioning service.
        """
        self._params = params
        self._credentials = credentials
        self._base = base
        self._received = received
        self._clock = clock
        self._assignment: Assignment | None = None

    def planned(self, broker: int) -> Seat:
        """Return the place at a broker of the list, as far as it is known without asking."""
        params = self._params
        if self._assignment is not None:
            address, device = params.address(self._assignment.hub), self._assignment.device
        else:
            address, device = params.addresses[broker], params.client_id
        if params.platform is Platform.AZURE_IOT_HUB:
            return Seat(
                address,
                device,
                hub_username(address.host, device),
                HubTopics(device, self._base, self._received),
                hub_resource(address.host, device) if params.sas_key_file else "",
            )
        client_id = params.client_id or self._base.replace("/", "-")
        return Seat(address, client_id, params.username, OwnTopics(self._base))

    def take(self, broker: int, is_closing: Callable[[], bool]) -> Seat:
        """Return the place at a broker of the list, after asking for it where that is needed.

        Args:
            broker: Its place in the list.
            is_closing: Whether to give up.

        Raises:
            ConfigError: The credentials cannot be used.
            BrokerUnavailable: The provisioning service did not say where it is.
        """
        if self._params.dps_id_scope and self._assignment is None:
            self._assignment = register(self._params, self._credentials, self._clock, is_closing)
        return self.planned(broker)

    def forget(self) -> None:
        """Ask again next time: the hub has turned the robot down."""
        self._assignment = None
