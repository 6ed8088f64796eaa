"""TLS to a real etcd: who is trusted, who is refused, and what is said about it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from etcdorm import UnavailableError, connect
from etcdorm.embedded.probe import free_ports
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import Client, EtcdMisconfigured, EtcdUnavailable, EtcdUnconfirmed
from tests.support.models import Node
from tests.support.raw import TRIES
from tests.support.tls import Authority, Pair, TlsEtcd, tls_etcd

LONG = 60.0
"""Seconds. A call that is to fail at once has that long, and no test would wait for it."""


@dataclass(frozen=True)
class Certificates:
    ours: Authority
    others: Authority
    server: Pair
    client: Pair
    stranger: Pair


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    ours, others = Authority(tmp_path_factory.mktemp("ours")), Authority(tmp_path_factory.mktemp("others"))
    return Certificates(
        ours,
        others,
        server=ours.issue("localhost", "127.0.0.1", "::1"),
        client=ours.issue("app@example.com", common_name="app"),
        stranger=others.issue("app@example.com", common_name="app"),
    )


@pytest.fixture
async def secure(etcd_binary: EtcdBinary, certificates: Certificates) -> AsyncIterator[TlsEtcd]:
    """An etcd with TLS that lets everybody in."""
    etcd = tls_etcd(etcd_binary, certificates.server)
    async with etcd.server:
        yield etcd


@pytest.fixture
async def strict(etcd_binary: EtcdBinary, certificates: Certificates) -> AsyncIterator[TlsEtcd]:
    """An etcd that wants a certificate of our CA."""
    etcd = tls_etcd(etcd_binary, certificates.server, clients=certificates.ours)
    async with etcd.server:
        yield etcd


async def misconfigured(client: Client) -> str:
    """What a read and a write are told, which must be at once."""
    begin = time.monotonic()
    async with client:
        with pytest.raises(EtcdMisconfigured) as read:
            await client.read("/", timeout=LONG)
        with pytest.raises(EtcdMisconfigured, match="nothing was sent"):
            await client.write("/key", "a", timeout=LONG)
    assert time.monotonic() - begin < LONG / 2
    return str(read.value)


async def test_a_private_ca_is_trusted(secure: TlsEtcd, certificates: Certificates) -> None:
    async with Client(secure.url, ca_cert=certificates.ours.cert) as client:
        await client.write("/key", "a")
        assert (await client.read("/key")).value == "a"
        assert (await client.watch("/key", index=1, timeout=5)).value == "a"


async def test_host_port_and_protocol_name_an_endpoint_too(secure: TlsEtcd, certificates: Certificates) -> None:
    async with Client("localhost", secure.port, protocol="https", ca_cert=certificates.ours.cert) as client:
        await client.write("/key", "a")
        assert client.base_uri == f"https://localhost:{secure.port}"


async def test_an_unknown_ca_is_refused(secure: TlsEtcd, certificates: Certificates) -> None:
    for client in (Client(secure.url), Client(secure.url, ca_cert=certificates.others.cert)):
        assert "is not trusted" in (told := await misconfigured(client))
        assert "ca_cert" in told
        assert secure.url in told


async def test_a_certificate_for_another_name_is_refused(etcd_binary: EtcdBinary, certificates: Certificates) -> None:
    etcd = tls_etcd(etcd_binary, certificates.ours.issue("etcd.example"))
    async with etcd.server:
        for url in (etcd.url, f"https://localhost:{etcd.port}"):
            told = await misconfigured(Client(url, ca_cert=certificates.ours.cert))
            assert "its certificate is for another name" in told


@pytest.mark.parametrize("verify", [ssl.CERT_NONE, False])
async def test_nobody_is_checked_when_told_so(secure: TlsEtcd, verify: ssl.VerifyMode | bool) -> None:
    async with Client(secure.url, ssl_verify=verify) as client:
        await client.write("/key", "a")


async def test_a_client_shows_its_certificate(strict: TlsEtcd, certificates: Certificates) -> None:
    pair = certificates.client
    for cert in (pair.both, (pair.cert, pair.key)):
        async with Client(strict.url, ca_cert=certificates.ours.cert, cert=cert) as client:
            await client.write("/key", "a")


async def test_a_client_without_its_certificate_is_told(strict: TlsEtcd, certificates: Certificates) -> None:
    told = await misconfigured(Client(strict.url, ca_cert=certificates.ours.cert))
    assert "it refused the client's certificate" in told
    assert "cert=(certificate, key)" in told


async def test_a_client_with_a_certificate_of_another_ca_is_told(strict: TlsEtcd, certificates: Certificates) -> None:
    told = await misconfigured(Client(strict.url, ca_cert=certificates.ours.cert, cert=certificates.stranger.both))
    assert "it refused the client's certificate" in told


async def test_an_endpoint_of_another_ca_does_not_keep_the_others_from_being_asked(
    secure: TlsEtcd, strict: TlsEtcd, certificates: Certificates
) -> None:
    async with Client([strict.url, secure.url], ca_cert=certificates.ours.cert) as client:
        await client.write("/key", "a")
        assert client.endpoints[0] == secure.url


async def test_when_one_endpoint_is_down_and_the_other_refused_both_are_told(
    secure: TlsEtcd, certificates: Certificates
) -> None:
    async with Client([secure.url, "https://127.0.0.1:1"], ca_cert=certificates.others.cert, timeout=TRIES) as client:
        with pytest.raises(EtcdUnavailable, match=r"127\.0\.0\.1:1 .*is not trusted"):
            await client.read("/")


async def test_plain_http_to_a_tls_port_is_told(secure: TlsEtcd) -> None:
    async with Client(f"http://127.0.0.1:{secure.port}", timeout=TRIES) as client:
        with pytest.raises(EtcdUnavailable, match="expects TLS: is its URL https://"):
            await client.read("/")
        with pytest.raises(EtcdUnconfirmed, match="expects TLS: is its URL https://"):
            await client.write("/key", "a")


async def test_tls_to_etcds_plain_port_is_told(etcd: EtcdServer) -> None:
    async with Client(etcd.url.replace("http://", "https://"), timeout=TRIES) as client:
        with pytest.raises(EtcdUnavailable, match="has no TLS: is its URL http://"):
            await client.read("/")
        with pytest.raises(EtcdUnavailable, match="nothing was changed"):
            await client.write("/key", "a")


async def test_tls_to_something_that_answers_in_plain_text_is_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert "does not speak TLS" in await misconfigured(Client("127.0.0.1", port, protocol="https"))


async def test_a_session_has_the_same_parameters(strict: TlsEtcd, certificates: Certificates) -> None:
    async with connect(
        strict.url, ca_cert=certificates.ours.cert, cert=certificates.client.both, timeout=LONG
    ) as session:
        await session.save(Node(name="n1"))
        assert (await session.load(Node, "n1")).name == "n1"


async def test_a_session_that_is_refused_fails_at_once(strict: TlsEtcd, certificates: Certificates) -> None:
    begin = time.monotonic()
    async with connect(strict.url, ca_cert=certificates.ours.cert, timeout=LONG) as session:
        with pytest.raises(UnavailableError, match="it refused the client's certificate"):
            await session.save(Node(name="n1"))
        with pytest.raises(UnavailableError, match="it refused the client's certificate"):
            await session.load(Node, "n1")
    assert time.monotonic() - begin < LONG / 2


async def test_a_watch_that_is_refused_ends(secure: TlsEtcd) -> None:
    async with Client(secure.url) as client:
        with pytest.raises(EtcdMisconfigured):
            await asyncio.wait_for(anext(client.eternal_watch("/key")), LONG)


async def test_a_watch_streams_over_tls(strict: TlsEtcd, certificates: Certificates) -> None:
    tls = Client(strict.url, ca_cert=certificates.ours.cert, cert=certificates.client.both)
    async with tls as client, asyncio.timeout(LONG), client.eternal_watch("/key", index=1) as events:
        for value in "abc":
            await client.write("/key", value)
            assert (await anext(events)).value == value


async def test_a_silent_port_is_not_taken_for_one_without_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with Client("127.0.0.1", silent.getsockname()[1], protocol="https", timeout=TRIES) as client:
            with pytest.raises(EtcdUnavailable, match="nothing was changed") as told:
                await client.write("/key", "a")
            assert not isinstance(told.value, EtcdMisconfigured)


async def test_ipv6_endpoints(etcd_binary: EtcdBinary, certificates: Certificates) -> None:
    etcd = tls_etcd(etcd_binary, certificates.server, host="[::1]")
    async with etcd.server:
        for client in (
            Client(f"https://[::1]:{etcd.port}", ca_cert=certificates.ours.cert),
            Client("::1", etcd.port, protocol="https", ca_cert=certificates.ours.cert),
        ):
            async with client:
                await client.write("/key", "a")
                assert client.host == "::1"


async def test_a_plain_ipv6_endpoint(etcd_binary: EtcdBinary) -> None:
    (port,) = free_ports(1)
    async with EtcdServer(binary=etcd_binary, listen_urls=[f"http://[::1]:{port}"]):
        for client in (Client(f"http://[::1]:{port}"), Client("::1", port)):
            async with client:
                await client.write("/key", "a")
