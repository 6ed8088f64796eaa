"""The client of etcd's v2 API: every call it has, wired to the modules that know how."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Awaitable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from etcdorm.errors import UsageError
from etcdorm.v2 import cluster
from etcdorm.v2 import request as requests
from etcdorm.v2.caller import Caller, Understand
from etcdorm.v2.credentials import basic_auth
from etcdorm.v2.errors import EtcdException, EtcdKeyNotFound, EtcdRefused
from etcdorm.v2.eternal import EternalWatch
from etcdorm.v2.keys import as_result
from etcdorm.v2.membership import Membership
from etcdorm.v2.observers import Observer
from etcdorm.v2.reach import HERE, endpoints_of
from etcdorm.v2.request import Asked, Request, Value
from etcdorm.v2.result import EtcdResult
from etcdorm.v2.settle import can_settle, change
from etcdorm.v2.source import KeySource
from etcdorm.v2.tls import File, make_context
from etcdorm.v2.transport import Answer, Transport

_log = logging.getLogger("etcdorm.v2")

T = TypeVar("T")


class Client:
    """A client of etcd's v2 API over one cluster.

    ``host`` is a host name, a URL, or a sequence of URLs or of (host, port) pairs, all of one cluster; or its
    endpoints are the SRV records of ``srv_domain``, over TLS where there are such records, asked of the DNS servers
    ``srv_nameservers`` or of the machine's. Nothing is connected before the first call, and no running loop is needed
    to make one. ``timeout`` is the deadline of a call in seconds, over all endpoints and tries; a read with
    ``wait=True`` has none unless it names one.

    TLS (``protocol="https"``, or a URL): ``ca_cert`` is a file with the CAs to trust instead of the system's, ``cert``
    what this client shows of itself, a file with certificate and key or a pair of files; ``ssl_verify=CERT_NONE``
    trusts anybody. ``username`` and ``password`` go with every request.

    ``allow_reconnect`` adds the endpoints that the cluster's members advertise to those that are named, except with
    ``use_proxies``. ``per_host_pool_size`` bounds the connections to each endpoint; waits are not counted.
    ``version_prefix`` is what comes between an endpoint and ``/keys``; a proxy may have another one than etcd.
    ``expected_cluster_id``: an answer of any other cluster raises EtcdClusterIdChanged. ``lock_prefix`` is the
    directory of the locks. Taken for python-etcd's sake, without effect: ``allow_redirect`` (etcd 3.3 to 3.5 never
    redirects).

    ``observers`` are told of every call, request and retry (``etcdorm.v2.observers``, with adapters for OpenTelemetry
    and Prometheus beside it).

    Reads never go back in time, whichever member answers: an answer that is older than one already seen is asked for
    again with ``quorum=true``. A write whose answer is lost is never resent blindly: it is settled by reading back
    where that can tell for certain (``etcdorm.v2.settle``), and raises EtcdUnconfirmed where it can't.
    Raises: UsageError for parameters that can't be right, and for files that can't be used.
    """

    def __init__(
        self,
        host: str | Sequence[str] | Sequence[tuple[str, int]] = HERE,
        port: int = 4001,
        *,
        srv_domain: str | None = None,
        srv_nameservers: Sequence[str] = (),
        protocol: Literal["http", "https"] | None = None,
        cert: File | tuple[File, File] | None = None,
        ca_cert: File | None = None,
        ssl_verify: ssl.VerifyMode | bool = ssl.CERT_REQUIRED,
        username: str | None = None,
        password: str | None = None,
        version_prefix: str = "/v2",
        allow_redirect: bool = True,
        allow_reconnect: bool = False,
        use_proxies: bool = False,
        expected_cluster_id: str | None = None,
        per_host_pool_size: int | None = None,
        lock_prefix: str = "/_locks",
        timeout: float = 10.0,
        connect_timeout: float = 2.0,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._prefix = requests.api_prefix(version_prefix)
        self._lock_prefix = str(requests.key_path(lock_prefix))
        tls = make_context(cert, ca_cert, ssl_verify)
        urls, discovery = endpoints_of(
            host,
            port,
            protocol=protocol,
            srv_domain=srv_domain,
            srv_nameservers=srv_nameservers,
            has_tls_parameters=tls is not None,
        )
        if per_host_pool_size is not None and per_host_pool_size < 1:
            raise UsageError(f"per_host_pool_size is {per_host_pool_size}; without it connections are not bounded")
        transport = Transport(
            connect_timeout=connect_timeout,
            tls=tls,
            authorization=basic_auth(username, password),
            pool_size=per_host_pool_size,
        )
        self._caller = Caller(
            urls,
            transport,
            timeout=timeout,
            expected_cluster_id=expected_cluster_id,
            discovery=discovery,
            observers=observers,
        )
        self._membership: Membership | None = None
        if allow_reconnect and not use_proxies:
            self._membership = Membership(self._caller, transport, self._prefix)
            self._caller.on_answer = self._membership.answered
        self._seen = 0

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The endpoints' URLs; the one that is asked first comes first."""
        return self._caller.endpoints.urls

    @property
    def base_uri(self) -> str:
        """The URL of the endpoint that is asked first; it changes when that one fails. So do the three parts of it.

        Raises: UsageError before the first call of a client that finds its endpoints by ``srv_domain``.
        """
        if not self.endpoints:
            raise UsageError("the endpoints come from srv_domain, and no call has asked for them yet")
        return self.endpoints[0]

    @property
    def protocol(self) -> str:
        return urlsplit(self.base_uri).scheme

    @property
    def host(self) -> str:
        return urlsplit(self.base_uri).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.base_uri).port or (443 if self.protocol == "https" else 80)

    @property
    def cluster_id(self) -> str:
        """The id of the cluster that has answered last, as etcd writes it; "" before the first answer."""
        return self._caller.cluster_id

    @property
    def version_prefix(self) -> str:
        """What comes between an endpoint's URL and the pages of the API."""
        return self._prefix

    @property
    def lock_prefix(self) -> str:
        """The directory of the locks."""
        return self._lock_prefix

    @property
    def key_endpoint(self) -> str:
        """What comes between an endpoint's URL and a key."""
        return f"{self._prefix}/keys"

    async def write(
        self,
        key: str,
        value: Value | None = None,
        ttl: int | None = None,
        dir: bool = False,
        append: bool = False,
        *,
        prevValue: Value | None = None,
        prevIndex: int | None = None,
        prevExist: bool | None = None,
        refresh: bool = False,
        unique: bool = False,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Write a key, a directory (``dir``), or a new in-order key under a directory (``append``).

        A write without ``ttl`` takes a TTL away that the key had. ``refresh`` moves the TTL alone and wakes no watcher.
        ``unique`` says that no other call writes this value, because it names its maker or a chance number: then a
        lost answer is settled by finding the value.
        Units: ``ttl`` in whole seconds of the server's clock, ``timeout`` in seconds.
        Resend: once it was sent, only with ``prevIndex``, after a quorum read has found the key still at that index.
        Cancel: the write may have happened, or may still happen.
        Raises: EtcdCompareFailed, EtcdAlreadyExist, EtcdKeyNotFound and others where a condition is not met;
            EtcdUnavailable when nothing was sent; EtcdUnconfirmed when the answer was lost; UsageError.
        """
        request = requests.write(
            self.key_endpoint,
            key,
            value,
            ttl=ttl,
            dir=dir,
            append=append,
            prevValue=prevValue,
            prevIndex=prevIndex,
            prevExist=prevExist,
            refresh=refresh,
        )
        return await self._change(request, timeout, unique=unique)

    set = write

    async def read(
        self,
        key: str,
        *,
        recursive: bool = False,
        sorted: bool = False,
        quorum: bool = False,
        wait: bool = False,
        waitIndex: int | None = None,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Read a key or a directory, or wait for the next change of it (``wait``).

        A recursive read is one consistent moment of the whole tree. ``quorum`` asks the majority; without it the
        member that answers may be behind. ``waitIndex`` is the first index that counts; without it, from now.
        Resend: safe; a wait goes on from where it was registered.
        Raises: EtcdKeyNotFound; EtcdEventIndexCleared when ``waitIndex`` lies too far back; EtcdWatchTimedOut;
            EtcdUnavailable; UsageError.
        """
        request = requests.read(
            self.key_endpoint, key, recursive=recursive, sorted=sorted, quorum=quorum, wait=wait, waitIndex=waitIndex
        )
        if wait:
            return await self._call(request, timeout)
        timeout = self._caller.timeout if timeout is None else timeout
        if quorum:
            return await self._call(request, timeout)
        deadline = time.monotonic() + timeout
        seen = self._seen
        failed: EtcdException | None = None
        try:
            result = await self._call(request, timeout)
        except EtcdRefused as error:
            if not 0 < error.index < seen:
                raise
            failed = error
        if failed is None and result.etcd_index >= seen:
            return result
        _log.debug("GET %s: the answer is older than one seen before; asking with quorum", key)
        again = requests.read(self.key_endpoint, key, recursive=recursive, sorted=sorted, quorum=True)
        return await self._call(again, deadline - time.monotonic())

    get = read

    async def contains(self, key: str, *, timeout: float | None = None) -> bool:
        """Whether a key or a directory exists; python-etcd's ``key in client``, which can't be asynchronous."""
        try:
            await self.read(key, timeout=timeout)
        except EtcdKeyNotFound:
            return False
        return True

    async def watch(
        self, key: str, index: int | None = None, recursive: bool | None = None, *, timeout: float | None = None
    ) -> EtcdResult:
        """Wait for the next change of a key, or for the first one from ``index`` on; ``read`` with ``wait=True``.

        Two such calls without an index miss what happens between them; ``eternal_watch`` does not.
        """
        return await self.read(key, recursive=bool(recursive), wait=True, waitIndex=index or None, timeout=timeout)

    def eternal_watch(self, key: str, index: int | None = None, recursive: bool | None = None) -> EternalWatch:
        """Iterate with ``async for`` over all changes of a key, from ``index`` on or from the first step on.

        No event is skipped; when the history has lost some, EtcdEventIndexCleared is raised. With many changes a
        second, enter it: ``async with client.eternal_watch(...) as events``; then it streams.
        """
        source = KeySource(self._caller, self._understand, self.key_endpoint, key, recursive=bool(recursive))
        return EternalWatch(source, index)

    async def delete(
        self,
        key: str,
        recursive: bool = False,
        dir: bool = False,
        *,
        prevValue: Value | None = None,
        prevIndex: int | None = None,
        unique: bool = False,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Delete a key, an empty directory (``dir``), or a directory with all that is in it (``recursive``).

        ``unique`` says that no other call deletes this key by this ``prevIndex``: then a lost answer is settled by
        finding it deleted so.
        Resend: once it was sent, only with ``prevIndex``, after a quorum read has found the key still at that index.
        Cancel: the delete may have happened, or may still happen.
        Raises: as ``write``; EtcdDirNotEmpty; EtcdNotFile for a directory without a flag, or with a condition.
        """
        request = requests.delete(
            self.key_endpoint, key, recursive=recursive, dir=dir, prevValue=prevValue, prevIndex=prevIndex
        )
        return await self._change(request, timeout, unique=unique)

    async def pop(
        self,
        key: str,
        recursive: bool = False,
        dir: bool = False,
        *,
        prevValue: Value | None = None,
        prevIndex: int | None = None,
        unique: bool = False,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Delete as ``delete`` does, and return what was there."""
        result = await self.delete(
            key, recursive, dir, prevValue=prevValue, prevIndex=prevIndex, unique=unique, timeout=timeout
        )
        return result.prev_node or result

    async def test_and_set(
        self,
        key: str,
        value: Value,
        prev_value: Value,
        ttl: int | None = None,
        *,
        unique: bool = False,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Write a key that has the value ``prev_value``; ``write`` with ``prevValue``."""
        return await self.write(key, value, ttl, prevValue=prev_value, unique=unique, timeout=timeout)

    async def update(self, result: EtcdResult, *, unique: bool = False, timeout: float | None = None) -> EtcdResult:
        """Write the value of a result that was read and changed, unless somebody has written the key since.

        The TTL that the key had left when it was read is set again.
        Raises: EtcdCompareFailed or EtcdKeyNotFound when the key was written or deleted since; UsageError for a
            directory, which has no value; else as ``write``.
        """
        request = requests.update(self.key_endpoint, result)
        return await self._change(request, timeout, unique=unique)

    async def refresh(
        self,
        key: str,
        ttl: int,
        *,
        prevValue: Value | None = None,
        prevIndex: int | None = None,
        timeout: float | None = None,
    ) -> EtcdResult:
        """Move a key's TTL and nothing else; no watcher wakes. It does move modifiedIndex.

        Raises: EtcdKeyNotFound when the key has expired; else as ``write``.
        """
        return await self.write(key, ttl=ttl, prevValue=prevValue, prevIndex=prevIndex, refresh=True, timeout=timeout)

    async def machines(self, *, timeout: float | None = None) -> list[str]:
        """The client URLs of all members, dead ones too."""
        return await self._page("/machines", cluster.as_machines, timeout)

    async def members(self, *, timeout: float | None = None) -> dict[str, cluster.Member]:
        """The members by their ids."""
        return await self._page("/members", cluster.as_members, timeout)

    async def leader(self, *, timeout: float | None = None) -> cluster.Member:
        """The member that leads.

        Raises: EtcdLeaderElectionInProgress while there is none.
        """
        return await self._page("/members/leader", cluster.as_leader, timeout)

    async def stats(self, *, timeout: float | None = None) -> dict[str, Any]:
        """What the member that answers tells of itself. One that is cut off may go on calling itself the leader."""
        return await self._page("/stats/self", cluster.as_stats, timeout)

    async def leader_stats(self, *, timeout: float | None = None) -> dict[str, Any]:
        """What the leader knows of its followers.

        Raises: EtcdRefused when the member that is asked does not lead.
        """
        return await self._page("/stats/leader", cluster.as_stats, timeout)

    async def store_stats(self, *, timeout: float | None = None) -> dict[str, Any]:
        """How often the store of the member that answers was read, written, ..."""
        return await self._page("/stats/store", cluster.as_stats, timeout)

    async def version(self, *, timeout: float | None = None) -> str:
        """The version of the member that answers."""
        return (await self._versions(timeout))["etcdserver"]

    async def cluster_version(self, *, timeout: float | None = None) -> str:
        """The version whose features the whole cluster has."""
        return (await self._versions(timeout))["etcdcluster"]

    async def close(self) -> None:
        """Close all connections; calls under way end with an error. May be called twice."""
        if self._membership is not None:
            await self._membership.close()
        await self._caller.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _call(self, request: Request, timeout: float | None, *, spare: float = 0.0) -> Awaitable[EtcdResult]:
        """Send a request to the keys, and settle nothing; for the package's other modules too."""
        return self._caller.call(request, self._understand, timeout, spare=spare)

    async def _change(self, request: Request, timeout: float | None, *, unique: bool) -> EtcdResult:
        """Send a write; settle it when its answer is lost, as far as that can be done."""
        timeout = self._caller.timeout if timeout is None else timeout
        if not can_settle(request, unique=unique):
            return await self._call(request, timeout)
        return await change(
            self, partial(self._call, request, spare=timeout / 5), request, unique=unique, timeout=timeout
        )

    async def _execute(self, request: Request, understand: Understand[T], timeout: float | None) -> T:
        """A call with the client's timeout unless it has its own; for the package's other modules too."""
        return await self._caller.call(request, understand, self._caller.timeout if timeout is None else timeout)

    async def _page(self, page: str, understand: Understand[T], timeout: float | None) -> T:
        return await self._execute(cluster.about(self._prefix, page), understand, timeout)

    async def _versions(self, timeout: float | None) -> cluster.Versions:
        return await self._execute(cluster.about("", "/version"), cluster.as_versions, timeout)

    def _understand(self, request: Request, answer: Answer, words: Asked) -> EtcdResult:
        result = as_result(request, answer, words)
        self._seen = max(self._seen, answer.index)  # of an error too, which is an answer of the store as well
        if isinstance(result, EtcdException):
            raise result
        return result
