"""TLS with certificates made for the test: whom the client trusts, and how it says whom it does not."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from etcdorm import EtcdModel, connect
from etcdorm.errors import UsageError
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import Client, EtcdUnavailable
from tests.support.tls import Certificates, TlsEtcd, make_certificates, tls_etcd

Paths = dict[str, Path | tuple[Path, Path]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def etcd_with_tls(etcd_binary: EtcdBinary, certificates: Certificates) -> Iterator[TlsEtcd]:
    with tls_etcd(etcd_binary, certificates) as server:
        yield server


@pytest.fixture
def etcd_that_asks(etcd_binary: EtcdBinary, certificates: Certificates) -> Iterator[TlsEtcd]:
    with tls_etcd(etcd_binary, certificates, client_certificates=True) as server:
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_a_client_with_the_ca_reads_writes_and_watches(
    etcd_with_tls: TlsEtcd, certificates: Certificates, host: str
) -> None:
    async with Client(host, etcd_with_tls.port, protocol="https", ca_cert=certificates.ca) as client:
        written = await client.write("/key", "a")
        assert (await client.read("/key")).value == "a"
        async with client.eternal_watch("/key", written.modifiedIndex) as events:
            assert (await anext(events)).value == "a"


async def test_a_session_takes_the_same_settings(etcd_with_tls: TlsEtcd, certificates: Certificates) -> None:
    class Item(EtcdModel, path="/items/{name}"):
        name: str

    async with connect(etcd_with_tls.url, ca_cert=certificates.ca) as session:
        await session.save(Item(name="i"))
        assert (await session.load(Item, "i")).name == "i"


async def test_a_server_of_an_unknown_ca_is_refused_at_once(etcd_with_tls: TlsEtcd) -> None:
    begin = time.monotonic()
    async with Client(etcd_with_tls.url, timeout=30) as client:
        with pytest.raises(EtcdUnavailable, match=r"is its CA the one in ca_cert\?; nothing was sent"):
            await client.write("/key", "a")
    assert time.monotonic() - begin < 10


async def test_a_server_of_another_name_is_refused(
    etcd_binary: EtcdBinary, certificates: Certificates, tmp_path: Path
) -> None:
    ca = trustme.CA()
    other = ca.issue_cert("etcd.example.com")
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    other.private_key_pem.write_to_path(tmp_path / "key.pem")
    wrong = Certificates(
        *(tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"),
        *(certificates.client, certificates.client_key, certificates.client_both),
    )
    with tls_etcd(etcd_binary, wrong) as server:
        async with Client(server.url, ca_cert=wrong.ca) as client:
            with pytest.raises(EtcdUnavailable, match="connect by a name that it is for"):
                await client.read("/")
        async with Client(server.url, ca_cert=wrong.ca, ssl_verify=ssl.CERT_NONE) as client:
            await client.write("/key", "a")


async def test_an_endpoint_that_is_not_trusted_gives_way_to_one_that_is(
    etcd_with_tls: TlsEtcd, etcd_binary: EtcdBinary, certificates: Certificates, tmp_path: Path
) -> None:
    with tls_etcd(etcd_binary, make_certificates(tmp_path)) as stranger:
        async with Client([stranger.url, etcd_with_tls.url], ca_cert=certificates.ca) as client:
            await client.write("/key", "a")
        async with Client(etcd_with_tls.plain) as client:
            assert (await client.read("/key")).value == "a"


@pytest.mark.parametrize("pair", [True, False], ids=["pair", "one file"])
async def test_a_client_shows_its_certificate(etcd_that_asks: TlsEtcd, certificates: Certificates, pair: bool) -> None:
    cert = (certificates.client, certificates.client_key) if pair else certificates.client_both
    async with Client(etcd_that_asks.url, ca_cert=certificates.ca, cert=cert) as client:
        await client.write("/key", "a")


async def test_a_client_without_the_certificate_that_is_asked_for_is_told_so(
    etcd_that_asks: TlsEtcd, certificates: Certificates
) -> None:
    async with Client(etcd_that_asks.url, ca_cert=certificates.ca) as client:
        for _ in range(3):
            with pytest.raises(EtcdUnavailable, match=r"give it as cert.*nothing was sent"):
                await client.write("/key", "a")


async def test_tls_spoken_to_a_plain_port_is_told(etcd: EtcdServer) -> None:
    async with Client(etcd.url.replace("http:", "https:"), timeout=0.5) as client:
        with pytest.raises(EtcdUnavailable, match="an http endpoint"):
            await client.read("/")


async def test_http_spoken_to_a_tls_port_is_told(etcd_with_tls: TlsEtcd) -> None:
    async with Client(etcd_with_tls.url.replace("https:", "http:"), timeout=0.5) as client:
        with pytest.raises(EtcdUnavailable, match="https port"):
            await client.read("/")


# -- settings that can't be right --------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for settings in ({"ca_cert": tmp_path / "no.pem"}, {"cert": tmp_path / "no.pem"}):
        (name,) = settings
        with pytest.raises(UsageError, match=rf"{name}: there is no file '.*no\.pem'"):
            Client("https://127.0.0.1:1", cert=settings.get("cert"), ca_cert=settings.get("ca_cert"))


def test_a_file_of_something_else_is_told(tmp_path: Path, certificates: Certificates) -> None:
    (tmp_path / "garbage.pem").write_text("no certificate")
    with pytest.raises(UsageError, match=r"ca_cert: '.*garbage\.pem' is not a PEM file"):
        Client("https://127.0.0.1:1", ca_cert=tmp_path / "garbage.pem")
    with pytest.raises(UsageError, match=r"cert: .* is not a PEM file with a certificate and"):
        Client("https://127.0.0.1:1", cert=certificates.client)
    with pytest.raises(UsageError, match=r"cert: .* is not a PEM file with a certificate and"):
        Client("https://127.0.0.1:1", cert=(certificates.client, certificates.server_key))


def test_an_encrypted_key_is_told_and_no_password_is_asked_for(tmp_path: Path, certificates: Certificates) -> None:
    key = serialization.load_pem_private_key(certificates.client_key.read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (tmp_path / "key.pem").write_bytes(encrypted)
    with pytest.raises(UsageError, match="the key is encrypted"):
        Client("https://127.0.0.1:1", cert=(certificates.client, tmp_path / "key.pem"))


def test_another_verify_mode_is_refused() -> None:
    with pytest.raises(UsageError, match="ssl_verify must be"):
        Client("https://127.0.0.1:1", ssl_verify=ssl.CERT_OPTIONAL)
