"""What the kinds of brokers demand: at the start, and at a mosquitto with the same limits."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.telemetry.access import Address, BrokerParams
from agent.telemetry.platform import PROFILES, Limits, Platform, Wish, objections
from agent.telemetry.publication import Publication
from tests.agent.telemetry.test_broker_security import (
    BASE,
    Broker,
    eventually,
    is_up,
    linked,
    needs_mosquitto,
)

CERTIFICATE = {"certificate_file": Path("robot.pem"), "key_file": Path("robot.key")}
ACL = Path(__file__).parents[3] / "systemd" / "mosquitto.acl"

GOOD = {
    Platform.MQTT: {},
    Platform.MQTT5: {"tls": True, "ca_file": Path("ca.pem")},
    Platform.AZURE_EVENT_GRID: {"client_id": "robot-1", "username": "robot-1", **CERTIFICATE},
    Platform.AZURE_IOT_HUB: {"client_id": "robot-1", "sas_key_file": Path("key")},
    Platform.AZURE_IOT_OPERATIONS: {"username": "robot", "password_file": Path("password")},
    Platform.AWS_IOT_CORE: {"client_id": "robot-1", **CERTIFICATE},
    Platform.HIVEMQ: {"username": "robot", "password_file": Path("password")},
    Platform.EMQX: {"hosts": ("a.example", "b.example:1884", "[::1]:8883")},
}


def wish(topic: str = f"{BASE}/state", qos: int = 0, retain: bool = False) -> Wish:
    return Wish(topic, qos, retain, is_received=False)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.mark.parametrize("platform", Platform)
def test_what_a_platform_takes_is_not_objected_to(platform: Platform) -> None:
    params = BrokerParams(platform=platform, **GOOD[platform])  # type: ignore[arg-type]
    assert list(objections(params, [wish(qos=PROFILES[platform].limits.most_qos)])) == []


@pytest.mark.parametrize(
    ("platform", "changed", "complaint"),
    [
        (Platform.MQTT, {"ca_file": Path("ca.pem")}, "broker.ca_file: is of no use"),
        (Platform.MQTT, {"password_file": Path("p")}, "broker.password_file: username is missing"),
        (Platform.MQTT, {"sas_key_file": Path("k")}, "broker.sas_key_file: is for platform"),
        (Platform.MQTT, {"dps_id_scope": "0ne"}, "broker.dps_id_scope: is for platform"),
        (Platform.MQTT, {"hosts": ("a:b",)}, "broker.hosts: 'a:b' is not a host with a port"),
        (Platform.MQTT, {"host": "a:70000"}, "broker.host: 'a:70000' is not"),
        (Platform.AWS_IOT_CORE, {"tls": False}, "broker.tls: aws-iot-core listens on encrypted"),
        (Platform.AWS_IOT_CORE, {"client_id": ""}, "broker.client_id: missing"),
        (Platform.AWS_IOT_CORE, {"certificate_file": None}, "wants the robot to show a certifi"),
        (Platform.AWS_IOT_CORE, {"certificate_file": None}, "broker.key_file: certificate_file is"),
        (Platform.AWS_IOT_CORE, {"keepalive_s": 1201}, "broker.keepalive_s: aws-iot-core agrees"),
        (Platform.AZURE_EVENT_GRID, {"keepalive_s": 1161}, "at most 1160 s"),
        (Platform.AZURE_IOT_HUB, {"keepalive_s": 1178}, "at most 1177 s"),
        (Platform.AZURE_IOT_HUB, {"sas_key_file": None}, "symmetric key"),
        (Platform.AZURE_IOT_HUB, {"username": "robot"}, "broker.username: the hub wants one"),
        (Platform.AZURE_IOT_HUB, CERTIFICATE, "not both"),
        (
            Platform.AZURE_IOT_HUB,
            {"hosts": ("a",), "dps_id_scope": "0ne"},
            "broker.hosts: the provisioning service names the hub",
        ),
    ],
)
def test_what_a_platform_does_not_take_is_named(
    platform: Platform, changed: dict[str, object], complaint: str
) -> None:
    params = BrokerParams(platform=platform, **{**GOOD[platform], **changed})  # type: ignore[arg-type]
    assert any(complaint in found for found in objections(params, [wish()]))


@pytest.mark.parametrize(
    ("platform", "asked", "complaint"),
    [
        (Platform.AZURE_EVENT_GRID, wish(qos=2), "vda5050.topics.state.qos: azure-event-grid"),
        (Platform.AZURE_IOT_HUB, wish(retain=True), "vda5050.topics.state.retain: azure-iot-hub"),
        (Platform.AWS_IOT_CORE, wish("a/b/c/d/e/f/g/h/state"), "8 slashes; 7 are allowed"),
        (Platform.AWS_IOT_CORE, wish("a" * 252 + "/state"), "258 bytes; 256 are allowed"),
    ],
)
def test_what_a_platform_does_not_do_on_a_topic_is_named(
    platform: Platform, asked: Wish, complaint: str
) -> None:
    params = BrokerParams(platform=platform, **GOOD[platform])  # type: ignore[arg-type]
    (found,) = objections(params, [asked])
    assert complaint in found


def test_too_many_subscriptions_are_named() -> None:
    params = BrokerParams(
        platform=Platform.AZURE_IOT_HUB,
        **GOOD[Platform.AZURE_IOT_HUB],  # type: ignore[arg-type]
    )
    wishes = [Wish(f"{BASE}/{number}", 0, False, is_received=True) for number in range(6)]
    (found,) = objections(params, wishes)
    assert "takes 5 subscriptions, not 6" in found


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("broker", ("broker", 1883)),
        ("broker:1884", ("broker", 1884)),
        ("10.0.0.7:9", ("10.0.0.7", 9)),
        ("::1", ("::1", 1883)),
        ("[::1]", ("::1", 1883)),
        ("[::1]:9", ("::1", 9)),
    ],
)
def test_addresses_are_read_as_people_write_them(text: str, address: tuple[str, int]) -> None:
    read = Address.parse(text, 1883)
    assert (read.host, read.port) == address
    assert Address.parse(str(read), 0) == read


@pytest.mark.parametrize(
    ("params", "port"),
    [
        ({}, 1883),
        ({"tls": True}, 8883),
        ({"platform": Platform.AWS_IOT_CORE}, 8883),
        ({"platform": Platform.EMQX}, 1883),
        ({"port": 9}, 9),
    ],
)
def test_the_port_follows_from_the_encryption(params: dict[str, object], port: int) -> None:
    assert BrokerParams(**params).addresses[0].port == port  # type: ignore[arg-type]


def test_what_the_broker_says_narrows_but_never_widens() -> None:
    limits = Limits(most_qos=1, most_bytes=1000, most_in_flight=None)
    assert limits.narrowed(None, None, None, None) == limits
    assert limits.narrowed(2, 1, 2000, 20) == Limits(most_qos=1, most_bytes=1000, most_in_flight=20)
    assert limits.narrowed(0, 0, 500, None) == Limits(most_qos=0, retains=False, most_bytes=500)


class Ear:
    """Hears what reaches the broker."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, int, int, bool]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTProtocolVersion(5))
        self.client.on_message = lambda client, data, message: self.heard.append(
            (
                message.topic.removeprefix(f"{BASE}/"),
                len(message.payload),
                message.qos,
                message.retain,
            )
        )
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("#", 2)
        self.client.loop_start()

    def __enter__(self) -> "Ear":
        assert eventually(self.client.is_connected)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@needs_mosquitto
