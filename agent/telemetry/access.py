"""Where the broker is and how the robot asks to be let in, as configured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self

from annotated_types import Ge, Gt, Le, MinLen

from agent.telemetry.platform import Platform, Profile, profile_of

PLAIN_PORT = 1883
TLS_PORT = 8883

FILES = (
    "password_file",
    "sas_key_file",
    "ca_file",
    "crl_file",
    "certificate_file",
    "key_file",
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, port: int) -> Self:
        """Read ``host``, ``host:port`` or ``[IPv6]:port``.

        Args:
            text: What is written.
            port: For an address that names none.

        Raises:
            ValueError: It is none of them.
        """
        host, colon, number = text.rpartition(":")
        if text.startswith("["):
            host, _, number = text[1:].partition("]")
            colon, number = number[:1], number[1:]
        if not colon or (":" in host and not text.startswith("[")):
            return cls(text.strip("[]"), port)
        if not host or not number.isdecimal() or not 0 < int(number) < 65536:
            raise ValueError(f"{text!r} is not a host with a port, such as broker.example:8883")
        return cls(host, int(number))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerParams:
    """Where the broker is and how to log in.

    Secrets stand in files. A file's name may begin with ``$CREDENTIALS_DIRECTORY/``, where systemd
    puts what the unit loads (``LoadCredential=``); files are read again at every connect.

    Attributes:
        platform: What kind of broker it is; says which limits and rules hold.
        host: Name or address.
        hosts: Brokers of one cluster in place of ``host``, each with its port where it differs;
            the robot moves to the next when one fails it.
        port: By default 8883 with TLS, 1883 without.
        client_id: Name of the robot at the broker; made from its topic where empty.
        username: Account, empty where the broker wants none.
        password_file: File whose first line is the password.
        sas_key_file: File with the device's symmetric key (base64), where IoT Hub wants one.
        keepalive_s: Silence after which each side takes the other for gone (section 6.14).
        tls: Whether to encrypt; where left out, as the platform demands.
        ca_file: Authority that signed the broker's certificate; the system's own where unset.
        crl_file: The authority's list of revoked certificates (PEM).
        certificate_file: The robot's own certificate, where the broker wants one.
        key_file: Its key.
        dps_id_scope: Of the Device Provisioning Service that knows the robot's hub.
        dps_host: Where that service is.
        connect_timeout_s: How long one attempt may take.
        longest_retry_s: The pause between attempts doubles up to this.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}
    platform: Platform = Platform.MQTT
    host: Annotated[str, MinLen(1)] = "localhost"
    hosts: tuple[Annotated[str, MinLen(1)], ...] = ()
    port: Annotated[int, Ge(1), Le(65535)] | None = None
    client_id: str = ""
    username: str = ""
    password_file: Path | None = None
    sas_key_file: Path | None = None
    keepalive_s: Annotated[int, Ge(2), Le(3600)] = 15
    tls: bool | None = None
    ca_file: Path | None = None
    crl_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    dps_id_scope: str = ""
    dps_host: Annotated[str, MinLen(1)] = "global.azure-devices-provisioning.net"
    connect_timeout_s: Annotated[float, Gt(0), Le(60)] = 5.0
    longest_retry_s: Annotated[float, Gt(0), Le(600)] = 30.0

    @property
    def profile(self) -> Profile:
        """What the platform demands and takes."""
        return profile_of(self.platform)

    @property
    def is_encrypted(self) -> bool:
        """Whether the line is to be encrypted."""
        return self.profile.needs_tls if self.tls is None else self.tls

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The brokers, at least one.

        Raises:
            ValueError: One cannot be understood.
        """
        return tuple(self.address(text) for text in self.hosts or (self.host,))

    def address(self, text: str) -> Address:
        """Return a broker's address, with the port that is meant where it names none."""
        return Address.parse(text, self.port or (TLS_PORT if self.is_encrypted else PLAIN_PORT))

    @property
    def files(self) -> dict[str, Path]:
        """The files that are named, by their keys."""
        named = {key: getattr(self, key) for key in FILES}
        return {key: file for key, file in named.items() if file is not None}
