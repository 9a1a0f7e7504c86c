import os
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.capture import CaptureFile, CapturePort, Chunk, Direction, read_capture
from drivers.errors import CaptureUnusable, PortLost
from drivers.port import MemoryPort

CHUNKS = st.lists(
    st.builds(
        Chunk,
        st.integers(-(2**63), 2**63 - 1),
        st.sampled_from(Direction),
        st.binary(max_size=40),
    ),
    max_size=8,
)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path, chunks):
    path.unlink(missing_ok=True)
    with CaptureFile(path) as capture:
        for chunk in chunks:
            capture.write(chunk)
    assert capture.lost_bytes == 0


@in_one_folder
@given(CHUNKS)
def test_what_was_written_is_read(tmp_path, chunks):
    write(tmp_path / "capture", chunks)
    assert list(read_capture(tmp_path / "capture")) == chunks


@in_one_folder
@given(CHUNKS, st.data())
def test_a_torn_tail_costs_the_torn_chunk_only(tmp_path, chunks, data):
    path = tmp_path / "capture"
    write(path, chunks)
    size = data.draw(st.integers(0, path.stat().st_size))
    os.truncate(path, size)
    whole, end = 0, 8
    for chunk in chunks:
        end += 17 + len(chunk.data)
        whole += end <= size
    assert list(read_capture(path)) == chunks[:whole]


@in_one_folder
@given(CHUNKS.filter(bool), st.data())
def test_a_damaged_byte_ends_the_capture_there(tmp_path, chunks, data):
    path = tmp_path / "capture"
    write(path, chunks)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(8, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    good, end = 0, 8
    for chunk in chunks:
        end += 17 + len(chunk.data)
        good += end <= at
    assert list(read_capture(path)) == chunks[:good]


def test_a_tail_of_zeros_ends_the_capture(tmp_path):
    chunks = [Chunk(5, Direction.SENT, b"\xa5\x50")]
    write(tmp_path / "capture", chunks)
    with (tmp_path / "capture").open("ab") as file:
        file.write(bytes(4096))
    assert list(read_capture(tmp_path / "capture")) == chunks


def test_the_format_is_as_documented(tmp_path):
    write(tmp_path / "capture", [Chunk(1_000, Direction.RECEIVED, b"+\r")])
    head = struct.pack("<cqI", b"R", 1_000, 2)
    record = head + struct.pack("<I", zlib.crc32(head + b"+\r")) + b"+\r"
    assert (tmp_path / "capture").read_bytes() == b"HLCAP 1\n" + record


def test_a_port_is_captured_and_otherwise_unchanged(tmp_path):
    device, host = MemoryPort.pair()
    stamps = iter([10, 20, 30])
    with CaptureFile(tmp_path / "capture") as capture:
        port = CapturePort(host, capture, lambda: next(stamps))
        assert port.fileno() is None
        assert port.read() == b""
        port.write(b"?C\r")
        assert device.read() == b"?C\r"
        device.write(b"C=1:2\r")
        assert port.read() == b"C=1:2\r"
        device.close()
        for use in (port.read, lambda: port.write(b"lost")):
            with pytest.raises(PortLost):
                use()
    assert list(read_capture(tmp_path / "capture")) == [
        Chunk(10, Direction.SENT, b"?C\r"),
        Chunk(20, Direction.RECEIVED, b"C=1:2\r"),
    ]


def test_one_capture_spans_reconnects(tmp_path):
    with CaptureFile(tmp_path / "capture") as capture:
        for stamp_ns in (1, 2):
            _, host = MemoryPort.pair()
            port = CapturePort(host, capture, lambda stamp_ns=stamp_ns: stamp_ns)
            port.write(b"hello")
            port.close()
            with pytest.raises(PortLost):
                host.read()
    assert [chunk.stamp_ns for chunk in read_capture(tmp_path / "capture")] == [1, 2]


def test_a_full_disk_does_not_stop_the_port():
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    device, host = MemoryPort.pair()

    class Full:
        """A path whose file opens and takes nothing."""

        def open(self, mode, buffering):
            return Path("/dev/full").open("wb", buffering=buffering)

    with CaptureFile(Full()) as capture:
        port = CapturePort(host, capture, lambda: 0)
        port.write(b"abc")
        assert device.read() == b"abc"
        assert capture.lost_bytes == 3


def test_a_closed_capture_counts_what_it_misses(tmp_path):
    capture = CaptureFile(tmp_path / "capture")
    capture.close()
    capture.write(Chunk(0, Direction.SENT, b"abc"))
    assert capture.lost_bytes == 3


def test_unusable_files_are_refused(tmp_path):
    (tmp_path / "there").write_bytes(b"precious recording")
    with pytest.raises(CaptureUnusable, match="File exists"):
        CaptureFile(tmp_path / "there")
    with pytest.raises(CaptureUnusable, match="No such file"):
        CaptureFile(tmp_path / "folder" / "capture")
    with pytest.raises(CaptureUnusable, match="No such file"):
        list(read_capture(tmp_path / "none"))
    with pytest.raises(CaptureUnusable, match="not a capture"):
        list(read_capture(tmp_path / "there"))
    with pytest.raises(CaptureUnusable, match="Is a directory"):
        list(read_capture(tmp_path))
