"""What the verbs that drive obstacle courses have in common."""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.clock import SystemClock
from hil.cli.numbers import parse_seed
from hil.errors import BenchError, ExtraMissing
from hil.terminal import Terminal

if TYPE_CHECKING:
    from hil.arena.campaign import Campaign
    from hil.arena.course import Course
    from hil.arena.profile import Profile
    from hil.arena.result import RunResult


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a verb that reads its courses from a file."""
    parser.add_argument(
        "--worlds",
        default=":",
        metavar="A:B",
        help="only those from place A in the file up to, not including, B",
    )
    add_drive_options(parser, profile="jackal")


def add_drive_options(parser: argparse.ArgumentParser, profile: str) -> None:
    """Add the options that do not depend on where the courses come from.

    Args:
        parser: Of the verb.
        profile: Name of the robot that drives if no other is asked for.
    """
    parser.add_argument(
        "--profile", default=profile, help=f"robot: jackal or amr (default {profile})"
    )
    parser.add_argument(
        "--range-noise",
        type=_parse_sigma,
        default=0.0,
        metavar="M",
        help="standard deviation of a range (default 0)",
    )
    parser.add_argument(
        "--pose-noise",
        type=_parse_sigmas,
        default=(0.0, 0.0),
        metavar="M,RAD",
        help="standard deviations of the pose in each cycle (default 0,0)",
    )
    parser.add_argument(
        "--seed", type=parse_seed, default=1, help="of all that is random (default 1)"
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="draw each drive into a PNG here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def profile_named(name: str) -> "Profile":
    """Return a profile; raises BenchError where there is none of this name."""
    from hil.arena.profile import PROFILES

    if name not in PROFILES:
        raise BenchError(f"there is no profile {name}, only {' and '.join(PROFILES)}")
    return PROFILES[name]


def make_campaign(
    options: argparse.Namespace, *, with_path: bool = False, localized: bool = False
) -> "Campaign":
    """Set up the drives that the options ask for, with the agent's navigator."""
    from agent.main import warm_up
    from hil.arena.campaign import Campaign

    profile = profile_named(options.profile)
    warm_up()
    return Campaign(
        profile=profile,
        seed=options.seed,
        range_noise_m=options.range_noise,
        pose_noise=options.pose_noise,
        localized=localized,
        with_path=with_path,
        clock=SystemClock(),
    )


def drive(
    campaign: "Campaign", courses: "Sequence[Course]", options: argparse.Namespace
) -> "list[RunResult]":
    """Drive through courses, show each drive once it has ended, and draw it if asked to."""
    from hil.arena.report import COLUMNS, line

    terminal = Terminal(SystemClock())
    results: list[RunResult] = []
    if not options.json:
        terminal.line(COLUMNS)
    for number, result in enumerate(_watched(campaign, courses, options.json, terminal)):
        results.append(result)
        if not options.json:
            terminal.line(line(result))
        if options.plot:
            _plot(courses[number], result, campaign.profile, options.plot)
    return results


def _watched(
    campaign: "Campaign", courses: "Sequence[Course]", quiet: bool, terminal: Terminal
) -> "Iterator[RunResult]":
    for number, course in enumerate(courses, 1):
        if not quiet:
            terminal.progress(f"driving course {course.name}, {number} of {len(courses)}")
        yield from campaign.run([course])


def show(
    results: "Sequence[RunResult]", as_json: bool, extra: "Sequence[dict[str, Any]]" = ()
) -> None:
    """Print the summary, or everything as one JSON object.

    Args:
        results: The drives.
        as_json: Whether to print JSON.
        extra: More of each drive, for JSON only.
    """
    from hil.arena.report import summary_text
    from hil.arena.result import summarize

    summary = summarize(results)
    if as_json:
        rows = [result.as_row() for result in results]
        for row, more in zip(rows, extra, strict=False):
            row.update(more)
        print(json.dumps({"courses": rows, "summary": asdict(summary)}, indent=2))
    else:
        print(f"\n{summary_text(summary)}")


def _plot(course: "Course", result: "RunResult", profile: "Profile", directory: Path) -> None:
    try:
        from hil.arena.drawing import draw
    except ModuleNotFoundError as error:
        raise ExtraMissing(f"drawing needs the package {error.name}") from error

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"{directory}: {error.strerror or error}") from error
    draw(course, result, profile.speed_mps, directory / f"course-{course.name}.png")


def _parse_sigma(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0.0):
        raise argparse.ArgumentTypeError(f"not a number from 0 up: {text}")
    return value


def _parse_sigmas(text: str) -> tuple[float, float]:
    position, comma, heading = text.partition(",")
    if not comma:
        raise argparse.ArgumentTypeError(f"not two numbers M,RAD: {text}")
    return _parse_sigma(position), _parse_sigma(heading)
