"""What the robot proves with who it is: read from files at every connect, held nowhere else.

Files may be replaced while the agent runs: a link asks :meth:`Credentials.have_changed`, and
connects anew once what the files hold fits together. systemd reads a unit's credentials only when
it starts it, so what is to be replaced without a restart stands in ordinary files.
"""

import os
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.errors import ConfigError
from agent.telemetry.access import BrokerParams
from agent.telemetry.iot_hub import signature

DIRECTORY = "CREDENTIALS_DIRECTORY"
SAS_LIFE_S = 3600
SAS_RENEWAL_NS = 50 * 60 * 1_000_000_000


class TlsSocket(ssl.SSLSocket):
    """A socket that keeps what ended it, which paho only logs."""

    fault: OSError | None = None

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys; a failed handshake closes the socket."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        """Write; where the broker has gone meanwhile, read what it said before."""
        try:
            return super().send(data, flags)
        except ssl.SSLEOFError:
            with suppress(OSError):
                self.recv(1)
            raise

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read, and keep the broker's complaint where it ends the connection instead."""
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.fault = error
            raise


@dataclass(frozen=True, slots=True)
class Login:
    """What one connection is made with.

    Attributes:
        password: None where the broker wants none.
        tls: How the line is encrypted, None where it is not.
    """

    password: str | None = field(repr=False)
    tls: ssl.SSLContext | None = field(repr=False)


def located(file: Path, directory: Path) -> Path:
    """Return a file named in the configuration, where it is relative from a directory.

    One of systemd's credentials stays as it is written: only the service knows where they are.
    """
    return file if file.parts[:1] == (f"${DIRECTORY}",) else directory / file


class Credentials:
    """Reads the files that ``[broker]`` names."""

    def __init__(self, params: BrokerParams, environment: Mapping[str, str] | None = None) -> None:
        """Note where they are.

        Args:
            params: The configuration.
            environment: Where systemd says what it has loaded; the process's own without it.
        """
        self._params = params
        self._environment = os.environ if environment is None else environment
        self._seen: list[Any] = []

    def login(self, utc_ns: int, resource: str = "", policy: str = "") -> Login:
        """Read what the next connection is made with.

        Args:
            utc_ns: Wall-clock time, from which a signature's end counts.
            resource: What a signature is to be about, where the platform wants one.
            policy: Of the signature.

        Raises:
            ConfigError: A file cannot be read, or what the files hold does not fit together.
        """
        self._seen = self._state()
        password = self._line("password_file")
        if resource and (key := self._line("sas_key_file")) is not None:
            expires_s = utc_ns // 1_000_000_000 + SAS_LIFE_S
            password = signature(resource, key, expires_s, policy)
        return Login(password, self._tls())

    def have_changed(self) -> bool:
        """Whether a file is not the one that was read last, and what they hold now is usable.

        Raises:
            ConfigError: They have changed, but cannot be used; said once for each change.
        """
        state = self._state()
        if state == self._seen:
            return False
        self._seen = state
        self._line("password_file")
        self._line("sas_key_file")
        self._tls()
        return True

    def _state(self) -> list[Any]:
        """Return what tells a file that was replaced or written anew from the one before."""
        found: list[Any] = []
        for key in self._params.files:
            try:
                status = self._path(key).stat()
            except (OSError, ConfigError):
                found.append(None)
            else:
                found.append((status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
        return found

    def _path(self, key: str) -> Path:
        file = self._params.files[key]
        if file.parts[:1] != (f"${DIRECTORY}",):
            return file
        directory = self._environment.get(DIRECTORY)
        if directory is None:
            raise ConfigError(
                f"broker.{key}: {file} is systemd's to give, which gives it to the service alone "
                "(LoadCredential= in its unit)"
            )
        return Path(directory, *file.parts[1:])

    def _line(self, key: str) -> str | None:
        """Return the first line of a secret, None where none is configured."""
        if key not in self._params.files:
            return None
        path = self._path(key)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            # Its own text quotes the bytes.
            raise ConfigError(f"broker.{key}: cannot be read: {path} is not UTF-8") from None
        except OSError as error:
            raise ConfigError(f"broker.{key}: cannot be read: {error}") from error
        if not lines or not lines[0]:
            raise ConfigError(f"broker.{key}: {path} is empty")
        return lines[0]

    def _tls(self) -> ssl.SSLContext | None:
        if not self._params.is_encrypted:
            return None
        files = self._params.files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and host name
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = TlsSocket
        if "ca_file" in files:
            self._load("ca_file", context.load_verify_locations)
        else:
            context.load_default_certs()
        if "crl_file" in files:
            self._load("crl_file", context.load_verify_locations)
            context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        if "certificate_file" in files:
            key = self._path("key_file") if "key_file" in files else None
            # An empty passphrase: for a key that needs one, OpenSSL would ask at the terminal.
            self._load("certificate_file", context.load_cert_chain, key, "")
        return context

    def _load(self, key: str, load: Any, *more: Any) -> None:
        path = self._path(key)
        names = ", ".join(os.fspath(file) for file in (path, *more) if file)
        try:
            load(path, *more)
        except OSError as error:  # ssl.SSLError is one
            why = getattr(error, "reason", None) or error.strerror or error
            raise ConfigError(f"broker.{key}: cannot use {names}: {why}") from error
