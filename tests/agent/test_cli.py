"""The command as people type it: exit statuses, one clear line.

Those that set up the whole agent run as processes; so do all others in the slow suite.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from agent.cli import main
from tests.agent.room import TOML, write_robot

Call = Callable[..., subprocess.CompletedProcess[str]]


def process(*words: object, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "agent", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def called(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the command in this process, which knows all modules already."""
    arguments, out, err = [str(word) for word in words], StringIO(), StringIO()
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    finally:
        signal.signal(signal.SIGTERM, terminate)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@pytest.fixture(params=[called, pytest.param(process, marks=pytest.mark.slow)])
def haulier(request: pytest.FixtureRequest) -> Call:
    return request.param


def assert_clear(result: subprocess.CompletedProcess[str], status: int, *said: str) -> None:
    text = result.stdout + result.stderr
    assert result.returncode == status, text
    assert "Traceback" not in text
    for part in said:
        assert part in text


def test_help_names_every_verb_and_the_exit_statuses() -> None:
    result = process("--help")
    assert_clear(result, 0, "run", "demo", "bench", "status", "exit status:", "78")


@pytest.mark.parametrize("words", [(), ("drvie",), ("run", "--bogus")])
def test_a_wrong_command_line_is_2(haulier: Call, words: tuple[str, ...]) -> None:
    assert_clear(haulier(*words), 2, "usage: haulier")


def test_driver_list_is_for_people_and_machines(haulier: Call) -> None:
    assert_clear(haulier("driver", "list"), 0, "rplidar", "roboteq")
    drivers = json.loads(haulier("driver", "list", "--json").stdout)
    assert {driver["name"] for driver in drivers} >= {"rplidar", "roboteq"}


def test_explain_says_what_to_do(haulier: Call) -> None:
    assert_clear(haulier("explain", "port_lost"), 0, "PORT_LOST", "what to do:")
    assert_clear(haulier("explain"), 0, "CONFIG_INVALID", "LOG_INVALID", "ORDER_REJECTED")
    assert_clear(haulier("explain", "NOPE"), 2, "no such code")


def test_a_bad_configuration_is_78(haulier: Call, tmp_path: Path) -> None:
    path = write_robot(tmp_path, TOML.replace("length_m", "lenght_m"))
    assert_clear(process("run", "--config", path), 78, "CONFIG_INVALID", "did you mean length_m?")
    assert_clear(haulier("config", "check", "--config", path), 78, "hint:")


def test_a_truncated_map_is_65(tmp_path: Path) -> None:
    path = write_robot(tmp_path)
    image = tmp_path / "room.pgm"
    image.write_bytes(image.read_bytes()[:1000])
    assert_clear(process("run", "--config", path), 65, "MAP_INVALID", "room.pgm", "hint:")


def test_a_start_pose_off_the_map_is_65(tmp_path: Path) -> None:
    path = write_robot(tmp_path, TOML.replace("[0.0, 0.0, 0.0]", "[99.0, 4.0, 0.0]"))
    assert_clear(process("run", "--config", path), 65, "MAP_INVALID", "start.pose")


def test_config_check_names_missing_ports_and_broker(haulier: Call, tmp_path: Path) -> None:
    path = write_robot(tmp_path)
    result = haulier("config", "check", "--config", path)
    assert_clear(
        result, 69, "ok    maps", "PORT_UNAVAILABLE", "no such device node", "BROKER_UNAVAILABLE"
    )
    assert_clear(haulier("config", "check", "--offline", "--config", path), 0, "ok    maps")


def test_config_show_and_schema_are_json(haulier: Call, tmp_path: Path) -> None:
    shown = json.loads(haulier("config", "show", "--config", write_robot(tmp_path)).stdout)
    assert shown["robot"]["serial_number"] == "R1"
    assert "properties" in json.loads(haulier("config", "schema").stdout)


def test_status_without_a_daemon_is_69(haulier: Call, tmp_path: Path) -> None:
    result = haulier("status", "--socket", tmp_path / "none.sock")
    assert_clear(result, 69, "DAEMON_UNREACHABLE", "systemctl status haulier")


@pytest.mark.parametrize(
    "words", [("show",), ("set", "1,2,0.5"), ("set", "-1,2,-0.5", "--map", "x"), ("relocalize",)]
)
def test_pose_without_a_daemon_is_69(haulier: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    # A pose that begins with a minus looks like an option.
    result = haulier("pose", *words, "--socket", tmp_path / "none.sock")
    assert_clear(result, 69, "DAEMON_UNREACHABLE")


@pytest.mark.parametrize("words", [("set",), ("set", "1,2"), ("set", "1,2,x"), ("set", "1,2,inf")])
def test_a_pose_that_is_none_is_2(haulier: Call, words: tuple[str, ...]) -> None:
    assert_clear(haulier("pose", *words), 2, "usage: haulier pose set")


def test_a_log_that_is_not_there_is_65(haulier: Call, tmp_path: Path) -> None:
    # The pose begins with a minus, which argparse takes for an option.
    result = haulier(
        "eval", "localization", tmp_path / "no.log", "--map", "x.yaml", "--init", "-1,2,-0.5"
    )
    assert_clear(result, 65, "LOG_INVALID")


def test_an_unknown_driver_is_78_and_guessed(haulier: Call, tmp_path: Path) -> None:
    path = write_robot(tmp_path, TOML.replace("rplidar", "rplidr"))
    said = (
        "CONFIG_INVALID: lidar.front.driver: no driver named rplidr; did you mean rplidar?",
        "hint:",
    )
    assert_clear(process("run", "--config", path), 78, *said)
    assert_clear(haulier("config", "check", "--offline", "--config", path), 78, *said)


def test_a_map_that_names_no_image_fails_the_check_and_the_rest_is_still_said(
    haulier: Call, tmp_path: Path
) -> None:
    path = write_robot(tmp_path)
    (tmp_path / "room.pgm").unlink()
    result = haulier("config", "check", "--offline", "--config", path)
    assert_clear(result, 65, "ok    lidar.front driver", "FAIL  maps", "MAP_INVALID: map.hall: ")


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "agent", "config", "schema"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stderr:
        complaint = stderr.read()
    assert (process.wait(60.0), complaint) == (0, b"")
