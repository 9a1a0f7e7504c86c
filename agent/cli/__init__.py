"""The ``haulier`` command: one module per verb, imported only when it is called."""

import argparse
import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import metadata

from agent.cli.verb import Verb
from drivers.errors import HaulierError

VERBS = {
    "run": "agent.cli.run",
    "status": "agent.cli.status",
    "pose": "agent.cli.pose",
    "acknowledge": "agent.cli.acknowledge",
    "order": "agent.cli.order",
    "config": "agent.cli.config",
    "driver": "agent.cli.driver",
    "port": "agent.cli.port",
    "eval": "agent.cli.eval",
    "telemetry": "agent.cli.telemetry",
    "explain": "agent.cli.explain",
    "warmup": "agent.cli.warmup",
}
PLUGINS = "haulier.verbs"
NEGATIVE = re.compile(r"-[0-9.][0-9.eE+-]*(,[0-9.eE+-]+)+")

EPILOG = """exit status:
  0    done, or healthy
  1    the answer is no: unhealthy, not localized, order not finished, limits exceeded
  2    the command line itself is wrong
  65   a map, log or order cannot be read
  69   a device, the broker or the daemon cannot be reached
  70   an error of ours
  78   the configuration is wrong
  80   shut down by the platform
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    words = _attach_negative(sys.argv[1:] if arguments is None else arguments)
    plugins = {point.name: point for point in metadata.entry_points(group=PLUGINS)}
    called = next((word for word in words if not word.startswith("-")), None)
    names = [called] if called in VERBS or called in plugins else [*VERBS, *plugins]
    parser = argparse.ArgumentParser(
        prog="haulier",
        description="Onboard agent for autonomous transport robots.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=metadata.version("haulier"))
    subparsers = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in names:
        verb = _load(name, plugins)
        verb.configure(subparsers.add_parser(verb.name, help=verb.help, description=verb.help))
    options = parser.parse_args(words)
    # A verb that started processes of its own must get the chance to end them.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        status = _load(options.verb, plugins).run(options)
        sys.stdout.flush()
        return status
    except HaulierError as error:
        sys.stderr.write(f"haulier: {error.code}: {error.detail}\n  hint: {error.hint}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away, as `head` does. Nothing must be flushed there at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _attach_negative(words: Sequence[str]) -> list[str]:
    """Keep argparse from taking ``-1,2,3`` for an option: join it to the one before, or indent it.

    ``--init -1,2,3`` becomes ``--init=-1,2,3``; a word with a space in it is never an option.
    """
    joined: list[str] = []
    for word in words:
        if NEGATIVE.fullmatch(word) and joined and joined[-1].startswith("--"):
            joined[-1] += f"={word}"
        elif NEGATIVE.fullmatch(word):
            joined.append(f" {word}")
        else:
            joined.append(word)
    return joined


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _load(name: str, plugins: dict[str, metadata.EntryPoint]) -> Verb:
    verb = plugins[name].load() if name in plugins else importlib.import_module(VERBS[name]).VERB
    if not isinstance(verb, Verb):
        raise TypeError(f"{PLUGINS} entry point {name} is not a Verb")
    return verb
