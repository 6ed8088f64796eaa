"""Certificates made for one test, and an etcd that serves with them."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

from etcdorm.embedded.probe import free_ports
from etcdorm.testing import EtcdBinary, EtcdServer


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: a CA, a server certificate for localhost, 127.0.0.1 and ::1, and one of a client named "root"."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    client_both: Path


def make_certificates(directory: Path) -> Certificates:
    ca = trustme.CA()
    server = ca.issue_cert("localhost", "127.0.0.1", "::1")
    client = ca.issue_cert("client.localhost", common_name="root")
    files = Certificates(*(directory / f"{name}.pem" for name in ("ca", "server", "skey", "client", "ckey", "both")))
    ca.cert_pem.write_to_path(files.ca)
    server.cert_chain_pems[0].write_to_path(files.server)
    server.private_key_pem.write_to_path(files.server_key)
    client.cert_chain_pems[0].write_to_path(files.client)
    client.private_key_pem.write_to_path(files.client_key)
    client.private_key_and_cert_chain_pem.write_to_path(files.client_both)
    return files


@dataclass(frozen=True, slots=True)
class TlsEtcd:
    """An etcd that serves plain HTTP at ``plain`` and TLS at ``port`` of localhost, 127.0.0.1 and, if any, ::1."""

    server: EtcdServer
    port: int

    @property
    def plain(self) -> str:
        return self.server.url

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


@contextmanager
def tls_etcd(binary: EtcdBinary, certificates: Certificates, *, client_certificates: bool = False) -> Iterator[TlsEtcd]:
    client, peer, tls = free_ports(3)
    urls = f"http://127.0.0.1:{client},https://127.0.0.1:{tls},https://[::1]:{tls}"
    arguments = [
        *(f"--listen-client-urls={urls}", f"--advertise-client-urls=http://127.0.0.1:{client}"),
        *(f"--cert-file={certificates.server}", f"--key-file={certificates.server_key}"),
    ]
    if client_certificates:
        arguments += ["--client-cert-auth", f"--trusted-ca-file={certificates.ca}"]
    with EtcdServer(binary=binary, ports=(client, peer), extra_args=arguments) as server:
        yield TlsEtcd(server, tls)


def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificates.ca)
