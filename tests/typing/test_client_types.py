"""The v2 client's public signatures, as mypy sees them. Nothing here is run: that it is checked is the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_type

from etcdorm import NotFoundError
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import Client, EtcdException, EtcdKeyNotFound, EtcdResult


async def making() -> None:
    assert_type(Client(), Client)
    Client("127.0.0.1", 2379, protocol="https", version_prefix="/etcd/v2", timeout=1.5, connect_timeout=0.5)
    Client(["http://127.0.0.1:2379"])
    Client([("127.0.0.1", 2379), ("127.0.0.1", 2380)])
    Client("127.0.0.1", "2379")  # type: ignore[arg-type]
    Client("127.0.0.1", 2379, protocol="ftp")  # type: ignore[arg-type]
    async with Client() as client:
        assert_type(client, Client)
        assert_type(client.endpoints, tuple[str, ...])


async def calling(client: Client) -> None:
    assert_type(await client.write("/a", "b"), EtcdResult)
    assert_type(await client.write("/a", 1, 60), EtcdResult)
    assert_type(await client.write("/a", True, prevExist=False), EtcdResult)
    assert_type(await client.write("/a", 1.5, prevIndex=1, prevValue=2), EtcdResult)
    assert_type(await client.write("/a", dir=True, timeout=1.5), EtcdResult)
    assert_type(await client.set("/a", "b"), EtcdResult)
    assert_type(await client.read("/a", recursive=True, sorted=True, quorum=True), EtcdResult)
    assert_type(await client.read("/a", wait=True, waitIndex=7, timeout=1.5), EtcdResult)
    assert_type(await client.get("/a"), EtcdResult)
    assert_type(await client.delete("/a", recursive=True, dir=True), EtcdResult)
    assert_type(await client.delete("/a", prevValue="b", prevIndex=7), EtcdResult)
    assert_type(await client.refresh("/a", 60), EtcdResult)
    await client.write("/a", b"b")  # type: ignore[arg-type]
    await client.write("/a", "b", ttl=1.5)  # type: ignore[arg-type]
    await client.write("/a", "b", prevexist=True)  # type: ignore[call-arg]
    await client.read("/a", True)  # type: ignore[call-arg]
    await client.refresh("/a")  # type: ignore[call-arg]


def results(result: EtcdResult) -> None:
    assert_type(result.action, str)
    assert_type(result.key, str)
    assert_type(result.value, str | None)
    assert_type(result.dir, bool)
    assert_type(result.ttl, int | None)
    assert_type(result.expiration, str | None)
    assert_type(result.createdIndex, int)
    assert_type(result.modifiedIndex, int)
    assert_type(result.etcd_index, int)
    assert_type(result.raft_index, int)
    assert_type(result.newKey, bool)
    assert_type(result.prev_node, EtcdResult | None)
    assert_type(result.children, Iterator[EtcdResult])
    assert_type(result.leaves, Iterator[EtcdResult])
    assert_type(result.get_subtree(leaves_only=True), Iterator[EtcdResult])


def errors(error: EtcdException, missing: EtcdKeyNotFound) -> NotFoundError:
    assert_type(error.code, int | None)
    assert_type(error.message, str)
    assert_type(error.cause, str)
    assert_type(error.index, int)
    assert_type(error.payload, Mapping[str, int | str | None])
    return missing


async def servers() -> None:
    with EtcdServer(data_dir="data", name="a", extra_args=["--snapshot-count=10"], start_timeout=1.5) as server:
        assert_type(server, EtcdServer)
    async with EtcdServer() as server:
        assert_type(server.url, str)
        assert_type(server.pid, int)
        assert_type(server.binary, EtcdBinary)
        assert_type(server.running, bool)
