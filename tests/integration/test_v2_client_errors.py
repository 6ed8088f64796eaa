"""What the v2 client raises: etcd's own errors by their codes, and refusals before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from etcdorm import AlreadyExistsError, NotFoundError, RefusedError, UsageError
from etcdorm.embedded.command import etcd_arguments, etcd_environment
from etcdorm.embedded.probe import free_ports
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.testing.faults import FaultProxy
from etcdorm.v2 import (
    Client,
    EtcdAlreadyExist,
    EtcdCompareFailed,
    EtcdDirNotEmpty,
    EtcdEventIndexCleared,
    EtcdException,
    EtcdKeyNotFound,
    EtcdNotDir,
    EtcdNotFile,
    EtcdProtocolError,
    EtcdRootReadOnly,
    EtcdUnavailable,
    EtcdUnconfirmed,
)
from tests.support.raw import flush_history

Call = Callable[[Client], Awaitable[object]]


async def prepare(client: Client) -> None:
    await client.write("/file", "secret")
    await client.write("/dir/key", "secret")


REFUSED: dict[str, tuple[Call, type[EtcdException], int]] = {
    "read of a missing key": (lambda client: client.read("/no/such"), EtcdKeyNotFound, 100),
    "delete of a missing key": (lambda client: client.delete("/no/such"), EtcdKeyNotFound, 100),
    "wrong prevValue": (lambda client: client.write("/file", "b", prevValue="c"), EtcdCompareFailed, 101),
    "wrong prevIndex": (lambda client: client.delete("/file", prevIndex=1), EtcdCompareFailed, 101),
    "value over a directory": (lambda client: client.write("/dir", "a"), EtcdNotFile, 102),
    "delete of a directory": (lambda client: client.delete("/dir"), EtcdNotFile, 102),
    "write below a file": (lambda client: client.write("/file/x", "a"), EtcdNotDir, 104),
    "append to a file": (lambda client: client.write("/file", "a", append=True), EtcdNotDir, 104),
    "existing key": (lambda client: client.write("/file", "a", prevExist=False), EtcdAlreadyExist, 105),
    "write to the root": (lambda client: client.write("/", "a"), EtcdRootReadOnly, 107),
    "delete of the root": (lambda client: client.delete("/", recursive=True), EtcdRootReadOnly, 107),
    "delete of a full directory": (lambda client: client.delete("/dir", dir=True), EtcdDirNotEmpty, 108),
}


async def refusal(client: Client, case: str) -> EtcdException:
    await prepare(client)
    call, kind, _ = REFUSED[case]
    with pytest.raises(kind) as caught:
        await call(client)
    return caught.value


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refusal_has_its_class_and_code(client: Client, case: str) -> None:
    assert (await refusal(client, case)).code == REFUSED[case][2]


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refusal_is_one_to_everybody_who_knows_only_the_common_errors(client: Client, case: str) -> None:
    assert isinstance(await refusal(client, case), RefusedError)


async def test_a_refusal_has_etcds_own_words_and_index(client: Client) -> None:
    error = await refusal(client, "read of a missing key")
    stood = (await client.read("/")).etcd_index
    assert (error.message, error.cause, error.index) == ("Key not found", "/no", stood)


async def test_the_payload_is_the_error_as_the_server_wrote_it(client: Client) -> None:
    error = await refusal(client, "existing key")
    assert error.payload == {"errorCode": 105, "message": "Key already exists", "cause": "/file", "index": error.index}


async def test_the_text_of_an_error_names_the_request_and_the_endpoint(etcd: EtcdServer, client: Client) -> None:
    error = await refusal(client, "write below a file")
    assert str(error).startswith(f"PUT /file/x at {etcd.url}: Not a directory (/file) [etcd 104]")


async def test_a_missing_key_is_not_found_in_the_words_of_etcdorm(client: Client) -> None:
    assert isinstance(await refusal(client, "read of a missing key"), NotFoundError)


async def test_an_existing_key_exists_already_in_the_words_of_etcdorm(client: Client) -> None:
    assert isinstance(await refusal(client, "existing key"), AlreadyExistsError)


async def test_a_failed_comparison_keeps_the_values_out_of_its_text(client: Client) -> None:
    await prepare(client)
    with pytest.raises(EtcdCompareFailed) as caught:
        await client.write("/file", "secret", prevValue="secret-too")
    assert "secret" not in f"{caught.value!s} {caught.value!r}"


async def test_a_failed_comparison_has_etcds_own_words_in_its_cause(client: Client) -> None:
    await prepare(client)
    with pytest.raises(EtcdCompareFailed) as caught:
        await client.write("/file", "b", prevValue="c")
    assert caught.value.cause == "[c != secret]"


async def test_a_result_keeps_its_value_out_of_its_repr(client: Client) -> None:
    await prepare(client)
    assert "secret" not in repr(await client.read("/dir", recursive=True)) + repr(await client.write("/file", "b"))


async def test_a_wait_from_too_far_back_says_so_and_where_the_store_stands(client: Client) -> None:
    await client.write("/key", "a")
    await flush_history(client)
    stands = (await client.read("/")).etcd_index
    with pytest.raises(EtcdEventIndexCleared, match="read the keys anew") as caught:
        await client.read("/key", wait=True, waitIndex=1)
    assert (caught.value.code, caught.value.index) == (401, stands)


USAGE: dict[str, tuple[Call, str]] = {
    "no value": (lambda c: c.write("/a"), "a write needs a value"),
    "value and dir": (lambda c: c.write("/a", "b", dir=True), "a write needs a value"),
    "bytes": (lambda c: c.write("/a", b"b"), "a value must be a str"),  # type: ignore[arg-type]  # that is the point
    "surrogate": (lambda c: c.write("/a", "\ud800"), "lone surrogate"),
    "append, prevExist": (lambda c: c.write("/a", "b", append=True, prevExist=True), "append=True makes a new key"),
    "append, prevIndex": (lambda c: c.write("/a", "b", append=True, prevIndex=1), "append=True makes a new key"),
    "append, prevValue": (lambda c: c.write("/a", "b", append=True, prevValue="c"), "append=True makes a new key"),
    "prevExist, prevIndex": (lambda c: c.write("/a", "b", prevExist=False, prevIndex=1), "with prevExist=False"),
    "prevExist, prevValue": (lambda c: c.write("/a", "b", prevExist=False, prevValue="c"), "with prevExist=False"),
    "prevIndex 0": (lambda c: c.write("/a", "b", prevIndex=0), "prevIndex must be a whole number from 1 on"),
    "prevIndex 0 of a delete": (lambda c: c.delete("/a", prevIndex=0), "prevIndex must be a whole number from 1 on"),
    "prevIndex True": (lambda c: c.write("/a", "b", prevIndex=True), "prevIndex must be a whole number from 1 on"),
    "empty prevValue": (lambda c: c.write("/a", "b", prevValue=""), "can't compare with an empty prevValue"),
    "empty prevValue of a delete": (lambda c: c.delete("/a", prevValue=""), "can't compare with an empty prevValue"),
    "long prevValue of a delete": (lambda c: c.delete("/a", prevValue="x" * 5000), "prevValue is too long"),
    "negative ttl": (lambda c: c.write("/a", "b", ttl=-1), "ttl must be whole seconds"),
    "huge ttl": (lambda c: c.write("/a", "b", ttl=10**10), "ttl must be whole seconds"),
    "ttl in fractions": (lambda c: c.write("/a", "b", ttl=1.5), "ttl must be"),  # type: ignore[arg-type]  # the same
    "dir, prevExist": (lambda c: c.write("/a", dir=True, ttl=60, prevExist=True), "a directory can't be updated"),
    "dir, prevIndex": (lambda c: c.write("/a", dir=True, prevIndex=1), "a directory can't be updated"),
    "dir, prevValue": (lambda c: c.write("/a", dir=True, prevValue="b"), "a directory can't be updated"),
    "refresh without ttl": (lambda c: c.write("/a", refresh=True), "refresh=True needs a ttl"),
    "refresh with value": (lambda c: c.write("/a", "b", ttl=1, refresh=True), "refresh=True needs a ttl"),
    "refresh of a directory": (lambda c: c.write("/a", ttl=1, refresh=True, dir=True), "refresh=True needs a ttl"),
    "refresh, prevExist": (lambda c: c.write("/a", ttl=1, refresh=True, prevExist=False), "refresh=True needs a ttl"),
    "wait with quorum": (lambda c: c.read("/a", wait=True, quorum=True), "etcd ignores wait=True"),
    "waitIndex alone": (lambda c: c.read("/a", waitIndex=1), "waitIndex needs wait=True"),
    "waitIndex 0": (lambda c: c.read("/a", wait=True, waitIndex=0), "waitIndex must be a whole number from 1 on"),
    "empty segment": (lambda c: c.read("/a//b"), "a segment ''"),
    "dots": (lambda c: c.delete("/a/../b"), r"a segment '\.\.'"),
    "dot": (lambda c: c.write("/a/./b", "c"), r"a segment '\.'"),
}


@pytest.mark.parametrize("case", USAGE)
async def test_what_can_not_be_right_is_refused_before_anything_is_sent(etcd: EtcdServer, case: str) -> None:
    call, problem = USAGE[case]
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        with pytest.raises(UsageError, match=problem):
            await call(client)
        assert not proxy.seen


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("ftp://127.0.0.1", "is not a URL"),
        ("http://", "is not a URL"),
        ("http://127.0.0.1:2379?x=1", "has a query or a fragment"),
        ("127.0.0.1:2379", "names a port"),
        ([], "no endpoint was given"),
    ],
)
def test_a_host_that_is_none_is_refused(host: str | list[str], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        Client(host)


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        Client("http://user:secret@127.0.0.1:2379")
    assert "secret" not in str(caught.value)


def http(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def test_an_etcd_without_v2_is_told_with_the_flag_that_switches_it_on(
    etcd_binary: EtcdBinary, tmp_path: Path
) -> None:
    ports = free_ports(2)
    arguments = etcd_arguments(
        etcd_binary.version, name="v3", data_dir=tmp_path, ports=(ports[0], ports[1]), extra=["--enable-v2=false"]
    )
    process = await asyncio.create_subprocess_exec(
        etcd_binary.path, *arguments, env=etcd_environment(), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        # It tries on until there is somebody to answer.
        async with Client(f"http://127.0.0.1:{ports[0]}") as client:
            with pytest.raises(EtcdProtocolError, match="--enable-v2"):
                await client.read("/key")
    finally:
        process.kill()
        await process.wait()


async def test_a_redirect_is_not_followed(etcd: EtcdServer) -> None:
    answer = b"HTTP/1.1 301 Moved\r\nLocation: /v2/keys/other\r\nContent-Length: 0\r\n\r\n"
    async with FaultProxy(etcd.url, answer=lambda seen: answer) as proxy, Client(proxy.url) as client:
        with pytest.raises(EtcdProtocolError):
            await client.write("/key", "a", append=True)
        assert len(proxy.seen) == 1


@pytest.mark.parametrize("status", ["502 Bad Gateway", "200 OK"])
async def test_a_write_that_something_else_answered_is_unconfirmed(etcd: EtcdServer, status: str) -> None:
    async with FaultProxy(etcd.url, answer=lambda seen: http(status, "what?")) as proxy, Client(proxy.url) as client:
        with pytest.raises(EtcdUnconfirmed):
            await client.write("/key", "a")


async def test_a_read_that_a_broken_gateway_answered_is_unavailable(etcd: EtcdServer) -> None:
    answer = http("502 Bad Gateway", "what?")
    async with FaultProxy(etcd.url, answer=lambda seen: answer) as proxy, Client(proxy.url, timeout=0.3) as client:
        with pytest.raises(EtcdUnavailable):
            await client.read("/key")
