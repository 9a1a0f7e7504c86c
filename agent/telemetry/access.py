"""How the robot gets into the broker: address, account, certificates, and why it was not let in."""

import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Le, MinLen

from agent.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerParams:
    """Where the broker is and how to log in.

    Attributes:
        host: Name or address.
        port: 1883 for plain MQTT, 8883 is usual with TLS.
        client_id: Name of the robot at the broker; made from its topic where empty.
        username: Account, empty where the broker wants none.
        password_file: File whose first line is the password.
        keepalive_s: Silence after which each side takes the other for gone (section 6.14).
        tls: Whether to encrypt.
        ca_file: Authority that signed the broker's certificate; the system's own where unset.
        certificate_file: The robot's own certificate, where the broker wants one.
        key_file: Its key.
        connect_timeout_s: How long one attempt may take.
        longest_retry_s: The pause between attempts doubles up to this.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    host: Annotated[str, MinLen(1)] = "localhost"
    port: Annotated[int, Ge(1), Le(65535)] = 1883
    client_id: str = ""
    username: str = ""
    password_file: Path | None = None
    keepalive_s: Annotated[int, Ge(2), Le(600)] = 15
    tls: bool = False
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    connect_timeout_s: Annotated[float, Gt(0), Le(60)] = 5.0
    longest_retry_s: Annotated[float, Gt(0), Le(600)] = 30.0


def read_password(params: BrokerParams) -> str | None:
    """Return the password, None where the broker wants none.

    Raises:
        ConfigError: Its file cannot be read, or is empty.
    """
    if params.password_file is None:
        return None
    try:
        lines = params.password_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"broker.password_file: cannot be read: {error}") from error
    if not lines or not lines[0]:
        raise ConfigError(f"broker.password_file: {params.password_file} is empty")
    return lines[0]


def tls_context(params: BrokerParams) -> ssl.SSLContext | None:
    """Return how the line is encrypted, None where it is not.

    Raises:
        ConfigError: A certificate or key cannot be used.
    """
    if not params.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=params.ca_file)
        if params.certificate_file is not None:
            context.load_cert_chain(params.certificate_file, params.key_file)
    except OSError as error:  # ssl.SSLError is one
        files = [params.ca_file, params.certificate_file, params.key_file]
        names = ", ".join(os.fspath(file) for file in files if file is not None)
        raise ConfigError(f"broker: cannot use {names}: {error.strerror or error}") from error
    return context


def explain(params: BrokerParams, error: OSError | ValueError) -> str:
    """Return in plain words why an attempt to connect failed."""
    where = f"{params.host}:{params.port}"
    match error:
        case socket.gaierror():
            return f"the name {params.host} is not known to the network"
        case UnicodeError():
            return f"{params.host!r} is not a host name"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {where} is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"no encrypted connection to {where}: {error.reason or error}"
        case ConnectionRefusedError():
            return f"no broker listens on {where}"
        case TimeoutError():
            return f"no answer from {where}"
        case OSError():
            return f"no connection to {where}: {error.strerror or error}"
        case _:
            return f"no connection to {where}: {error}"
