"""Runs a driver on a port: opening, handshake, polls, paced commands, stamps, reconnects.

One :class:`DeviceRunner` serves one device and does whatever is due when it is called; it has no
thread and no clock of its own, so that the same code runs on a UART in real time and in memory
under a simulated clock. :class:`IoLoop` calls all runners of a robot from one thread.
"""

import contextlib
import math
import os
import select
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, cast

from drivers.driver import (
    BaseDriver,
    Codec,
    Event,
    Expect,
    Flush,
    Handshake,
    LidarDriver,
    PortSpec,
    Reply,
    Send,
    Step,
    Wait,
)
from drivers.errors import DriverError, PortLost, StreamStale
from drivers.measurement import VelocityCommand
from drivers.port import BytePort

FIRST_RETRY_NS = 100_000_000
LONGEST_RETRY_NS = 2_000_000_000
SETTLE_NS = 5_000_000_000  # from the end of the handshake to the first measurement: motors spin up
LONGEST_SLEEP_S = 0.5


class Phase(StrEnum):
    """Where a device is on its way to delivering."""

    CONNECTING = "connecting"
    STARTING = "starting"
    STREAMING = "streaming"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class DeviceState:
    """A transition of a device, and equally its present state.

    Attributes:
        device: Name given to the runner.
        phase: Since ``since_ns``.
        since_ns: Monotonic time.
        error: What went wrong last, None once the device streams.
    """

    device: str
    phase: Phase
    since_ns: int
    error: DriverError | None = None


Output: TypeAlias = Event | DeviceState
PortOpener: TypeAlias = Callable[[PortSpec], BytePort]


class HandshakeRun:
    """A driver's handshake in progress on a port."""

    def __init__(self, device: str, steps: Handshake, codec: Codec, port: BytePort) -> None:
        self._device = device
        self._steps = steps
        self._codec = codec
        self._port = port
        self._step: Step = Wait(0.0)
        self.deadline_ns = 0

    def advance(self, now_ns: int, reply: Reply | None = None) -> bool:
        """Carry on as far as it goes without waiting; True once the handshake is over.

        Args:
            now_ns: Monotonic time.
            reply: A reply that arrived; those that no step waits for are of no interest.

        Raises:
            StreamStale: An expected reply did not come in time.
        """
        while True:
            answer = None
            match self._step:
                case Send(data):
                    self._port.write(data)
                case Flush():
                    self._port.read()
                    self._codec.reset()
                case Wait() if now_ns < self.deadline_ns:
                    return False
                case Expect() as step:
                    if isinstance(reply, step.reply):
                        answer, reply = reply, None
                    elif now_ns < self.deadline_ns:
                        return False
                    elif not step.optional:
                        raise StreamStale(f"{self._device}: {step.silence} in {step.timeout_s:g} s")
            try:
                self._step = self._steps.send(answer)
            except StopIteration:
                return True
            self.deadline_ns = now_ns + _patience_ns(self._step)


def _patience_ns(step: Step) -> int:
    match step:
        case Wait(duration_s):
            return round(duration_s * 1e9)
        case Expect():
            return round(step.timeout_s * 1e9)
    return 0


