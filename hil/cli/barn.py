"""``haulier bench barn``: drives among standing cylinders, by the rules of the BARN Challenge."""

import argparse
from pathlib import Path

from hil.cli import courses


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = (
        "Drive through the courses of a file of BARN worlds, one after the other, and score each "
        "by the rules of the BARN Challenge."
    )
    parser.add_argument("worlds_file", type=Path, metavar="WORLDS.npz", help="set of courses")
    courses.add_options(parser)
    parser.add_argument(
        "--localization",
        action="store_true",
        help="drive by the agent's own localization, on a map of the course",
    )
    parser.add_argument(
        "--with-path",
        action="store_true",
        help="give the navigator the reference path, which touches cylinders",
    )


def run(options: argparse.Namespace) -> int:
    """Drive and print; what is good enough is for the reader to say."""
    from hil.arena.campaign import selected
    from hil.arena.course_file import read_static

    chosen = selected(read_static(options.worlds_file), options.worlds)
    campaign = courses.make_campaign(
        options, with_path=options.with_path, localized=options.localization
    )
    courses.show(courses.drive(campaign, chosen, options), options.json)
    return 0
