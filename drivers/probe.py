"""Which device hangs on a port: every driver's handshake is tried until one is answered.

A handshake is played only up to its first answer: nothing is configured and nothing moves, because
a base's handshake begins with a stop. Bases come before lidars, whose requests mean something to
some bases, and what talks by itself is listened to first of all.
"""

import contextlib
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, get_args, get_origin, get_type_hints

from drivers import registry
from drivers.driver import Expect, Handshake, Reply, Send
from drivers.errors import DeviceFault, PortLost, StreamStale
from drivers.port import BytePort
from drivers.runner import HandshakeRun, PortOpener

BAUDS = (115_200, 38_400, 19_200, 9600, 57_600, 230_400, 256_000, 460_800, 921_600, 1_000_000)
LONGEST_SLEEP_S = 0.02


class ProbeClock(Protocol):
    """The part of a clock that probing needs."""

    def now_ns(self) -> int:
        """Monotonic time."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A driver with options that may fit.

    Attributes:
        name: Of the driver.
        options: By name, those that are not the default.
        driver: The driver.
    """

    name: str
    options: dict[str, Any]
    driver: Any

    @property
    def baud(self) -> int:
        """Line rate at which it is tried."""
        return int(self.driver.spec.baud)


@dataclass(frozen=True, slots=True)
class Finding:
    """The candidate that was answered, and what the device said."""

    candidate: Candidate
    answer: str


def candidates(names: list[str] | None = None) -> list[Candidate]:
    """Return what to try, the likeliest first: default options, then other line rates.

    Args:
        names: Drivers to try; all that are installed without.
    """
    wanted = [
        info
        for info in registry.available()
        if info.kind != "broken" and (names is None or info.name in names)
    ]
    drivers = {info.name: registry.load(info.name) for info in wanted}
    ranks = {name: _rank(driver(driver.options())) for name, driver in drivers.items()}
    found = [
        Candidate(name, options, built)
        for name, driver in drivers.items()
        for options, built in _variants(driver)
    ]
    return sorted(found, key=lambda each: (bool(each.options), ranks[each.name]))


def probe(
    tries: list[Candidate],
    open_port: PortOpener,
    clock: ProbeClock,
    note: Callable[[Candidate], None],
) -> Finding | None:
    """Try one candidate after the other and return the first that is answered.

    Args:
        tries: What to try.
        open_port: Opens the port as a driver wants it.
        clock: To wait by.
        note: Told of each try before it is made.

    Raises:
        PortUnavailable: The port cannot be opened.
        PortLost: It went away.
    """
    for candidate in tries:
        note(candidate)
        port = open_port(candidate.driver.spec)
        try:
            answer = _ask(candidate, port, clock)
        finally:
            port.close()
        if answer is not None:
            return Finding(candidate, answer)
    return None


def _variants(driver: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield the default driver, and one for each option that gives another line rate."""
    default = driver.options()
    seen = {driver(default).spec.baud}
    yield {}, driver(default)
    hints = get_type_hints(driver.options)
    for field in fields(driver.options):
        kind = hints[field.name]
        values = get_args(kind) if get_origin(kind) is Literal else ()
        for value in BAUDS if field.name == "baud" and not values else values:
            built = driver(replace(default, **{field.name: value}))
            if built.spec.baud not in seen:
                seen.add(built.spec.baud)
                yield {field.name: value}, built


def _rank(driver: Any) -> int:
    """Return 0 for devices that talk by themselves, 1 for bases, 2 for lidars."""
    steps = driver.start()
    step = next(steps)
    while not isinstance(step, Send | Expect):
        step = next(steps)
    if isinstance(step, Expect):
        return 0
    return 1 if hasattr(driver, "command") else 2


def _ask(candidate: Candidate, port: BytePort, clock: ProbeClock) -> str | None:
    """Play a handshake up to its first answer and return that, None for silence."""
    driver, answers = candidate.driver, list[Reply]()
    port.read()
    steps = _until_answered(driver.start(), answers)
    run = HandshakeRun(candidate.name, steps, driver.codec, port)
    try:
        while not answers and not run.advance(clock.now_ns()):
            file = port.fileno()
            select.select([] if file is None else [file], [], [], LONGEST_SLEEP_S)
            now_ns = clock.now_ns()
            for event in driver.codec.feed(port.read(), now_ns):
                if isinstance(event, Reply) and not answers:
                    run.advance(now_ns, event)
    except StreamStale:
        return None
    except DeviceFault as fault:
        return fault.detail
    if not answers:
        return None
    with contextlib.suppress(PortLost):
        for step in driver.stop():
            if isinstance(step, Send):
                port.write(step.data)
    return str(answers[0])


def _until_answered(steps: Handshake, answers: list[Reply]) -> Handshake:
    """Go through a handshake up to its first answer, which is appended to the list."""
    answer = None
    while not answers:
        try:
            step = steps.send(answer)
        except StopIteration:
            return
        answer = yield step
        if isinstance(step, Expect) and answer is not None:
            answers.append(answer)
