"""Where maps and zone sets of the platform are kept, and where they may come from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Self

from annotated_types import Ge, Gt, Le

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageParams:
    """What the robot may fetch, and how much of it.

    Attributes:
        directory: Where it is kept; belongs to the agent alone.
        allow: What a link has to begin with, such as ``https://maps.plant.example/`` or
            ``file:///srv/maps/``; nothing else is fetched, nor redirected to.
        most_mb: Size of one file, in the form in which it is sent and unpacked.
        quota_mb: Size of all that is kept.
        silence_s: How long a server may say nothing.
        patience_s: How long one download may take.
        ca_file: Authority that signed the servers' certificates; the system's own where unset.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    directory: Path
    allow: tuple[str, ...] = ()
    most_mb: Annotated[float, Gt(0), Le(1000)] = 200.0
    quota_mb: Annotated[float, Gt(0), Le(100_000)] = 2000.0
    silence_s: Annotated[float, Ge(0.1), Le(600)] = 20.0
    patience_s: Annotated[float, Ge(0.1), Le(3600)] = 600.0
    ca_file: Path | None = None

    def within(self, home: Path) -> Self:
        """Return the same with relative file names taken from a directory."""
        ca_file = None if self.ca_file is None else home / self.ca_file
        return replace(self, directory=home / self.directory, ca_file=ca_file)

    @property
    def most_bytes(self) -> int:
        """Size of one file."""
        return round(self.most_mb * MEGABYTE)

    @property
    def quota_bytes(self) -> int:
        """Size of all that is kept."""
        return round(self.quota_mb * MEGABYTE)
