"""Results as lines of text."""

import math

from hil.arena.result import RunResult, Summary

COLUMNS = (
    f"{'course':>11}  {'result':<8}{'time s':>7}{'score':>7}{'way m':>7}{'clear m':>9}"
    f"{'unstoppable':>13}  {'ms p50 / p99':<15}contact"
)

KIND_COLUMNS = (
    f"{'kind':>11}  {'runs':>4}{'success':>9}{'contacts':>10}{'hit by':>8}{'time s':>8}"
    f"{'clear m':>9}{'unstoppable':>13}  ms p50 / p99"
)


def kind_line(kind: str, summary: Summary) -> str:
    """Return the drives of one kind of course under the columns of kinds.

    Contacts are those that the robot drove into, apart from those by which it was hit; the time
    is that from the beginning to the goal.
    """
    mean_s = "-" if summary.mean_elapsed_s is None else f"{summary.mean_elapsed_s:.2f}"
    return (
        f"{kind:>11}  {summary.runs:>4}{summary.success_share:>9.1%}"
        f"{summary.contacts - summary.hit_by:>10}{summary.hit_by:>8}{mean_s:>8}"
        f"{_length(summary.clearance_m):>9}"
        f"{f'{summary.unstoppable_cycles}/{summary.cycles}':>13}  {_times(summary.pilot_ms)}"
    )


def line(result: RunResult) -> str:
    """Return one drive under the columns."""
    row = result.as_row()
    outcome = "goal" if result.success else "contact" if result.contact else "too late"
    return (
        f"{result.course:>11}  {outcome:<8}{result.time_s:>7.2f}{result.score:>7.3f}"
        f"{result.driven_m:>7.2f}{_length(row['clearance_m']):>9}"
        f"{f'{result.unstoppable_cycles}/{result.cycles}':>13}  "
        f"{_times(row['pilot_ms']):<15}{_contact(result)}"
    ).rstrip()


def summary_text(summary: Summary) -> str:
    """Return the summary, one line for each figure."""
    mean_s = "-" if summary.mean_time_s is None else f"{summary.mean_time_s:.2f} s"
    return "\n".join(
        [
            f"success       {summary.success_share:.1%} of {summary.runs}",
            f"contacts      {summary.contact_share:.1%}, {summary.hit_by} of them driven in",
            f"mean score    {summary.mean_score:.4f}",
            f"mean time     {mean_s} to the goal",
            f"least clear   {_length(summary.clearance_m)} m",
            f"unstoppable   {summary.unstoppable_cycles} of {summary.cycles} cycles",
            f"pilot         {_times(summary.pilot_ms)} ms, median / p99",
        ]
    )


def _contact(result: RunResult) -> str:
    contact = result.contact
    if contact is None:
        return ""
    manner = ", jumped there" if contact.jumped else ", drove in" if contact.hit_by else ""
    return f"{contact.obstacle} at {contact.closing_mps:.2f} m/s{manner}"


def _length(value_m: float | None) -> str:
    return "-" if value_m is None else f"{math.floor(1000 * value_m) / 1000:.3f}"


def _times(times_ms: dict[str, float] | None) -> str:
    return "-" if times_ms is None else f"{times_ms['median']:.1f} / {times_ms['p99']:.1f}"
