"""``haulier consume``: the robots' history from the broker into a database."""

import argparse
import json
import signal
import threading
from dataclasses import asdict
from pathlib import Path

from agent.cli.verb import Verb
from agent.clock import SystemClock
from hil.cli.numbers import parse_positive

DESCRIPTION = """\
Receive the history of all robots, store each event once, and tell by the sequence numbers what is
missing. Ends with Ctrl-C, or with --seconds; exit status 1 if anything is missing unexplained."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("database", type=Path, metavar="FILE.sqlite", help="made if missing")
    parser.add_argument("--host", default="localhost", help="of the broker (default localhost)")
    parser.add_argument("--port", type=int, default=1883, help="of the broker (default 1883)")
    parser.add_argument(
        "--topic",
        default="uagv/v2/+/+/history",
        help="filter of the topics (default uagv/v2/+/+/history)",
    )
    parser.add_argument(
        "--client-id", default="haulier-consumer", help="session that the broker keeps"
    )
    parser.add_argument("--seconds", type=parse_positive, help="end after this time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: argparse.Namespace) -> int:
    from hil.consumer.receiver import Receiver
    from hil.consumer.store import EventStore

    stop = threading.Event()
    # By itself Python leaves SIGINT ignored in what a script has started in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with EventStore(options.database) as store:
        receiver = Receiver(
            options.host, options.port, options.topic, store, SystemClock(), options.client_id
        )
        thread = threading.Thread(target=receiver.run, args=(stop,), name="consumer")
        thread.start()
        try:
            stop.wait(options.seconds)
        finally:
            stop.set()
            thread.join()
        receiver.check()
        proofs = store.proofs()
    if options.json:
        tree = {"received": asdict(receiver.reception), "robots": [asdict(p) for p in proofs]}
        print(json.dumps(tree, indent=2))
    else:
        got = receiver.reception
        print(
            f"{got.messages} messages: {got.events} new events, {got.repeats} repeated, "
            f"{got.refused} refused"
        )
        for proof in proofs:
            print(
                f"{proof.robot}: {proof.records} records of {proof.boots} boots up to "
                f"{proof.newest}; {proof.lost} lost as the robot said, {proof.missing} missing"
            )
    return 1 if any(proof.missing for proof in proofs) else 0


VERB = Verb("consume", "take the robots' history from the broker into SQLite", _configure, _run)