class DeviceRunner:
    """Keeps one device delivering.

    Args:
        name: Of the device, as in status and logs.
        driver: What to say and how to read the answers.
        open_port: Opens its port, raising PortUnavailable.
    """

    def __init__(self, name: str, driver: LidarDriver | BaseDriver, open_port: PortOpener) -> None:
        self.name = name
        self.driver = driver
        self.state = DeviceState(name, Phase.CONNECTING, 0)
        self._open_port = open_port
        self._port: BytePort | None = None
        self._handshake: HandshakeRun | None = None
        self._retry_ns = FIRST_RETRY_NS
        self._retry_at_ns = 0
        self._stale_at_ns = 0
        self._heard_bytes = 0
        self._polls_at_ns = [0] * len(driver.polls)
        self._outputs: list[Output] = []
        self._releases = False
        self._base = cast(BaseDriver, driver) if hasattr(driver, "command") else None
        self._command: VelocityCommand | None = None
        self._command_is_new = False
        self._command_at_ns = 0
        self._commanded_ns: int | None = None

    def submit(self, command: VelocityCommand) -> None:
        """Set what the base shall do; may be called from another thread, the newest wins.

        It is due at once: the next :meth:`service` sends it, and the beat goes on from there.
        """
        self._command = command
        self._command_is_new = True

    def release(self) -> None:
        """Tell the base that an emergency stop is over; may be called from another thread."""
        self._releases = True

    def fileno(self) -> int | None:
        """What to select on, None while there is nothing."""
        return None if self._port is None else self._port.fileno()

    @property
    def deadline_ns(self) -> int:
        """When :meth:`service` has something to do even if nothing arrives."""
        if self._port is None:
            return self._retry_at_ns
        if self._handshake is not None:
            return self._handshake.deadline_ns
        due = [self._stale_at_ns, *self._polls_at_ns]
        if self._base is not None:
            due.append(0 if self._command_is_new else self._command_at_ns)
        return min(due)

    def service(self, now_ns: int) -> list[Output]:
        """Do everything that is due and return what came of it.

        Args:
            now_ns: Monotonic time; bytes that are waiting count as having arrived now.
        """
        self._outputs = []
        try:
            port = self._connected(now_ns)
            if port is not None:
                self._receive(port, now_ns)
                self._work(port, now_ns)
        except DriverError as error:
            self._lose(error, now_ns)
        return self._outputs

    def shutdown(self) -> None:
        """Leave the device at rest, as far as it still listens, and close the port."""
        try:
            if self._port is not None:
                for step in self.driver.stop():
                    if isinstance(step, Send):
                        self._port.write(step.data)
        except PortLost:
            # Gone is at rest: the device's own watchdog sees to it.
            return
        finally:
            self._close()

    def _connected(self, now_ns: int) -> BytePort | None:
        """Return the open port, opening it when its time has come."""
        if self._port is None and now_ns >= self._retry_at_ns:
            port = self._port = self._open_port(self.driver.spec)
            self.driver.codec.reset()
            self._handshake = HandshakeRun(self.name, self.driver.start(), self.driver.codec, port)
            if self.state.error is None:
                self._enter(DeviceState(self.name, Phase.STARTING, now_ns))
        return self._port

    def _receive(self, port: BytePort, now_ns: int) -> None:
        data = port.read()
        if not data:
            return
        for event in self.driver.codec.feed(data, now_ns):
            if isinstance(event, Reply):
                self._continue_handshake(now_ns, event)
            elif self._handshake is None:
                self._note_alive(now_ns)
                self._outputs.append(event)

    def _note_alive(self, now_ns: int) -> None:
        self._stale_at_ns = now_ns + round(self.driver.stale_after_s * 1e9)
        self._heard_bytes = self.driver.codec.stats.received_bytes
        if self.state.phase is not Phase.STREAMING:
            self._retry_ns = FIRST_RETRY_NS
            self._enter(DeviceState(self.name, Phase.STREAMING, now_ns))

    def _continue_handshake(self, now_ns: int, reply: Reply | None = None) -> None:
        if self._handshake is not None and self._handshake.advance(now_ns, reply):
            self._handshake = None
            self._stale_at_ns = now_ns + SETTLE_NS
            self._heard_bytes = self.driver.codec.stats.received_bytes
            self._polls_at_ns = [now_ns] * len(self.driver.polls)
            self._command_at_ns = now_ns
            self._commanded_ns = None

    def _work(self, port: BytePort, now_ns: int) -> None:
        """Go on with the handshake, or with what a running device needs."""
        self._continue_handshake(now_ns)
        if self._handshake is not None:
            return
        if now_ns >= self._stale_at_ns:
            # Silence and noise are different cables to look at.
            heard = self.driver.codec.stats.received_bytes - self._heard_bytes
            raise StreamStale(f"{self.name}: {heard} bytes and no measurement since the last one")
        for i, poll in enumerate(self.driver.polls):
            if now_ns >= self._polls_at_ns[i]:
                port.write(poll.data)
                self.driver.codec.note_sent(poll.data, now_ns)
                self._polls_at_ns[i] = _next_beat(self._polls_at_ns[i], poll.period_s, now_ns)
        if self._base is not None:
            if self._releases:
                self._releases = False
                port.write(self._base.release())
            self._pace_command(self._base, port, now_ns)

    def _pace_command(self, base: BaseDriver, port: BytePort, now_ns: int) -> None:
        """Send a new command at once, and the one at hand at a fixed beat."""
        is_new = self._command_is_new
        if is_new:
            # Cleared before the command is read: one that comes in between is sent once more.
            self._command_is_new = False
        if is_new or now_ns >= self._command_at_ns:
            port.write(self._command_bytes(base, now_ns))
            due_ns = now_ns if is_new else self._command_at_ns
            self._command_at_ns = _next_beat(due_ns, base.command_period_s, now_ns)
            self._commanded_ns = now_ns

    def _command_bytes(self, base: BaseDriver, now_ns: int) -> bytes:
        """Return the newest command while it is valid and finite; a stop first after any silence.

        A tripped watchdog lets some controllers resume their old speed with the next command,
        whatever it says, so the first one after a silence must be a stop.
        """
        command = self._command
        if command is None or now_ns > command.valid_until_ns or not _is_finite(command):
            return base.command(None)
        last_ns, longest_ns = self._commanded_ns, base.watchdog_ms * 500_000
        if last_ns is None or now_ns - last_ns > longest_ns:
            return base.command(None) + base.command(command)
        return base.command(command)

    def _lose(self, error: DriverError, now_ns: int) -> None:
        """Close the port and try again later, each time a little later.

        The state tells when the trouble began and what it is now; a retry that ends the same way
        is no transition.
        """
        error.context.setdefault("device", self.name)
        self._close()
        self._retry_at_ns = now_ns + self._retry_ns
        self._retry_ns = min(2 * self._retry_ns, LONGEST_RETRY_NS)
        known = self.state.error
        if known is None:
            self._enter(DeviceState(self.name, Phase.LOST, now_ns, error))
        elif known.code != error.code:
            self._enter(DeviceState(self.name, Phase.LOST, self.state.since_ns, error))

    def _close(self) -> None:
        if self._port is not None:
            self._port.close()
        self._port = self._handshake = None

    def _enter(self, state: DeviceState) -> None:
        self.state = state
        self._outputs.append(state)


