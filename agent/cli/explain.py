"""``haulier explain``: what an error code means and what to do about it."""

import argparse
import contextlib
import difflib
import sys
from importlib import metadata

import agent.errors  # noqa: F401 - defines the subclasses that are listed
from agent.cli import PLUGINS
from agent.cli.verb import Verb
from drivers import registry
from drivers.errors import HaulierError


def _learn() -> None:
    """Load what other distributions add: verbs and drivers may define errors of their own."""
    registry.available()
    for point in metadata.entry_points(group=PLUGINS):
        with contextlib.suppress(ImportError, AttributeError):
            point.load()


def codes(root: type[HaulierError] = HaulierError) -> dict[str, type[HaulierError]]:
    """Return every error of the product by its code."""
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= codes(child)
    return found


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", help="such as PORT_LOST; all of them without")


def _run(options: argparse.Namespace) -> int:
    _learn()
    known = codes()
    if options.code is None:
        for code, error in sorted(known.items()):
            print(f"{code:22} {(error.__doc__ or '').splitlines()[0]}")
        return 0
    error_class = known.get(options.code.upper())
    if error_class is None:
        near = difflib.get_close_matches(options.code.upper(), known, n=1)
        guess = f"did you mean {near[0]}?" if near else "'haulier explain' lists them all"
        sys.stderr.write(f"haulier: no such code: {options.code}; {guess}\n")
        return 2
    print(f"{error_class.code}: {(error_class.__doc__ or '').strip()}")
    print(f"\nplatform sees: {error_class.vda_type} ({error_class.level})")
    print(f"exit status:   {error_class.exit_code}")
    print(f"what to do:    {error_class.hint}")
    return 0


VERB = Verb("explain", "say what an error code means and what to do", _configure, _run)
