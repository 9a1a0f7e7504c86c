import os
import tty
from contextlib import contextmanager
from pathlib import Path

import pytest

from drivers.driver import PortSpec
from drivers.errors import PortLost, PortUnavailable
from drivers.port import MemoryPort, SerialPort

SPEC = PortSpec(baud=115_200)
# What pyserial says of a port that was pulled, and of most else.
MISLEADING = ("multiple access", "could not open port", "Could not configure", "Errno", "readiness")


@pytest.fixture
def line():
    """The device's end of a raw pty and the name of the other end."""
    master, slave = os.openpty()
    tty.setraw(slave)
    ends = {"master": master, "node": os.ttyname(slave)}
    os.close(slave)
    yield ends
    if ends["master"] is not None:
        os.close(ends["master"])


@contextmanager
def serial_port(node, spec=SPEC):
    port = SerialPort(node, spec)
    try:
        yield port
    finally:
        port.close()


def refuse(node):
    with pytest.raises(PortUnavailable) as caught:
        SerialPort(node, SPEC)
    text = caught.value.detail
    assert text.startswith(f"{node}: ")
    assert not [words for words in MISLEADING if words in text]
    return text.removeprefix(f"{node}: ")


def test_bytes_go_both_ways_and_nothing_waits(line):
    with serial_port(line["node"]) as port:
        assert port.read() == b""
        os.write(line["master"], bytes(range(256)))
        received = b""
        while len(received) < 256:
            received += port.read()
        assert received == bytes(range(256))
        port.write(bytes(range(256)))
        assert os.read(line["master"], 4096) == bytes(range(256))


def test_what_waited_before_is_thrown_away(line):
    # Held open, so that the bytes have somewhere to wait.
    holder = os.open(line["node"], os.O_RDWR | os.O_NOCTTY)
    os.write(line["master"], b"stale")
    with serial_port(line["node"]) as port:
        os.write(line["master"], b"fresh")
        received = b""
        while len(received) < 5:
            received += port.read()
        assert received == b"fresh"
    os.close(holder)


def test_modem_lines_do_no_harm_on_a_pty(line):
    with serial_port(line["node"], PortSpec(baud=256_000, dtr=False, rts=True)) as port:
        assert port.read() == b""


def test_bytes_written_right_before_closing_still_arrive(line):
    with serial_port(line["node"]) as port:
        port.write(b"!M 0 0\r")
    assert os.read(line["master"], 100) == b"!M 0 0\r"


def test_an_unplugged_port_is_lost(line):
    with serial_port(line["node"]) as port:
        os.close(line["master"])
        line["master"] = None
        for use in (port.read, lambda: port.write(b"x")):
            with pytest.raises(PortLost) as caught:
                use()
            assert caught.value.detail == f"{line['node']}: the other end is gone"


def test_a_closed_port_is_lost_and_closes_twice(line):
    port = SerialPort(line["node"], SPEC)
    assert isinstance(port.fileno(), int)
    port.close()
    port.close()
    assert port.fileno() is None
    for use in (port.read, lambda: port.write(b"x")):
        with pytest.raises(PortLost, match="closed"):
            use()


def test_a_port_that_takes_no_more_is_lost(line):
    with serial_port(line["node"]) as port, pytest.raises(PortLost, match="takes no more bytes"):
        for _ in range(1000):
            port.write(bytes(1000))


def test_a_missing_node_is_unavailable(tmp_path):
    assert refuse(str(tmp_path / "ttyUSB0")) == "no such device node"
    (tmp_path / "lidar").symlink_to(tmp_path / "gone")
    assert refuse(str(tmp_path / "lidar")) == "no such device node"


def test_a_busy_port_is_unavailable(line):
    with serial_port(line["node"]):
        assert refuse(line["node"]) == "in use by another program"
    with serial_port(line["node"]) as again:
        assert again.read() == b""


def test_what_is_no_serial_port_is_unavailable(tmp_path):
    (tmp_path / "file").write_bytes(b"precious")
    assert refuse(str(tmp_path / "file")) == "not a serial port"
    assert refuse(str(tmp_path)) == "not a serial port"
    assert refuse("/dev/null") == "not a serial port"
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_name_that_cannot_be_is_unavailable():
    assert refuse("tty\0USB") == "cannot be set up as a serial port"


def test_a_forbidden_port_is_unavailable(line):
    Path(line["node"]).chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)
    try:
        assert refuse(line["node"]) == "permission denied"
    finally:
        if root:
            os.seteuid(0)


def test_failed_openings_leak_no_descriptor(tmp_path):
    (tmp_path / "file").touch()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        refuse(str(tmp_path / "file"))
        refuse(str(tmp_path / "none"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_memory_carries_bytes_both_ways():
    device, host = MemoryPort.pair()
    host.write(b"ab")
    host.write(b"c")
    device.write(b"xyz")
    assert (device.read(), device.read(), host.read()) == (b"abc", b"", b"xyz")
    assert host.fileno() is None


@pytest.mark.parametrize("end", [0, 1])
def test_a_cut_memory_line_is_lost_at_both_ends(end):
    ends = MemoryPort.pair()
    ends[end].close()
    ends[end].close()
    for port in ends:
        with pytest.raises(PortLost, match="the other end is gone"):
            port.read()
        with pytest.raises(PortLost, match="the other end is gone"):
            port.write(b"x")
