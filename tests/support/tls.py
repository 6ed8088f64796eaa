"""Certificates made for the tests, and an etcd that serves TLS beside its plain port."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

from etcdorm.embedded.binary import EtcdBinary
from etcdorm.embedded.probe import free_ports
from etcdorm.testing import EtcdServer


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, apart and in one file."""

    cert: Path
    key: Path
    both: Path


class Authority:
    """A private CA, its files below ``directory``."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._ca = trustme.CA()
        self.cert = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.cert))

    def issue(self, *names: str, common_name: str | None = None) -> Pair:
        """A certificate for these host names and addresses; both a server and a client may show it."""
        issued = self._ca.issue_cert(*names, common_name=common_name)
        stem = self._directory / (common_name or names[0]).replace(":", "_")
        pair = Pair(stem.with_suffix(".crt"), stem.with_suffix(".key"), stem.with_suffix(".pem"))
        pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(pair.key))
        issued.private_key_and_cert_chain_pem.write_to_path(str(pair.both))
        return pair


@dataclass(frozen=True)
class TlsEtcd:
    """An etcd, and the port at which it serves TLS."""

    server: EtcdServer
    port: int

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


def tls_etcd(binary: EtcdBinary, shown: Pair, *, clients: Authority | None = None, host: str = "127.0.0.1") -> TlsEtcd:
    """An etcd that is yet to be started. With ``clients`` it wants a certificate of that CA from whoever connects."""
    (port,) = free_ports(1)
    extra = [f"--cert-file={shown.cert}", f"--key-file={shown.key}"]
    if clients is not None:
        extra += ["--client-cert-auth", f"--trusted-ca-file={clients.cert}"]
    server = EtcdServer(binary=binary, listen_urls=[f"https://{host}:{port}"], extra_args=extra)
    return TlsEtcd(server, port)
