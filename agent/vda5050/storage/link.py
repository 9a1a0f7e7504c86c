"""Fetches a file that the platform names, from where the configuration allows and nowhere else.

VDA 5050 2.1, section 6.7.1, leaves open how maps are served; links here are ``http``, ``https`` and
``file``. The sender of an instant action cannot be verified (3.0, section 6.2.3.3), so a link is
followed only below an entry of the configured list, redirections included.
"""

import hashlib
import ssl
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    build_opener,
)

from agent.clock import Clock
from agent.errors import DownloadFailed, StorageFull
from agent.vda5050.storage.params import MEGABYTE, StorageParams

SCHEMES = ("http", "https", "file")
PORTS = {"http": 80, "https": 443}
CHUNK_BYTES = 65_536
# A checksum tells its kind by its length; a name before a colon may tell it too.
HASHES = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}


class LinkReader:
    """Fetches files. Used by the thread of the storage alone."""

    def __init__(
        self, params: StorageParams, clock: Clock, is_closing: Callable[[], bool] = lambda: False
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            params: What may be fetched.
            clock: For the patience with a server.
            is_closing: Whether to give up, asked again and again.
        """
        self._params = params
        self._clock = clock
        self._is_closing = is_closing

    def fetch(self, link: str, target: Path, checksum: str | None = None) -> None:
        """Write what a link leads to into a file.

        Args:
            link: The link.
            target: The file; what it held is lost.
            checksum: Hexadecimal MD5 or SHA, of which the length tells which, or with its name in
                front as in ``sha256:``; None for no check.

        Raises:
            DownloadFailed: The link is not allowed, the server does not deliver, or the checksum
                differs.
            StorageFull: The file is too large.
            OSError: It cannot be written.
        """
        kind, expected = _checksum(checksum)
        digest = hashlib.new(kind, usedforsecurity=False)
        asked = self._allowed(link)
        with target.open("wb") as file:
            try:
                with self._open(asked) as source:
                    self._copy(source, file, digest.update)
            except HTTPError as error:
                reason = f"{link}: the server says {error.code} {error.reason}"
                error.close()
                raise DownloadFailed(reason) from error
            except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
                raise DownloadFailed(f"{link}: {_words(error)}") from error
        if expected is not None and digest.hexdigest() != expected:
            raise DownloadFailed(f"{link}: its {kind} is {digest.hexdigest()}, not {expected}")

    def _allowed(self, link: str) -> SplitResult:
        asked = _split(link)
        if asked is None or asked.scheme not in SCHEMES:
            raise DownloadFailed(f"{link!r} is no link of {', '.join(SCHEMES)}")
        if not any(_lies_below(asked, _split(entry)) for entry in self._params.allow):
            raise DownloadFailed(f"{link}: [storage] allow has nothing that it begins with")
        return asked

    def _open(self, asked: SplitResult) -> IO[bytes]:
        if asked.scheme == "file":
            path = Path(unquote(asked.path))
            try:
                # What a symbolic link leads to has to be allowed as well.
                self._allowed(path.resolve(strict=True).as_uri())
                return path.open("rb")
            except OSError as error:
                raise DownloadFailed(f"{path}: {(error.strerror or str(error)).lower()}") from error
        source: IO[bytes] = self._opener().open(
            Request(asked.geturl()), timeout=self._params.silence_s
        )
        return source

    def _opener(self) -> OpenerDirector:
        try:
            context = ssl.create_default_context(cafile=self._params.ca_file)
        except OSError as error:
            raise DownloadFailed(f"storage.ca_file: {error.strerror or error}") from error
        redirections = _Redirections(self._allowed)
        # No proxy of the environment comes between: the configuration says where files come from.
        handlers = (ProxyHandler({}), HTTPHandler(), HTTPSHandler(context=context), redirections)
        return build_opener(*handlers)

    def _copy(self, source: IO[bytes], file: IO[bytes], digest: Callable[[bytes], object]) -> None:
        deadline_ns = self._clock.now_ns() + round(self._params.patience_s * 1e9)
        left = self._params.most_bytes
        while chunk := source.read(CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                most_mb = self._params.most_bytes / MEGABYTE
                raise StorageFull(f"the file is larger than {most_mb:g} MB")
            if self._clock.now_ns() > deadline_ns:
                raise DownloadFailed(f"it took longer than {self._params.patience_s:g} s")
            if self._is_closing():
                raise DownloadFailed("the robot is being switched off")
            digest(chunk)
            file.write(chunk)


class _Redirections(HTTPRedirectHandler):
    """Follows a redirection only to where a link might have led as well."""

    def __init__(self, check: Callable[[str], object]) -> None:
        self._check = check

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> Request | None:
        """Return what to ask for next."""
        self._check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _split(link: str) -> SplitResult | None:
    try:
        parts = urlsplit(link)
        _ = parts.port  # which may be no number
    except ValueError:
        return None
    return None if parts.username or any(ord(letter) <= ord(" ") for letter in link) else parts


def _lies_below(asked: SplitResult, entry: SplitResult | None) -> bool:
    """Whether a link leads to the server of an entry, into the directory that it names."""
    if entry is None or _server(asked) != _server(entry):
        return False
    steps = unquote(asked.path).split("/")
    root = unquote(entry.path).rstrip("/").split("/")
    return ".." not in steps and steps[: len(root)] == root


def _server(parts: SplitResult) -> tuple[str, str | None, int | None]:
    host = parts.hostname if parts.hostname != "localhost" or parts.scheme != "file" else None
    return parts.scheme, host, parts.port or PORTS.get(parts.scheme)


def _checksum(text: str | None) -> tuple[str, str | None]:
    """Return name and digits of a checksum.

    Raises:
        DownloadFailed: It is none.
    """
    if text is None:
        return "sha256", None
    name, _, digits = text.strip().lower().rpartition(":")
    kind = HASHES.get(len(digits))
    is_hexadecimal = not set(digits) - set("0123456789abcdef")
    if kind is None or not is_hexadecimal or name.replace("-", "") not in ("", kind):
        raise DownloadFailed(f"{text!r} is no hexadecimal MD5 or SHA checksum")
    return kind, digits


def _words(error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror.lower()
    return str(reason) or type(reason).__name__
