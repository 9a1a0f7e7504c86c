"""``haulier run``: the daemon."""

import argparse
import sys
from pathlib import Path

from agent.cli.verb import Verb


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=Path("/etc/haulier/haulier.toml"))


def _run(options: argparse.Namespace) -> int:
    from agent import config, main
    from agent.telemetry import log

    log.configure(console=sys.stderr.isatty())
    return main.run(config.load(options.config))


VERB = Verb("run", "run the daemon in the foreground", _configure, _run)
