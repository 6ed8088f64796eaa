"""The v2 client's public signatures, as type checkers see them. Nothing here is run: that it is checked is the test."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, assert_type

from etcdorm import AlreadyExistsError, NotFoundError, UnavailableError, UnconfirmedError
from etcdorm.v2 import (
    Auth,
    Call,
    Client,
    EtcdAlreadyExist,
    EtcdClusterIdChanged,
    EtcdCompareFailed,
    EtcdConnectionFailed,
    EtcdDirNotEmpty,
    EtcdEventIndexCleared,
    EtcdException,
    EtcdInsufficientPermissions,
    EtcdKeyError,
    EtcdKeyNotFound,
    EtcdLeaderElectionInProgress,
    EtcdLockExpired,
    EtcdMisconfigured,
    EtcdNotDir,
    EtcdNotFile,
    EtcdProtocolError,
    EtcdRefused,
    EtcdResult,
    EtcdRole,
    EtcdRootReadOnly,
    EtcdUnavailable,
    EtcdUnconfirmed,
    EtcdUser,
    EtcdValueError,
    EtcdWatcherCleared,
    EtcdWatchTimedOut,
    EternalWatch,
    Lock,
    Member,
    Observer,
    StopWatching,
)
from etcdorm.v2.result import Node


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


async def proving(client: Client, auth: Auth, user: EtcdUser, role: EtcdRole) -> None:
    assert_type((Auth(client), EtcdUser(client, "app"), EtcdRole(client, "app")), tuple[Auth, EtcdUser, EtcdRole])
    assert_type(await auth.get_active(timeout=1.5), bool)
    assert_type(await auth.set_active(True, timeout=1.5), None)
    assert_type(await auth.enable(timeout=1.5), None)
    assert_type(await auth.disable(timeout=1.5), None)
    assert_type(await auth.users(timeout=1.5), list[str])
    assert_type(await auth.roles(timeout=1.5), list[str])
    user.password = "pw"
    user.roles = ["app"]
    assert_type(user.name, str)
    assert_type(user.roles, set[str])
    assert_type(user.password, None)
    assert_type(await user.get_names(timeout=1.5), list[str])
    assert_type(await user.read(), None)
    assert_type(await user.write(), None)
    assert_type(await user.delete(timeout=1.5), None)
    assert_type(role.grant("/app/*", "RW"), None)
    assert_type(role.revoke("/app/*", "W"), None)
    role.acls = {"/app/*": "R"}
    assert_type(role.name, str)
    assert_type(role.acls, dict[str, str])
    assert_type(await role.get_names(timeout=1.5), list[str])
    assert_type(await role.read(), None)
    assert_type(await role.write(timeout=1.5), None)
    assert_type(await role.delete(), None)
    user.password = 7  # type: ignore[assignment]
    user.roles = [7]  # type: ignore[list-item]
    role.grant("/app/*")  # type: ignore[call-arg]
    EtcdUser("app")  # type: ignore[arg-type, call-arg]


async def locking(client: Client, lock: Lock) -> None:
    async with Lock(client, "job") as held:
        assert_type(held, Lock)
    assert_type(await lock.acquire(), bool)
    assert_type(await lock.acquire(False, 60, timeout=1.5), bool)
    assert_type(await lock.check(), bool)
    assert_type(await lock.release(), None)
    assert_type(await lock.set_uuid("uuid"), None)
    assert_type((lock.name, lock.path, lock.lock_key, lock.uuid), tuple[str, str, str, str])
    assert_type((lock.is_acquired, lock.token), tuple[bool, int])
    assert_type(await lock.client.read("/a"), EtcdResult)
    Lock("job")  # type: ignore[arg-type, call-arg]
    await lock.acquire(lock_ttl="60")  # type: ignore[arg-type]


async def calling(client: Client) -> None:
    assert_type(await client.write("/a", "b"), EtcdResult)
    assert_type(await client.write("/a", 1, 60), EtcdResult)
    assert_type(await client.write("/a", True, prevExist=False), EtcdResult)
    assert_type(await client.write("/a", 1.5, prevIndex=1, prevValue=2), EtcdResult)
    assert_type(await client.write("/a", dir=True, timeout=1.5, unique=True), EtcdResult)
    assert_type(await client.set("/a", "b", prevExist=True, prevIndex=1, prevValue=2, timeout=1.5), EtcdResult)
    assert_type(await client.set("/a", ttl=60, refresh=True, unique=True), EtcdResult)
    assert_type(await client.write("/a", ttl=60, refresh=True), EtcdResult)
    assert_type(await client.read("/a", recursive=True, sorted=True, quorum=True), EtcdResult)
    assert_type(await client.read("/a", wait=True, waitIndex=7, timeout=1.5), EtcdResult)
    assert_type(
        await client.get("/a", recursive=True, sorted=True, quorum=True, wait=True, waitIndex=7, timeout=1.5),
        EtcdResult,
    )
    assert_type(await client.delete("/a", recursive=True, dir=True), EtcdResult)
    assert_type(await client.delete("/a", prevValue="b", prevIndex=7, unique=True), EtcdResult)
    assert_type(await client.refresh("/a", 60, prevIndex=7, prevValue="b", timeout=1.5), EtcdResult)
    assert_type(await client.pop("/a", prevIndex=7, prevValue="b", timeout=1.5, unique=True), EtcdResult)
    assert_type(await client.test_and_set("/a", "b", "c", 60, timeout=1.5, unique=True), EtcdResult)
    assert_type(await client.update(await client.read("/a"), timeout=1.5, unique=True), EtcdResult)
    assert_type(await client.contains("/a", timeout=1.5), bool)
    await client.write("/a", b"b")  # type: ignore[arg-type]
    await client.write("/a", "b", ttl=1.5)  # type: ignore[arg-type]
    await client.write("/a", "b", prevexist=True)  # type: ignore[call-arg]
    await client.read("/a", True)  # type: ignore[call-arg]
    await client.refresh("/a")  # type: ignore[call-arg]


async def watching(client: Client, watch: EternalWatch) -> None:
    assert_type(await client.watch("/a", 7, True, timeout=1.5), EtcdResult)
    assert_type(client.eternal_watch("/a", index=7, recursive=True), EternalWatch)
    assert_type(watch.connected, bool)
    assert_type(watch.index, int | None)
    assert_type(await watch.aclose(), None)
    async with watch as events:
        assert_type(events, EternalWatch)
    async for event in watch:
        assert_type(event, EtcdResult)
    assert_type(await watch.call(print), int)
    assert_type(await watch.call(client.update), int)
    await watch.call(lambda: None)  # type: ignore[arg-type, misc]


async def asking_about_the_cluster(client: Client) -> None:
    assert_type(client.endpoints, tuple[str, ...])
    assert_type(client.cluster_id, str)
    assert_type(client.version_prefix, str)
    assert_type(client.lock_prefix, str)
    assert_type(await client.close(), None)
    assert_type(client.base_uri, str)
    assert_type(client.host, str)
    assert_type(client.port, int)
    assert_type(client.protocol, str)
    assert_type(client.key_endpoint, str)
    assert_type(await client.machines(timeout=1.5), list[str])
    assert_type(await client.members(timeout=1.5), dict[str, Member])
    assert_type(await client.leader(timeout=1.5), Member)
    assert_type(await client.stats(timeout=1.5), dict[str, Any])
    assert_type(await client.leader_stats(timeout=1.5), dict[str, Any])
    assert_type(await client.store_stats(timeout=1.5), dict[str, Any])
    assert_type(await client.version(timeout=1.5), str)
    assert_type(await client.cluster_version(timeout=1.5), str)


def members(member: Member) -> None:
    assert_type((member["id"], member["name"]), tuple[str, str])
    assert_type((member["clientURLs"], member["peerURLs"]), tuple[list[str], list[str]])
    member["url"]  # type: ignore[typeddict-item]


def results(result: EtcdResult) -> None:
    assert_type(result.node, Node)
    result.action = 7  # type: ignore[assignment]
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
    result.value = "b"


def errors(error: EtcdException, timed_out: EtcdWatchTimedOut) -> None:
    assert_type(error.code, int | None)
    assert_type(error.message, str)
    assert_type(error.cause, str)
    assert_type(error.index, int)
    assert_type(error.payload, Mapping[str, int | str | None])
    assert_type(timed_out.raft_index, int)


CONNECTIONS: tuple[type[EtcdConnectionFailed], ...] = (
    EtcdUnavailable,
    EtcdMisconfigured,
    EtcdUnconfirmed,
    EtcdWatchTimedOut,
)
REFUSALS: tuple[type[EtcdRefused], ...] = (
    EtcdKeyError,
    EtcdKeyNotFound,
    EtcdNotFile,
    EtcdNotDir,
    EtcdAlreadyExist,
    EtcdRootReadOnly,
    EtcdValueError,
    EtcdCompareFailed,
    EtcdDirNotEmpty,
    EtcdInsufficientPermissions,
    EtcdLeaderElectionInProgress,
    EtcdWatcherCleared,
    EtcdEventIndexCleared,
)
OTHERS: tuple[type[EtcdException], ...] = (EtcdProtocolError, EtcdClusterIdChanged, EtcdLockExpired, StopWatching)
NO_REFUSAL: type[EtcdRefused] = EtcdUnconfirmed  # type: ignore[assignment]


def on_the_branches_of_etcdorm(
    missing: EtcdKeyNotFound, exists: EtcdAlreadyExist, unavailable: EtcdUnavailable, unconfirmed: EtcdUnconfirmed
) -> tuple[NotFoundError, AlreadyExistsError, UnavailableError, UnconfirmedError]:
    return missing, exists, unavailable, unconfirmed


# -- observers ---------------------------------------------------------------------------------------------------------


class Counting(Observer):
    def call_started(self, call: Call) -> None: ...

    def call_ended(self, call: Call, duration: int, error: BaseException | None) -> None: ...  # type: ignore[override]


def observing(observer: Observer, call: Call) -> None:
    Client(observers=[Counting(), observer])
    Client(observers=[print])  # type: ignore[list-item]
    assert_type((call.method, call.key, call.waits), tuple[str, str, bool])
    assert_type(observer.call_started(call), None)
    assert_type(observer.request_started(call, "http://127.0.0.1:2379"), None)
    assert_type(observer.request_answered(call, "http://127.0.0.1:2379", 200, 0.1), None)
    assert_type(observer.request_failed(call, "http://127.0.0.1:2379", "refused", 0.1), None)
    assert_type(observer.request_retried(call, "http://127.0.0.1:2379", 0.1), None)
    assert_type(observer.failed_over(call, "http://127.0.0.1:2379", "http://127.0.0.1:2380", 0.1), None)
    assert_type(observer.call_ended(call, 0.1, ValueError()), None)
    call.key = "/elsewhere"  # type: ignore[misc]
