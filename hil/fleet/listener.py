"""Hears a whole fleet, in a process of its own: what arrives, how late, and what does not.

::

    python -m hil.fleet.listener --host 127.0.0.1 --port 1883 --stamps FILE

A line on stdout says that it listens; every line on stdin is answered with what came since the
last one.
"""

import argparse
import json
import resource
import sys
import threading
from array import array
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import Clock, SystemClock
from hil.fleet.robot import MANUFACTURER, number_of
from hil.fleet.stamps import TIMED, Stamps

FLEET: Final = f"uagv/v2/{MANUFACTURER}/+"
TOPICS: Final = {"state": 0, "visualization": 0, "connection": 1, "factsheet": 0, "history": 1}
HEADER_ID: Final = b'"headerId":'
SEQUENCE: Final = b'"sequence":'


class Listener:
    """Counts what a fleet says.

    Args:
        clock: By which messages are late.
        stamps: When they were handed over.
    """

    def __init__(self, clock: Clock, stamps: Stamps) -> None:
        self._clock = clock
        self._stamps = stamps
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._late_ms = {name: array("d") for name in TIMED}
        self._history: dict[str, set[int]] = {}
        self._again = self._connects = 0
        self.ready = threading.Event()

    def on_connect(self, client: paho.Client, *_: object) -> None:
        """Subscribe."""
        self._connects += 1
        client.subscribe([(f"{FLEET}/{name}", qos) for name, qos in TOPICS.items()])

    def on_subscribe(self, *_: object) -> None:
        """Say that it listens."""
        self.ready.set()

    def on_message(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        """Count one message."""
        payload = message.payload
        _, _, _, serial, name = message.topic.split("/")
        with self._lock:
            self._counts[name] += 1
            if name in TIMED:
                age_ns = self._stamps.age_ns(
                    number_of(serial),
                    TIMED.index(name),
                    _field(payload, HEADER_ID),
                    self._clock.now_ns(),
                )
                self._late_ms[name].append(age_ns * 1e-6)
            elif name == "history":
                number = _field(payload, SEQUENCE)
                known = self._history.setdefault(serial, set())
                self._again += number in known
                known.add(number)

    def report(self) -> dict[str, Any]:
        """Return what came since the last report, of the history since the beginning."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        with self._lock:
            counts, self._counts = self._counts, Counter()
            late_ms, self._late_ms = self._late_ms, {name: array("d") for name in TIMED}
            history = {serial: [len(n), max(n)] for serial, n in self._history.items()}
            again = self._again
        return {
            "received": dict(counts),
            "latency_ms": {
                name: [float(x) for x in np.percentile(values, (50, 99, 100))]
                for name, values in late_ms.items()
                if values
            },
            "history": history,
            "history_again": again,
            "connects": self._connects,
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }


def _field(payload: bytes | bytearray, name: bytes) -> int:
    """Return a whole number of a JSON object, without reading the rest."""
    at = payload.index(name) + len(name)
    return int(payload[at : payload.index(b",", at)])


def main() -> int:
    """Listen in this process."""
    parser = argparse.ArgumentParser(prog="python -m hil.fleet.listener", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--stamps", type=Path, required=True)
    options = parser.parse_args()
    listener = Listener(SystemClock(), Stamps(options.stamps))
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id="fleet-listener", clean_session=False
    )
    client.on_connect = listener.on_connect
    client.on_subscribe = listener.on_subscribe
    client.on_message = listener.on_message
    client.connect(options.host, options.port, 60)
    client.loop_start()
    listener.ready.wait(30.0)
    sys.stdout.write(f"{json.dumps({'listens': listener.ready.is_set()})}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(listener.report()) + "\n")
        sys.stdout.flush()
    client.disconnect()
    client.loop_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
