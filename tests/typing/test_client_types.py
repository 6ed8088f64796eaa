"""The v2 client's public signatures, as mypy sees them. Nothing here is run: that it is checked is the test."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, assert_type

from etcdorm import NotFoundError
from etcdorm.testing import EtcdBinary, EtcdServer
from etcdorm.v2 import (
    Auth,
    Client,
    EtcdException,
    EtcdKeyNotFound,
    EtcdResult,
    EtcdRole,
    EtcdUser,
    EternalWatch,
    Member,
)


async def making() -> None:
    assert_type(Client(), Client)
    Client("127.0.0.1", 2379, protocol="https", version_prefix="/etcd/v2", timeout=1.5, connect_timeout=0.5)
    Client(["http://127.0.0.1:2379"])
    Client([("127.0.0.1", 2379), ("127.0.0.1", 2380)])
    Client(allow_redirect=False, allow_reconnect=True, expected_cluster_id="7e27652122e8b2ae")
    Client("127.0.0.1", "2379")  # type: ignore[arg-type]
    Client("127.0.0.1", 2379, protocol="ftp")  # type: ignore[arg-type]
    Client(srv_domain="example.com", srv_nameservers=["127.0.0.1:53"], username="root", password="pw", use_proxies=True)
    Client(protocol="https", cert=("app.crt", Path("app.key")), ca_cert=Path("ca.pem"), ssl_verify=ssl.CERT_NONE)
    Client(protocol="https", cert="app.pem", ssl_verify=False, per_host_pool_size=10, lock_prefix="/_locks")
    Client(protocol="https", cert=("app.crt", "app.key", "more"))  # type: ignore[arg-type]
    Client(username=b"root", password="pw")  # type: ignore[arg-type]
    async with Client() as client:
        assert_type(client, Client)
        assert_type(client.endpoints, tuple[str, ...])


async def proving(client: Client) -> None:
    auth = Auth(client)
    assert_type(await auth.get_active(), bool)
    assert_type(await auth.set_active(True, timeout=1.5), None)
    assert_type(await auth.users(), list[str])
    user = EtcdUser(client, "app")
    user.password = "pw"
    user.roles = ["app"]
    assert_type(user.roles, set[str])
    assert_type(user.password, None)
    assert_type(await user.get_names(), list[str])
    role = EtcdRole(client, "app")
    role.grant("/app/*", "RW")
    role.acls = {"/app/*": "R"}
    assert_type(role.acls, dict[str, str])
    assert_type(await role.write(timeout=1.5), None)


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
    assert_type(await client.pop("/a", prevIndex=7), EtcdResult)
    assert_type(await client.test_and_set("/a", "b", "c", 60), EtcdResult)
    assert_type(await client.update(await client.read("/a")), EtcdResult)
    assert_type(await client.contains("/a"), bool)
    await client.write("/a", b"b")  # type: ignore[arg-type]
    await client.write("/a", "b", ttl=1.5)  # type: ignore[arg-type]
    await client.write("/a", "b", prevexist=True)  # type: ignore[call-arg]
    await client.read("/a", True)  # type: ignore[call-arg]
    await client.refresh("/a")  # type: ignore[call-arg]


async def watching(client: Client) -> None:
    assert_type(await client.watch("/a", 7, True, timeout=1.5), EtcdResult)
    watch = client.eternal_watch("/a", index=7, recursive=True)
    assert_type(watch, EternalWatch)
    assert_type(watch.index, int | None)
    async for event in watch:
        assert_type(event, EtcdResult)
    assert_type(await watch.call(print), int)
    assert_type(await watch.call(client.update), int)
    await watch.call(lambda: None)  # type: ignore[arg-type, misc]


async def asking_about_the_cluster(client: Client) -> None:
    assert_type(client.base_uri, str)
    assert_type(client.host, str)
    assert_type(client.port, int)
    assert_type(client.protocol, str)
    assert_type(client.key_endpoint, str)
    assert_type(await client.machines(timeout=1.5), list[str])
    assert_type(await client.members(), dict[str, Member])
    assert_type((await client.leader())["clientURLs"], list[str])
    assert_type(await client.stats(), dict[str, Any])
    assert_type(await client.leader_stats(), dict[str, Any])
    assert_type(await client.store_stats(), dict[str, Any])
    assert_type(await client.version(), str)
    assert_type(await client.cluster_version(), str)


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
