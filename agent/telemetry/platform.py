"""What each kind of broker demands and takes, and what of a configuration it would not take.

Figures are those of the makers' own documents of 2025, named beside each profile; what a broker of
MQTT 5 says at the connect goes before them (MQTT 5, section 3.2.2.3).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.telemetry.access import BrokerParams

MQTT_3_1_1 = 4
MQTT_5 = 5


class Platform(StrEnum):
    """A kind of broker."""

    MQTT = "mqtt"
    MQTT5 = "mqtt5"
    AZURE_EVENT_GRID = "azure-event-grid"
    AZURE_IOT_HUB = "azure-iot-hub"
    AZURE_IOT_OPERATIONS = "azure-iot-operations"
    AWS_IOT_CORE = "aws-iot-core"
    HIVEMQ = "hivemq"
    EMQX = "emqx"


class Proof(StrEnum):
    """By what a robot proves to a broker who it is."""

    CERTIFICATE = "a certificate of its own (certificate_file and key_file)"
    PASSWORD = "a user and a password (username and password_file)"
    SAS_KEY = "the device's symmetric key (sas_key_file)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a broker takes of one robot.

    Attributes:
        most_qos: Highest quality of service.
        retains: Whether it keeps messages for later subscribers.
        most_bytes: Length of a message's packet, None where unlimited.
        most_in_flight: Messages that may be unacknowledged, None where unlimited.
    """

    most_qos: int = 2
    retains: bool = True
    most_bytes: int | None = None
    most_in_flight: int | None = None

    def narrowed(
        self,
        most_qos: int | None,
        retains: int | None,
        most_bytes: int | None,
        most_in_flight: int | None,
    ) -> "Limits":
        """Return what holds when the broker has said its own; None for what it did not say."""
        return Limits(
            most_qos=min(self.most_qos, 2 if most_qos is None else most_qos),
            retains=self.retains and retains != 0,
            most_bytes=_lower(self.most_bytes, most_bytes),
            most_in_flight=_lower(self.most_in_flight, most_in_flight),
        )


