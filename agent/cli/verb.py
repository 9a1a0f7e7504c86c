"""What a module of the command line offers to the dispatcher."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """One word after ``haulier``.

    Attributes:
        name: The word.
        help: One line for ``haulier --help``.
        configure: Adds the verb's arguments to its parser.
        run: Does the work and returns the exit code; a ``HaulierError`` it raises is shown with its
            hint and turned into an exit code by the dispatcher.
    """

    name: str
    help: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
