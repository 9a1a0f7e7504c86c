"""The options that choose the devices of a bench robot."""

import argparse

from hil.equipment import Equipment


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--lidar`` and ``--base``."""
    usual = Equipment()
    parser.add_argument(
        "--lidar",
        metavar="DRIVER",
        default=usual.lidar,
        help=f"which lidar the robot has, by its driver (default {usual.lidar})",
    )
    parser.add_argument(
        "--base",
        metavar="DRIVER",
        default=usual.base,
        help=f"which base the robot has, by its driver (default {usual.base})",
    )


def chosen(options: argparse.Namespace) -> Equipment:
    """Return what was chosen; raises BenchError or DriverError unless it exists."""
    equipment = Equipment(options.lidar, options.base)
    equipment.check()
    return equipment