def _is_finite(command: VelocityCommand) -> bool:
    return math.isfinite(command.forward_mps) and math.isfinite(command.yaw_rate_radps)


def _next_beat(due_ns: int, period_s: float, now_ns: int) -> int:
    """Return the next time of a fixed beat, leaving out the beats that were missed."""
    period_ns = round(period_s * 1e9)
    return max(due_ns + period_ns, now_ns + period_ns // 2)


class MonotonicClock(Protocol):
    """The part of a clock that the I/O thread needs."""

    def now_ns(self) -> int:
        """Monotonic time."""


class IoLoop:
    """Serves all runners of a robot; ``run`` is the body of the one I/O thread."""

    def __init__(self, runners: Sequence[DeviceRunner], clock: MonotonicClock) -> None:
        self._runners = runners
        self._clock = clock
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # Once closed, the number of the pipe may belong to somebody else's file.
        self._pipe_lock = threading.Lock()
        self._pipe_open = True

    def wake(self) -> None:
        """Have the thread look around now, as after a command was submitted or to stop."""
        with self._pipe_lock:
            # Full means that a wake-up is on its way already.
            if self._pipe_open:
                with contextlib.suppress(BlockingIOError):
                    os.write(self._wake_in, b"\0")

    def run(self, sink: Callable[[str, Output], None], stop: threading.Event) -> None:
        """Serve until ``stop`` is set, then leave all devices at rest.

        Args:
            sink: Takes each output with the name of its device; must not block.
            stop: Set it, then call :meth:`wake`.
        """
        try:
            while not stop.is_set():
                self._sleep()
                now_ns = self._clock.now_ns()
                for runner in self._runners:
                    for output in runner.service(now_ns):
                        sink(runner.name, output)
        finally:
            for runner in self._runners:
                runner.shutdown()
            with self._pipe_lock:
                self._pipe_open = False
                os.close(self._wake_in)
                os.close(self._wake_out)

    def _sleep(self) -> None:
        """Wait for bytes, for a wake-up, or for the earliest deadline."""
        files = [fd for runner in self._runners if (fd := runner.fileno()) is not None]
        now_ns = self._clock.now_ns()
        due_s = [(runner.deadline_ns - now_ns) * 1e-9 for runner in self._runners]
        patience_s = max(0.0, min([LONGEST_SLEEP_S, *due_s]))
        ready, _, _ = select.select([*files, self._wake_out], [], [], patience_s)
        if self._wake_out in ready:
            os.read(self._wake_out, 4096)
