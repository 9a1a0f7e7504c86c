"""A certificate authority for tests: openssl's own, in a directory."""

import subprocess
from pathlib import Path

CONFIG = """
[ca]
default_ca = own
[own]
dir = {directory}
database = $dir/index.txt
serial = $dir/serial
crlnumber = $dir/crlnumber
new_certs_dir = $dir
certificate = $dir/ca.pem
private_key = $dir/ca.key
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
unique_subject = no
[any]
commonName = supplied
[server]
basicConstraints = CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = {names}
[client]
basicConstraints = CA:FALSE
extendedKeyUsage = clientAuth
"""
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
GONE = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
TO_COME = ("-startdate", "20980101000000Z", "-enddate", "20990101000000Z")


class Authority:
    """Issues and revokes certificates; each is ``name.pem`` with ``name.key``."""

    def __init__(self, directory: Path, name: str = "plant authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        (directory / "index.txt").touch()
        for number in ("serial", "crlnumber"):
            (directory / number).write_text("01")
        self.certificate = directory / "ca.pem"
        self.self_signed("ca", f"/CN={name}")

    def self_signed(self, name: str, subject: str, *extra: str) -> tuple[Path, Path]:
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        files = ("-keyout", key, "-out", certificate)
        self._openssl("req", "-x509", *CURVE, "-days", "30", "-subj", subject, *extra, *files)
        return certificate, key

    def issue(
        self,
        name: str,
        *extra: str,
        kind: str = "server",
        names: str = "DNS:localhost,IP:127.0.0.1",
    ) -> tuple[Path, Path]:
        """Return the files of a certificate and its key."""
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        config, request = self.directory / f"{name}.cnf", self.directory / f"{name}.csr"
        config.write_text(CONFIG.format(directory=self.directory, names=names))
        subject = ("-subj", f"/CN={name}")
        self._openssl("req", "-new", *CURVE, *subject, "-keyout", key, "-out", request)
        words = ("-batch", "-notext", "-extensions", kind, "-in", request, "-out", certificate)
        self._openssl("ca", "-config", config, *words, *extra)
        return certificate, key

    def revoke(self, name: str) -> None:
        config, certificate = self.directory / f"{name}.cnf", self.directory / f"{name}.pem"
        self._openssl("ca", "-config", config, "-revoke", certificate)

    def crl(self, name: str, *extra: str) -> Path:
        """Return the list of what is revoked by now; ``name`` is that of any certificate."""
        config, crl = self.directory / f"{name}.cnf", self.directory / f"crl-of-{name}.pem"
        self._openssl("ca", "-config", config, "-gencrl", "-out", crl, *extra)
        return crl

    def _openssl(self, *words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