def _lower(first: int | None, second: int | None) -> int | None:
    return min((x for x in (first, second) if x is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A kind of broker.

    Attributes:
        protocol: Version of MQTT as in its CONNECT packet.
        needs_tls: Whether it listens on encrypted lines alone.
        proofs: By which the robot may prove who it is, empty where the broker's owner decides.
        needs_client_id: What the client id must be, empty where any will do.
        limits: What it takes.
        longest_keepalive_s: The longest silence that it agrees to.
        most_subscriptions: Of one connection.
        most_slashes: In a topic.
        most_topic_bytes: Length of a topic.
    """

    protocol: int = MQTT_5
    needs_tls: bool = True
    proofs: tuple[Proof, ...] = ()
    needs_client_id: str = ""
    limits: Limits = Limits()
    longest_keepalive_s: int = 65_535
    most_subscriptions: int | None = None
    most_slashes: int | None = None
    most_topic_bytes: int = 65_535


PROFILES: Mapping[Platform, Profile] = MappingProxyType(
    {
        Platform.MQTT: Profile(protocol=MQTT_3_1_1, needs_tls=False),
        Platform.MQTT5: Profile(needs_tls=False),
        # Event Grid: "MQTT features supported", "Quotas and limits". Order is not kept, a publish
        # of QoS 2 ends the connection, a retained message may have 64 KB.
        Platform.AZURE_EVENT_GRID: Profile(
            proofs=(Proof.CERTIFICATE,),
            needs_client_id="the name of the session, unique in the namespace",
            limits=Limits(most_qos=1, most_bytes=512 * 1024, most_in_flight=1000),
            longest_keepalive_s=1160,
        ),
        # IoT Hub: "Communicate with an IoT hub using MQTT", "Quotas and throttling".
        Platform.AZURE_IOT_HUB: Profile(
            protocol=MQTT_3_1_1,
            proofs=(Proof.CERTIFICATE, Proof.SAS_KEY),
            needs_client_id="the device id; with dps_id_scope, the registration id",
            limits=Limits(most_qos=1, retains=False, most_bytes=256 * 1024),
            longest_keepalive_s=1177,
            most_subscriptions=5,
        ),
        # IoT Operations: "MQTT broker overview", "Configure broker MQTT client options".
        Platform.AZURE_IOT_OPERATIONS: Profile(
            proofs=(Proof.CERTIFICATE, Proof.PASSWORD), limits=Limits(most_qos=1)
        ),
        # AWS General Reference: "AWS IoT Core endpoints and quotas", message broker.
        Platform.AWS_IOT_CORE: Profile(
            proofs=(Proof.CERTIFICATE,),
            needs_client_id="the thing's name, which its policy allows to connect",
            limits=Limits(most_qos=1, most_bytes=128 * 1024, most_in_flight=100),
            longest_keepalive_s=1200,
            most_subscriptions=50,
            most_slashes=7,
            most_topic_bytes=256,
        ),
        # HiveMQ: "MQTT-specific configuration", whose defaults can be raised; it says so then.
        Platform.HIVEMQ: Profile(
            needs_tls=False, limits=Limits(most_bytes=268_435_460, most_in_flight=10)
        ),
        # EMQX: "MQTT configuration" (1 MB, 128 levels, 32 unacknowledged).
        Platform.EMQX: Profile(
            needs_tls=False,
            limits=Limits(most_bytes=1024 * 1024, most_in_flight=32),
            most_slashes=127,
        ),
    }
)


def profile_of(platform: Platform) -> Profile:
    """Return what a kind of broker demands and takes."""
    return PROFILES[platform]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the robot is to do on a topic, as far as it was asked for.

    Attributes:
        topic: Full topic, as the broker sees it.
        qos: Quality of service.
        retain: Whether the broker shall keep the newest.
        is_received: Whether the robot subscribes to it, rather than publishes on it.
    """

    topic: str
    qos: int
    retain: bool
    is_received: bool


def objections(params: "BrokerParams", wishes: list[Wish]) -> Iterator[str]:
    """Return what of a configuration the broker would not take, each with the key to change.

    Args:
        params: The configuration of ``[broker]``.
        wishes: The topics, as configured.
    """
    yield from _to_addresses(params)
    yield from _to_encryption(params)
    yield from _to_proof(params)
    yield from _to_connection(params)
    for wish in wishes:
        yield from _to_topic(params, wish)
    most = params.profile.most_subscriptions
    received = sum(wish.is_received for wish in wishes)
    if most is not None and received > most:
        yield f"broker.platform: {params.platform} takes {most} subscriptions, not {received}"


def _to_addresses(params: "BrokerParams") -> Iterator[str]:
    named = (("hosts", params.hosts), ("host", (params.host,)), ("dps_host", (params.dps_host,)))
    for key, texts in named:
        for text in texts:
            try:
                params.address(text)
            except ValueError as error:
                yield f"broker.{key}: {error}"
    if params.dps_id_scope and params.hosts:
        yield "broker.hosts: the provisioning service names the hub; leave out one of them"


def _to_encryption(params: "BrokerParams") -> Iterator[str]:
    if params.is_encrypted:
        return
    if params.profile.needs_tls:
        yield f"broker.tls: {params.platform} listens on encrypted lines alone; leave it out"
    for key in ("ca_file", "crl_file", "certificate_file", "key_file"):
        if key in params.files:
            yield f"broker.{key}: is of no use on an unencrypted line; set tls = true"


def _to_proof(params: "BrokerParams") -> Iterator[str]:
    shown = {
        Proof.CERTIFICATE: params.certificate_file is not None,
        Proof.PASSWORD: params.password_file is not None,
        Proof.SAS_KEY: params.sas_key_file is not None,
    }
    profile = params.profile
    if profile.proofs and not any(shown[proof] for proof in profile.proofs):
        known = ", or ".join(profile.proofs)
        yield f"broker: {params.platform} wants the robot to show {known}"
    if params.key_file is not None and params.certificate_file is None:
        yield "broker.key_file: certificate_file is missing"
    if params.password_file is not None and not params.username:
        yield "broker.password_file: username is missing"
    is_hub = params.platform is Platform.AZURE_IOT_HUB
    if is_hub and params.certificate_file is not None and params.sas_key_file is not None:
        yield "broker.sas_key_file: the hub takes it or certificate_file, not both"
    if is_hub and (params.username or params.password_file):
        yield "broker.username: the hub wants one that the agent makes; leave out user and password"
    for key in ("sas_key_file", "dps_id_scope"):
        if getattr(params, key) and not is_hub:
            yield f"broker.{key}: is for platform {Platform.AZURE_IOT_HUB} alone"


def _to_connection(params: "BrokerParams") -> Iterator[str]:
    profile = params.profile
    if profile.needs_client_id and not params.client_id:
        yield f"broker.client_id: missing; {params.platform} wants {profile.needs_client_id}"
    if params.keepalive_s > profile.longest_keepalive_s:
        yield (
            f"broker.keepalive_s: {params.platform} agrees to at most "
            f"{profile.longest_keepalive_s} s, not {params.keepalive_s}"
        )


def _to_topic(params: "BrokerParams", wish: Wish) -> Iterator[str]:
    profile, name = params.profile, wish.topic.rpartition("/")[2]
    key = f"vda5050.topics.{name}"
    if wish.qos > profile.limits.most_qos:
        yield f"{key}.qos: {params.platform} takes at most {profile.limits.most_qos}"
    if wish.retain and not profile.limits.retains:
        yield f"{key}.retain: {params.platform} keeps no messages for later subscribers"
    slashes, most = wish.topic.count("/"), profile.most_slashes
    if most is not None and slashes > most:
        yield f"robot.topic_prefix: {wish.topic} has {slashes} slashes; {most} are allowed"
    length = len(wish.topic.encode())
    if length > profile.most_topic_bytes:
        most = profile.most_topic_bytes
        yield f"robot.topic_prefix: {wish.topic} has {length} bytes; {most} are allowed"
