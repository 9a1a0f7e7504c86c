"""Every installed driver keeps the contract, and a driver that does not is found out."""

from dataclasses import replace
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import kernels, registry
from drivers.capture import CaptureFile, Chunk, Direction
from drivers.kernels.ld06 import FRAME_BYTES, decode_frames
from drivers.lidar import ld06
from drivers.lidar.ld06 import Ld06, Ld06Codec
from hil.contract import CHECKS, require_harmless, subject_named
from hil.emulator import registry as emulators
from hil.emulator.ld06 import crc8
from hil.errors import BenchError, ContractBroken

NAMES = [info.name for info in registry.available() if info.name in emulators.targets()]
SUBJECTS = {name: subject_named(name) for name in NAMES}


PLUGGED = ("unplug", "stall", "burst", "silence", "wrong_baud", "fault")


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in PLUGGED])
@pytest.mark.parametrize("name", NAMES)
def test_its_bytes_keep_the_contract(name, check):
    CHECKS[check](SUBJECTS[name])


@pytest.mark.slow
@pytest.mark.parametrize("check", PLUGGED)
@pytest.mark.parametrize("name", NAMES)
def test_its_plug_keeps_the_contract(name, check):
    CHECKS[check](SUBJECTS[name])


def test_every_driver_of_ours_has_an_emulator():
    assert set(registry.OURS) == set(emulators.OURS)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(data=st.binary(max_size=3000), size=st.integers(1, 3000))
def test_noise_is_no_error(name, data, size):
    require_harmless(SUBJECTS[name], data, size)


def broken(codec):
    """Return the LD06 driver with a codec that something is wrong with."""

    class Broken(Ld06):
        """A driver that must not pass."""

        name: ClassVar[str] = "ld06"

        def __init__(self, options):
            super().__init__(options)
            self.codec = codec(options)

    return replace(SUBJECTS["ld06"], driver=Broken)


class Hasty(Ld06Codec):
    """Takes every chunk for whole frames."""

    def feed(self, data, received_ns):
        self._window.clear()
        return super().feed(data, received_ns)


class Impatient(Ld06Codec):
    """Throws everything away when a check fails."""

    def feed(self, data, received_ns):
        before = self.stats.bad_checksums
        events = super().feed(data, received_ns)
        if self.stats.bad_checksums > before:
            self._window.clear()
        return events


class Fragile(Ld06Codec):
    """Believes that only frames come."""

    def feed(self, data, received_ns):
        if b"\x54\x54" in data:
            raise IndexError("two frames begin at once")
        return super().feed(data, received_ns)


class Leftover(Ld06Codec):
    """Keeps half a frame over a reconnect."""

    def reset(self):
        self._assembler.clear()


class Dreamer(Ld06Codec):
    """Says that it saw the world when it heard of it, to the microsecond after."""

    def feed(self, data, received_ns):
        events = super().feed(data, received_ns)
        return [
            replace(event, stamp_ns=event.received_ns + 1000)
            if hasattr(event, "stamp_ns")
            else event
            for event in events
        ]


@pytest.mark.parametrize(
    ("codec", "check"),
    [
        (Hasty, "chunking"),
        (Impatient, "resync"),
        (Fragile, "any_bytes"),
        (Leftover, "reset"),
        (Dreamer, "session"),
    ],
)
def test_a_broken_codec_is_found_out(codec, check):
    with pytest.raises(ContractBroken):
        CHECKS[check](broken(codec))


def test_a_codec_without_a_checksum_is_found_out(monkeypatch):
    def decode_unchecked(data, *columns):
        mended = data.copy()
        for at in range(mended.size - FRAME_BYTES + 1):
            if mended[at] == 0x54 and mended[at + 1] == 0x2C:
                mended[at + 46] = crc8(mended[at : at + 46].tobytes())
        mended.setflags(write=False)
        return decode_frames(mended, *columns)

    monkeypatch.setattr(ld06, "decode_frames", decode_unchecked)
    with pytest.raises(ContractBroken, match="flipped made"):
        CHECKS["flipped_bits"](replace(SUBJECTS["ld06"], seed=2))


def test_a_driver_that_waits_for_an_answer_to_stop_is_found_out():
    class Clinging(Ld06):
        """Does not let go."""

        def stop(self):
            return self.start()

    with pytest.raises(ContractBroken, match="stopping needs"):
        CHECKS["stop"](replace(SUBJECTS["ld06"], driver=Clinging))


def test_a_driver_that_never_gives_up_is_found_out():
    class Patient(Ld06):
        """Takes silence for a good sign."""

        def __init__(self, options):
            super().__init__(options)
            self.stale_after_s = 1e6

    for check in ("plate", "silence"):
        with pytest.raises(ContractBroken):
            CHECKS[check](replace(SUBJECTS["ld06"], driver=Patient))


def test_a_driver_without_an_emulator_needs_a_capture(monkeypatch):
    monkeypatch.setattr(emulators, "OURS", {})
    with pytest.raises(BenchError, match="driver ld06 has no emulator: name a capture"):
        subject_named("ld06")


def test_the_bytes_of_a_captured_session_will_do(tmp_path, monkeypatch):
    path = tmp_path / "spinner.capture"
    with CaptureFile(path) as capture:
        capture.write(Chunk(0, Direction.SENT, b"not from the device"))
        capture.write(Chunk(1, Direction.RECEIVED, SUBJECTS["ld06"].session))
    monkeypatch.setattr(emulators, "OURS", {})
    subject = subject_named("ld06", path)
    assert subject.emulator is None
    for check in CHECKS.values():
        check(subject)


@pytest.mark.parametrize("name", NAMES)
def test_warm_up_leaves_nothing_to_compile(name):
    def signatures():
        return {
            f"{family.__name__}.{name}": len(value.signatures)
            for family in kernels.FAMILIES
            for name, value in vars(family).items()
            if hasattr(value, "signatures")
        }

    kernels.warm_up()
    before = signatures()
    CHECKS["session"](SUBJECTS[name])
    assert signatures() == before
