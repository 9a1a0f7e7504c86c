"""New certificates for the line to the broker, and the way back (3.0, section 6.2.3.3).

The files that ``[broker]`` names are replaced, and the link, which watches them, connects with what
they hold now. Where the broker does not let the robot in with that, or the robot does not trust the
broker by it, the old ones come back; so they do at the next start after a power cut in between.
"""

import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.clock import Clock
from agent.errors import ActionFailed, CertificateRefused, DownloadFailed
from agent.vda5050.storage.link import LinkReader

AUTHORITY, CERTIFICATE, KEY = "ca_file", "certificate_file", "key_file"
PATIENCE_NS = 45_000_000_000  # several attempts of the link
SETTLED_NS = 2_000_000_000  # a broker may let the robot in and throw it out at once
POLL_NS = 100_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """How the line to the broker is doing.

    Attributes:
        connected_since_ns: Monotonic time of the connect, None while there is none.
        failure: Why there is none, in words.
    """

    connected_since_ns: int | None
    failure: str = ""


class CertificateUpdate:
    """Replaces certificates. Used by the storage's thread alone, after :meth:`recover`."""

    def __init__(
        self,
        files: Mapping[str, Path],
        reader: LinkReader,
        line: Callable[[], Line],
        clock: Clock,
        is_closing: Callable[[], bool],
    ) -> None:
        """Note where they are.

        Args:
            files: By the keys of ``[broker]``: the certificate, its key, and the authority's where
                it is a file.
            reader: Fetches files.
            line: Says how the line is doing.
            clock: To wait with.
            is_closing: Whether to give up, asked again and again.
        """
        self._files = dict(files)
        self._reader = reader
        self._line = line
        self._clock = clock
        self._is_closing = is_closing

    def recover(self) -> bool:
        """Take back what was not known to work when the robot was switched off.

        Returns:
            Whether there was anything to take back.

        Raises:
            OSError: It cannot be taken back.
        """
        unproven = [path for path in self._files.values() if _before(path).exists()]
        for path in unproven:
            _before(path).replace(path)
        return bool(unproven)

    def perform(self, links: Mapping[str, str]) -> None:
        """Fetch new files, and keep them if the line comes about with them.

        Args:
            links: By the same keys as the files.

        Raises:
            ActionFailed: They cannot be fetched, or do not go together, or the broker does not take
                them; the old ones are in use.
            OSError: They cannot be written.
        """
        if unknown := links.keys() - self._files.keys():
            raise ActionFailed(f"[broker] names no {' and no '.join(sorted(unknown))} to replace")
        for link in links.values():
            # Whoever could change the file on its way could let himself in.
            if urlsplit(link).scheme != "https":
                raise DownloadFailed(f"{link}: keys and certificates are fetched by https alone")
        fetched = {key: _after(self._files[key]) for key in links}
        try:
            for key, path in fetched.items():
                _make_private(path)
                self._reader.fetch(links[key], path)
            _check(fetched)
            self._try(fetched)
        finally:
            for path in fetched.values():
                path.unlink(missing_ok=True)

    def _try(self, fetched: Mapping[str, Path]) -> None:
        """Use the new files until they have proved to work, or not to."""
        began_ns = self._clock.now_ns()
        for key, path in fetched.items():
            file = self._files[key]
            _copy(file, _before(file))
            path.replace(file)
            _sync(file.parent)
        failure = self._failure(began_ns)
        if failure is None:
            for key in fetched:
                _before(self._files[key]).unlink()
        else:
            self.recover()
            raise CertificateRefused(failure)

    def _failure(self, began_ns: int) -> str | None:
        """Wait for the line to come about anew; returns why it does not."""
        while self._clock.now_ns() - began_ns < PATIENCE_NS:
            if self._is_closing():
                return "the robot was switched off before the new certificate had proved to work"
            line, now_ns = self._line(), self._clock.now_ns()
            since_ns = line.connected_since_ns
            if since_ns is not None and since_ns > began_ns and now_ns - since_ns >= SETTLED_NS:
                return None
            self._clock.wait_until_ns(now_ns + POLL_NS)
        return self._line().failure or "the line was not made anew with the new certificate"


def _check(fetched: Mapping[str, Path]) -> None:
    """See that the files are what they should be, and go together.

    Raises:
        DownloadFailed: They do not.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if AUTHORITY in fetched:
            context.load_verify_locations(fetched[AUTHORITY])
        # An empty passphrase: for a key that needs one, OpenSSL would ask at the terminal.
        context.load_cert_chain(fetched[CERTIFICATE], fetched[KEY], "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadFailed(f"certificate and key cannot be used: {reason}") from error


def _make_private(path: Path) -> None:
    """Make an empty file that nobody else may read."""
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _copy(path: Path, copy: Path) -> None:
    _make_private(copy)
    with copy.open("wb") as file:
        file.write(path.read_bytes())
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _before(path: Path) -> Path:
    return path.with_name(f"{path.name}.before")


def _after(path: Path) -> Path:
    return path.with_name(f"{path.name}.after")
