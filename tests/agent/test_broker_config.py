"""``[broker]`` in the file, and what ``haulier config check`` finds out about it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import config, errors
from agent.cli.config import _brokers, _try_broker, _try_credentials
from agent.config import Config
from agent.errors import ConfigError
from agent.telemetry.platform import Platform
from tests.agent.room import TOML, write_robot
from tests.agent.telemetry.authority import Authority
from tests.agent.telemetry.test_broker_security import Broker, needs_mosquitto


def loaded(directory: Path, text: str, **more: str) -> Config:
    toml = TOML.partition("[broker]")[0] + f"\n[broker]\n{text}\n"
    path = write_robot(directory, toml)
    return config.load(path, {f"HAULIER_{key}": value for key, value in more.items()})


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.stop()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('platform = "azure-iot-hub"\nhost = "h"', "broker.client_id: missing"),
        ('platform = "aws-iot-core"\nhost = "h"\ntls = false', "broker.tls: aws-iot-core"),
        ('platform = "azure"', "broker.platform: Input should be"),
        ('ca_file = "ca.pem"', "broker.ca_file: is of no use on an unencrypted line"),
        ('hosts = ["a:b"]', "broker.hosts: 'a:b' is not a host with a port"),
        ('hosts = [""]', "broker.hosts.0"),
    ],
)
def test_what_the_platform_does_not_take_is_refused(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text)
    assert complaint in raised.value.detail


def test_a_topic_that_the_platform_does_not_carry_is_refused(tmp_path: Path) -> None:
    text = 'platform = "hivemq"\n[vda5050.topics.state]\nqos = 2'
    assert loaded(tmp_path, text).broker.platform is Platform.HIVEMQ
    text = text.replace("hivemq", "azure-iot-operations").replace(
        "\n[", '\nusername = "r"\npassword_file = "p"\n['
    )
    with pytest.raises(ConfigError, match=r"vda5050.topics.state.qos: azure-iot-operations takes"):
        loaded(tmp_path, text)


def test_files_are_beside_the_configuration_or_where_systemd_has_them(tmp_path: Path) -> None:
    text = 'username = "r"\npassword_file = "$CREDENTIALS_DIRECTORY/p"\ntls = true\nca_file = "ca"'
    broker = loaded(tmp_path, text).broker
    assert broker.ca_file == tmp_path / "ca"
    assert broker.password_file == Path("$CREDENTIALS_DIRECTORY/p")


def test_an_unencrypted_line_is_named_as_such(tmp_path: Path) -> None:
    assert "UNENCRYPTED" in _try_credentials(loaded(tmp_path, 'host = "h"'))


def test_with_provisioning_the_service_is_tried(tmp_path: Path) -> None:
    text = 'platform = "azure-iot-hub"\nclient_id = "r"\nsas_key_file = "k"\ndps_id_scope = "0ne"'
    (address,) = _brokers(loaded(tmp_path, text).broker)
    assert str(address) == "global.azure-devices-provisioning.net:8883"


@needs_mosquitto
def test_the_check_says_what_the_robot_would(tmp_path: Path, broker: Broker) -> None:
    authority = Authority(tmp_path / "authority")
    own = authority.issue("robot", kind="client")
    text = f'host = "localhost"\nport = {broker.port}\ntls = true\nca_file = "authority/ca.pem"'
    broker.start(
        f"cafile {authority.certificate}",
        "require_certificate true",
        pair=authority.issue("broker", names="DNS:localhost"),
    )
    bare = loaded(tmp_path, text)
    with pytest.raises(errors.RobotRefused, match="the robot has none to show"):
        _try_broker(bare, bare.broker.addresses[0])
    complete = bare.model_copy(
        update={
            "broker": dataclasses.replace(bare.broker, certificate_file=own[0], key_file=own[1])
        }
    )
    assert "3 files read" in _try_credentials(complete)
    assert "a certificate that holds, over TLSv1.3" in _try_broker(
        complete, complete.broker.addresses[0]
    )
    with pytest.raises(errors.BrokerMisnamed):
        _try_broker(complete, complete.broker.address("127.0.0.1"))
    broker.stop()
    with pytest.raises(errors.BrokerUnavailable, match="no broker listens"):
        _try_broker(complete, complete.broker.addresses[0])
