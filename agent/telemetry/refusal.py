"""Why the robot has no line to the broker, in plain words: one error for each thing to be done."""

import socket
import ssl

from agent.errors import (
    BrokerMisnamed,
    BrokerOutdated,
    BrokerRevoked,
    BrokerUnavailable,
    BrokerUntrusted,
    RobotRefused,
)
from agent.telemetry.access import Address

# What OpenSSL finds wrong with a certificate (X509_V_ERR_* of its x509_vfy.h).
CERTIFICATES: dict[int, tuple[type[BrokerUnavailable], str]] = {
    3: (BrokerUntrusted, "cannot be checked: crl_file has no list of the authority that issued it"),
    9: (BrokerOutdated, "is not valid yet"),
    10: (BrokerOutdated, "has expired"),
    11: (BrokerUntrusted, "cannot be checked: the list in crl_file is not valid yet"),
    12: (BrokerUntrusted, "cannot be checked: the list in crl_file has expired"),
    18: (BrokerUntrusted, "is not trusted: it is self-signed"),
    19: (BrokerUntrusted, "is not trusted: its authority is not the one in ca_file"),
    20: (BrokerUntrusted, "is not trusted: the robot does not know its authority"),
    21: (BrokerUntrusted, "is not trusted: the robot does not know its authority"),
    23: (BrokerRevoked, "was revoked by the authority that issued it"),
    26: (BrokerUntrusted, "is not one for servers"),
    62: (BrokerMisnamed, "is for another host name"),
    64: (BrokerMisnamed, "is for another address"),
}

# Alerts that a broker sends about the robot's own certificate (RFC 8446, section 6.2).
ALERTS = {
    "CERTIFICATE_REQUIRED": "it wants a certificate, and the robot has none to show",
    "HANDSHAKE_FAILURE": "it wants a certificate or a cipher that the robot does not offer",
    "CERTIFICATE_EXPIRED": "the robot's certificate has expired",
    "CERTIFICATE_REVOKED": "the robot's certificate was revoked",
    "UNKNOWN_CA": "it does not know the authority that signed the robot's certificate",
    "BAD_CERTIFICATE": "the robot's certificate is not acceptable",
    "CERTIFICATE_UNKNOWN": "the robot's certificate is not acceptable",
    "UNSUPPORTED_CERTIFICATE": "the robot's certificate is of a kind that it does not take",
    "ACCESS_DENIED": "the robot's certificate gives it no access",
}

# Reason codes by which a broker turns down what the robot is (MQTT 5, section 3.2.2.2); paho
# translates the return codes of 3.1.1 to them.
REFUSED = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x95, 0x9A, 0x9B}


def of_failure(address: Address, error: OSError | ValueError) -> BrokerUnavailable:
    """Return why an attempt to connect failed, or why a connection ended.

    Args:
        address: Of the broker.
        error: What the socket raised.
    """
    match error:
        case socket.gaierror():
            reason = f"the name {address.host} is not known to the network"
        case UnicodeError():
            reason = f"{address.host!r} is not a host name"
        case ssl.SSLCertVerificationError():
            kind, fault = CERTIFICATES.get(
                error.verify_code, (BrokerUntrusted, f"is not trusted: {error.verify_message}")
            )
            return kind(f"the certificate of {address} {fault}")
        case ssl.SSLError():
            return _of_encryption(address, error)
        case ConnectionRefusedError():
            reason = f"no broker listens on {address}"
        case TimeoutError():
            reason = f"no answer from {address}"
        case OSError():
            reason = f"no connection to {address}: {error.strerror or error}"
        case _:
            reason = f"no connection to {address}: {error}"
    return BrokerUnavailable(reason)


def _of_encryption(address: Address, error: ssl.SSLError) -> BrokerUnavailable:
    named = error.reason or str(error)
    for alert, meaning in ALERTS.items():
        if named.endswith(f"ALERT_{alert}"):
            return RobotRefused(f"{address} refuses the robot: {meaning}")
    if named in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return BrokerUnavailable(f"what listens on {address} speaks no TLS")
    if named.endswith(("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL")):
        return BrokerUnavailable(f"{address} speaks no TLS of version 1.2 or later")
    return BrokerUnavailable(f"no encrypted connection to {address}: {named}")


def of_answer(address: Address, code: int, text: str, username: str) -> BrokerUnavailable:
    """Return why the broker turned the robot down at its login.

    Args:
        address: Of the broker.
        code: Its reason code.
        text: What the standard calls it.
        username: Whom the robot said it is, empty for nobody.
    """
    who = f"the robot as user {username!r}" if username else "the robot without a user name"
    meaning = {
        0x84: "it does not speak the version of MQTT that [broker] platform stands for",
        0x85: "the client id is not one that it takes",
        0x86: "user or password is wrong",
        0x87: "not authorized; user, password or certificate is not one that it lets in",
    }.get(code, text.lower())
    kind = RobotRefused if code in REFUSED else BrokerUnavailable
    return kind(f"{address} refuses {who}: {meaning}")


def of_end(address: Address, code: int, text: str) -> BrokerUnavailable:
    """Return why the broker ended a connection, as MQTT 5 lets it say."""
    kind = RobotRefused if code in REFUSED else BrokerUnavailable
    return kind(f"{address} ended the connection: {text.lower()}")


def of_subscriptions(address: Address, topics: list[str]) -> RobotRefused:
    """Return that the broker lets the robot not receive what it must."""
    return RobotRefused(f"{address} refuses the subscription to {', '.join(topics)}")
