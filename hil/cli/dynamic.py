"""``haulier bench dynamic``: drives among moving discs, by the rules of the BARN Challenge."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hil.cli import courses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.arena.course import Course
    from hil.arena.passage import Passage
    from hil.arena.result import RunResult


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the action's options."""
    parser.description = (
        "Drive through the courses of a file of DynaBARN worlds, one after the other, and score "
        "each by the rules of the BARN Challenge."
    )
    parser.add_argument("worlds_file", type=Path, metavar="WORLDS.json", help="set of courses")
    courses.add_options(parser)
    parser.add_argument(
        "--feasible",
        action="store_true",
        help="search each course for any way at all, knowing all motion beforehand",
    )


def run(options: argparse.Namespace) -> int:
    """Drive and print; what is good enough is for the reader to say."""
    from hil.arena.campaign import selected
    from hil.arena.course_file import read_dynamic

    chosen = selected(read_dynamic(options.worlds_file), options.worlds)
    campaign = courses.make_campaign(options)
    results = courses.drive(campaign, chosen, options)
    passages = _passages(chosen, campaign.profile.speed_mps) if options.feasible else []
    extra = [{"earliest": asdict(passage)} for passage in passages]
    courses.show(results, options.json, extra)
    if passages and not options.json:
        print(_passages_text(chosen, passages, results))
    return 0


def _passages(chosen: "Sequence[Course]", speed_mps: float) -> "list[Passage]":
    from hil.arena.passage import find_passage

    return [find_passage(course, speed_mps) for course in chosen]


def _passages_text(
    chosen: "Sequence[Course]", passages: "Sequence[Passage]", results: "Sequence[RunResult]"
) -> str:
    lines = ["", "earliest arrival in s, for the circle inside the footprint and around it"]
    for course, passage, result in zip(chosen, passages, results, strict=True):
        inside, around = map(_seconds, (passage.inscribed_s, passage.circumscribed_s))
        arrived = "arrived" if result.success else "not arrived"
        lines.append(f"{course.name:>6}  {inside:>6}{around:>8}  {arrived}")
    some = sum(passage.circumscribed_s is not None for passage in passages)
    none = sum(passage.inscribed_s is None for passage in passages)
    lines.append(f"a way exists in {some}, none in {none}, of {len(passages)}")
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"
