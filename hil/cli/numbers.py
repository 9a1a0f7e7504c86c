"""Numbers on the command line of the bench."""

import argparse
import math


def parse_count(text: str) -> int:
    """Read a whole number from 1 up; raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"not a whole number from 1 up: {text}")
    return int(text)


def parse_positive(text: str) -> float:
    """Read a number greater than 0; raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise argparse.ArgumentTypeError(f"not a positive number: {text}")
    return value


def parse_seed(text: str) -> int:
    """Read a whole number from 0 up; raises ArgumentTypeError."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"not a whole number from 0 up: {text}")
    return int(text)
