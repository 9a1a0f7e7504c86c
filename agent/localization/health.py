"""Whether the pose may be used to drive, with hysteresis."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Gt, Le


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthParams:
    """When localization counts as lost, and when as found again.

    Attributes:
        lost_below: Score below which a scan speaks against the pose.
        found_above: Score above which a scan speaks for it.
        lost_after_scans: Scans in a row against the pose until it is lost.
        found_after_scans: Scans in a row for the pose until it is found.
        scan_timeout_s: Longest time without a usable scan.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    lost_below: Annotated[float, Ge(0), Le(1)] = 0.40
    found_above: Annotated[float, Ge(0), Le(1)] = 0.50
    lost_after_scans: Annotated[int, Ge(1)] = 10
    found_after_scans: Annotated[int, Ge(1)] = 3
    scan_timeout_s: Annotated[float, Gt(0)] = 1.0


class LocalizationHealth:
    """Watches the score of the scans."""

    def __init__(self, params: HealthParams) -> None:
        self._params = params
        self.restart()

    def restart(self) -> None:
        """Forget everything: the pose was set anew and has to prove itself."""
        self._found = False
        self._against = 0
        self._in_favour = 0
        self._score = 0.0
        self._newest_scan_ns: int | None = None

    @property
    def score(self) -> float:
        """Score of the newest scan, 0 before the first."""
        return self._score

    def observe(self, score: float, stamp_ns: int) -> None:
        """Take the score of a scan."""
        p = self._params
        self._score, self._newest_scan_ns = score, stamp_ns
        self._against = self._against + 1 if score < p.lost_below else 0
        self._in_favour = self._in_favour + 1 if score >= p.found_above else 0
        if self._against >= p.lost_after_scans:
            self._found = False
        elif self._in_favour >= p.found_after_scans:
            self._found = True

    def reason(self, now_ns: int) -> str:
        """Return why the pose may not be used to drive, empty when it may."""
        if self._newest_scan_ns is None:
            return "no scan has been compared with the map yet"
        age_s = (now_ns - self._newest_scan_ns) * 1e-9
        if age_s > self._params.scan_timeout_s:
            return f"no usable scan for {age_s:.1f} s"
        if not self._found:
            return f"the scan fits the map by {self._score:.0%} only"
        return ""
