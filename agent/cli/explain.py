"""``haulier explain``: what an error code means and what to do about it."""

import argparse

import agent.errors  # noqa: F401 - defines the subclasses that are listed
from agent.cli.verb import Verb
from drivers.errors import HaulierError


def _codes(root: type[HaulierError] = HaulierError) -> dict[str, type[HaulierError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _codes(child)
    return found


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("code", nargs="?", help="such as PORT_LOST; all of them without")


def _run(options: argparse.Namespace) -> int:
    codes = _codes()
    if options.code is None:
        for code, error in sorted(codes.items()):
            print(f"{code:22} {(error.__doc__ or '').splitlines()[0]}")
        return 0
    error_class = codes.get(options.code.upper())
    if error_class is None:
        print(f"no such code: {options.code}; 'haulier explain' lists them all")
        return 2
    print(f"{error_class.code}: {(error_class.__doc__ or '').strip()}")
    print(f"\nplatform sees: {error_class.vda_type} ({error_class.level})")
    print(f"exit status:   {error_class.exit_code}")
    print(f"what to do:    {error_class.hint}")
    return 0


VERB = Verb("explain", "say what an error code means and what to do", _configure, _run)
