"""The fault proxy does to real connections what it says."""

from __future__ import annotations

import asyncio
import sys
import time
from urllib.parse import urlsplit

import pytest

from etcdorm.errors import UsageError
from etcdorm.testing import EtcdServer, Fate, FaultProxy, Seen
from etcdorm.testing.faults import first, only
from etcdorm.v2 import Client, EtcdConnectionFailed, EtcdUnavailable, EtcdUnconfirmed
from tests.support.ports import held_ports
from tests.support.raw import TRIES

LOSING = [
    pytest.param(Fate.CUT_BEFORE, None, id="cut before"),
    pytest.param(Fate.CUT_AFTER, "new", id="cut after"),
    pytest.param(Fate.CUT_BODY, "new", id="cut in the body"),
    pytest.param(Fate.STALL, None, id="stalled"),
    pytest.param(Fate.STALL_ANSWER, "new", id="answer stalled"),
    pytest.param(Fate.LATE, None, id="late"),
]


@pytest.mark.parametrize(("fate", "there"), LOSING)
async def test_a_request_meets_its_fate(etcd: EtcdServer, client: Client, fate: Fate, there: str | None) -> None:
    async with FaultProxy(etcd.url, judge=first("PUT", fate)) as proxy, Client(proxy.url, timeout=0.5) as unlucky:
        with pytest.raises(EtcdUnconfirmed):
            await unlucky.write("/key", "new")
        found = (await client.read("/key")).value if await client.contains("/key") else None
        assert found == there
        await unlucky.write("/later", "x")  # only that one
        assert proxy.methods() == ["PUT", "PUT"]


async def test_a_late_request_lands_when_it_is_released(etcd: EtcdServer, client: Client) -> None:
    async with FaultProxy(etcd.url, judge=only(1, Fate.LATE)) as proxy, Client(proxy.url) as unlucky:
        with pytest.raises(EtcdUnconfirmed):
            await unlucky.write("/key", "late")
        await client.write("/key", "newer")
        assert await proxy.release() == 1
        assert await proxy.release() == 0
        assert (await client.read("/key")).value == "late"


async def test_a_proxy_refuses_and_accepts_on_the_same_port(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url, timeout=0.3) as client:
        url = proxy.url
        await client.write("/key", "a")
        await proxy.refuse()
        with pytest.raises(EtcdUnavailable, match="nothing was changed"):
            await client.write("/key", "b")
        assert urlsplit(url).port in held_ports() or sys.platform != "linux"  # nobody else is given it meanwhile
        await proxy.accept()
        assert proxy.url == url
        await client.write("/key", "b", timeout=5)


async def test_connections_that_are_cut_are_made_anew(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        await client.read("/")
        await proxy.cut()
        await client.read("/")
        assert {seen.connection for seen in proxy.seen} == {1, 2}


async def test_a_frozen_network_is_silent_and_goes_on_where_it_was(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url, timeout=0.3) as client:
        await client.read("/")
        proxy.freeze()
        with pytest.raises(EtcdConnectionFailed):
            await client.read("/")
        reading = asyncio.create_task(client.read("/", timeout=10))
        proxy.thaw()
        await reading


async def test_a_request_is_delayed(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url, delay=lambda seen: 0.2) as proxy, Client(proxy.url) as client:
        begin = time.monotonic()
        await client.read("/")
        assert time.monotonic() - begin >= 0.2


async def test_another_answer_is_sent_instead(etcd: EtcdServer) -> None:
    def answer(seen: Seen) -> bytes:
        return b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"

    async with FaultProxy(etcd.url, answer=answer) as proxy, Client(proxy.url, timeout=TRIES) as client:
        with pytest.raises(EtcdUnavailable, match="503"):
            await client.read("/")


async def test_a_proxy_leaves_no_task_behind(etcd: EtcdServer) -> None:
    before = asyncio.all_tasks()
    async with FaultProxy(etcd.url, judge=lambda seen: Fate.STALL) as proxy, Client(proxy.url, timeout=0.1) as client:
        with pytest.raises(EtcdConnectionFailed):
            await client.write("/key", "a")
    assert asyncio.all_tasks() == before


def test_what_is_no_url_of_an_etcd_is_refused() -> None:
    with pytest.raises(UsageError, match="stands before"):
        FaultProxy("127.0.0.1:2379")
    with pytest.raises(UsageError, match="not started"):
        _ = FaultProxy("http://127.0.0.1:2379").url
