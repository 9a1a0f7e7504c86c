"""The real daemon with known secrets, in everything that it says."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agent.clock import SystemClock
from hil.bench_process import BenchSpec
from hil.plant.world import Pose
from hil.pty_rig import PtyRig
from hil.scenario import ROBOT
from tests.agent.room import TOML, write_robot
from tests.agent.telemetry.authority import Authority
from tests.agent.telemetry.test_broker_security import Broker, eventually, needs_mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@needs_mosquitto
@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto_passwd")
def test_no_secret_leaves_the_daemon(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    accounts, secret = tmp_path / "accounts", tmp_path / "password"
    subprocess.run(["mosquitto_passwd", "-b", "-c", accounts, "R1", "S3CRET-right"], check=True)
    secret.write_text("S3CRET-wrong")
    certificate, key = authority.issue("R1", kind="client")
    pair = authority.issue("broker")
    broker = Broker(tmp_path)
    broker.start(
        "allow_anonymous false",
        f"password_file {accounts}",
        f"cafile {authority.certificate}",
        pair=pair,
    )
    environment = {
        "HAULIER_BROKER__HOST": "localhost",
        "HAULIER_BROKER__PORT": str(broker.port),
        "HAULIER_BROKER__TLS": "true",
        "HAULIER_BROKER__CA_FILE": str(authority.certificate),
        "HAULIER_BROKER__CERTIFICATE_FILE": str(certificate),
        "HAULIER_BROKER__KEY_FILE": str(key),
        "HAULIER_BROKER__USERNAME": "R1",
        "HAULIER_BROKER__PASSWORD_FILE": str(secret),
        "HAULIER_BROKER__LONGEST_RETRY_S": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    config = write_robot(tmp_path, TOML)
    spec = BenchSpec(
        directory=tmp_path, map=tmp_path / "room.yaml", start=Pose(0.0, 0.0, 0.0), robot=ROBOT
    )
    said = []
    try:
        with PtyRig(spec, config, SystemClock(), environment) as rig:
            socket = tmp_path / "haulier.sock"
            assert eventually(socket.exists, 150.0)
            assert eventually(lambda: rig.status()["broker_error"], 20.0)
            said.append(json.dumps(rig.status()))
            assert "ROBOT_REFUSED" in said[-1]
            said += [haulier(environment, *words, "--config", config) for words in SHOWN]
            secret.write_text("S3CRET-right")
            assert eventually(lambda: rig.status()["broker"]["connected"], 20.0)
            said.append(json.dumps(rig.status()))
            rig.daemon.send_signal(signal.SIGABRT)  # what the watchdog does
            rig.daemon.wait(10.0)
            said.append(rig.log.read_text(encoding="utf-8"))
    finally:
        broker.stop()
    everything = "\n".join(said)
    print(everything)
    assert all(text in everything for text in ("broker.lost", "broker.connected", "Thread 0x"))
    assert "S3CRET" not in everything
    assert not [line for line in key.read_text().splitlines()[1:-1] if line in everything]


SHOWN = (("config", "show"), ("config", "check"))


def haulier(environment: dict[str, str], *words: object) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "agent", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=90.0,
        check=False,
        env=os.environ | environment,
    )
    return result.stdout + result.stderr