def test_the_limits_that_a_broker_of_mqtt_5_names_are_kept(broker: Broker) -> None:
    broker.start("max_qos 1", "retain_available false", "max_packet_size 20000")
    with linked(platform=Platform.MQTT5, port=broker.port) as link, Ear(broker.port) as ear:
        assert eventually(lambda: is_up(link))
        since_ns = link.state.connected_since_ns
        link.publish([Publication("state", b"x" * 100, qos=2, retain=True)])
        assert eventually(lambda: ("state", 100, 1, False) in ear.heard)
        link.publish([Publication("visualization", b"x" * 30_000)])
        link.publish([Publication("factsheet", b"x" * 19_900)])
        assert eventually(lambda: ("factsheet", 19_900, 0, False) in ear.heard)
        assert not any(topic == "visualization" for topic, *_ in ear.heard)
        assert link.state.skipped == 1
        assert link.state.connected_since_ns == since_ns


@needs_mosquitto
def test_the_limits_of_a_profile_hold_where_the_broker_names_none(broker: Broker) -> None:
    # mosquitto with EMQX's message size, which MQTT 3.1.1 could not tell: it would end the line.
    broker.start("max_packet_size 1048576", "max_inflight_messages 32")
    with linked(platform=Platform.EMQX, port=broker.port) as link, Ear(broker.port) as ear:
        assert eventually(lambda: is_up(link))
        since_ns = link.state.connected_since_ns
        link.publish([Publication("visualization", b"x" * 1_048_560)])
        link.publish([Publication("factsheet", b"x" * 1_000_000)])
        assert eventually(lambda: ("factsheet", 1_000_000, 0, False) in ear.heard)
        assert link.state.skipped == 1
        assert link.state.connected_since_ns == since_ns


@needs_mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd")
def test_the_access_list_lets_a_robot_write_its_own_topics_alone(
    tmp_path: Path, broker: Broker
) -> None:
    accounts, secret = tmp_path / "accounts", tmp_path / "password"
    tool = shutil.which("mosquitto_passwd") or "mosquitto_passwd"
    for user, create in (("R1", ["-c"]), ("R2", []), ("master", [])):
        subprocess.run([tool, "-b", *create, accounts, user, "right"], check=True)
    secret.write_text("right")
    acl = tmp_path / "acl"
    shutil.copy(ACL, acl)
    acl.chmod(0o644)
    broker.start("allow_anonymous false", f"password_file {accounts}", f"acl_file {acl}")
    heard: list[str] = []
    master = paho.Client(CallbackAPIVersion.VERSION2)
    master.username_pw_set("master", "right")
    master.on_message = lambda client, data, message: heard.append(message.topic)
    master.connect("127.0.0.1", broker.port)
    master.subscribe("uagv/v2/#", 1)
    master.loop_start()
    stranger = paho.Client(CallbackAPIVersion.VERSION2)
    stranger.username_pw_set("R2", "right")
    stranger.connect("127.0.0.1", broker.port)
    stranger.loop_start()
    try:
        assert eventually(lambda: master.is_connected() and stranger.is_connected())
        stranger.publish(f"{BASE}/state", b"forged", qos=1).wait_for_publish(5)
        stranger.publish("uagv/v2/acme/R2/order", b"forged", qos=1).wait_for_publish(5)
        with linked(port=broker.port, username="R1", password_file=secret) as link:
            assert eventually(lambda: is_up(link))
            link.publish([Publication("state", b"own", qos=1)])
            assert eventually(lambda: f"{BASE}/state" in heard)
            master.publish(f"{BASE}/order", b"go").wait_for_publish(5)
            assert eventually(lambda: link.state.received == 1)
        assert heard.count(f"{BASE}/state") == 1
        assert "uagv/v2/acme/R2/order" not in heard
    finally:
        for client in (master, stranger):
            client.disconnect()
            client.loop_stop()
