"""The v2 client when connections break, endpoints are dead, and etcd does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, first
from etcdorm.v2 import Client, EtcdConnectionFailed, EtcdUnavailable, EtcdUnconfirmed
from tests.support.raw import DEADLINE

DEAD = "http://127.0.0.1:1"

Call = Callable[[Client], Awaitable[object]]

WRITES: dict[str, Call] = {
    "PUT": lambda client: client.write("/key", "b"),
    "POST": lambda client: client.write("/queue", "b", append=True),
    "DELETE": lambda client: client.delete("/key"),
}
CUTS = [pytest.param(Fate.CUT_BEFORE, id="before etcd"), pytest.param(Fate.CUT_AFTER, id="after etcd")]


@pytest.mark.parametrize("fate", CUTS)
@pytest.mark.parametrize("method", WRITES)
async def test_a_write_whose_connection_is_cut_is_unconfirmed(etcd: EtcdServer, method: str, fate: Fate) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        await client.write("/key", "a")
        proxy.judge = first(method, fate)
        with pytest.raises(EtcdUnconfirmed, match="may have happened"):
            await WRITES[method](client)


@pytest.mark.parametrize("fate", CUTS)
@pytest.mark.parametrize("method", WRITES)
async def test_a_write_on_a_kept_connection_that_is_cut_is_on_the_wire_once(
    etcd: EtcdServer, method: str, fate: Fate
) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        await client.write("/key", "a")
        before = len(proxy.seen)
        proxy.judge = first(method, fate)
        with pytest.raises(EtcdUnconfirmed):
            await WRITES[method](client)
        await client.read("/")  # whatever was sent before it has arrived by now
        assert proxy.methods()[before:] == [method, "GET"]


async def test_the_connection_of_these_tests_is_kept(etcd: EtcdServer) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        for _ in range(3):
            await client.write("/key", "a")
        assert {seen.connection for seen in proxy.seen} == {1}


@pytest.mark.parametrize("fate", CUTS)
async def test_a_read_whose_connection_is_cut_is_sent_again(etcd: EtcdServer, client: Client, fate: Fate) -> None:
    await client.write("/key", "a")
    async with FaultProxy(etcd.url, judge=first("GET", fate)) as proxy, Client(proxy.url) as unlucky:
        assert (await unlucky.read("/key")).value == "a"


@pytest.mark.parametrize("fate", CUTS)
async def test_a_wait_whose_connection_is_cut_goes_on(etcd: EtcdServer, client: Client, fate: Fate) -> None:
    index = (await client.write("/key", "a")).modifiedIndex
    async with FaultProxy(etcd.url, judge=first("GET", fate)) as proxy, Client(proxy.url) as unlucky:
        found = await unlucky.read("/key", wait=True, waitIndex=index, timeout=5)
        assert found.modifiedIndex == index


@pytest.mark.parametrize("call", [lambda c: c.read("/key"), *WRITES.values()], ids=["GET", *WRITES])
async def test_a_call_to_dead_endpoints_is_unavailable(call: Call) -> None:
    async with Client([DEAD, "http://127.0.0.1:2"], timeout=0.3) as client:
        with pytest.raises(EtcdUnavailable, match="nothing was changed"):
            await call(client)


async def test_a_call_to_dead_endpoints_ends_in_time() -> None:
    begin = time.monotonic()
    async with Client([DEAD, "http://127.0.0.1:2"], timeout=0.5) as client:
        with pytest.raises(EtcdUnavailable):
            await client.read("/key")
    assert time.monotonic() - begin < 5  # and not the client's ten seconds


@pytest.mark.parametrize("method", WRITES)
async def test_a_write_goes_to_the_second_endpoint_when_the_first_is_dead(
    etcd: EtcdServer, client: Client, method: str
) -> None:
    await client.write("/key", "a")
    async with Client([DEAD, etcd.url]) as failing_over:
        await WRITES[method](failing_over)


async def test_the_endpoint_that_answered_is_asked_first_from_then_on(etcd: EtcdServer, client: Client) -> None:
    await client.write("/key", "a")
    async with Client([DEAD, etcd.url]) as failing_over:
        await failing_over.read("/key")
        assert failing_over.endpoints == (etcd.url, DEAD)


async def test_a_read_goes_to_the_second_endpoint_when_the_first_does_not_answer(
    etcd: EtcdServer, client: Client
) -> None:
    await client.write("/key", "a")
    async with (
        FaultProxy(etcd.url, judge=lambda seen: Fate.STALL) as silent,
        Client([silent.url, etcd.url], timeout=2) as failing_over,
    ):
        assert (await failing_over.read("/key")).value == "a"


async def test_a_write_to_an_etcd_that_does_not_answer_is_unconfirmed(etcd: EtcdServer, client: Client) -> None:
    await client.write("/key", "a")
    await asyncio.to_thread(etcd.pause)
    with pytest.raises(EtcdUnconfirmed):
        await client.write("/key", "b", timeout=0.3)


async def test_a_read_of_an_etcd_that_does_not_answer_is_unavailable(etcd: EtcdServer, client: Client) -> None:
    await client.write("/key", "a")
    await asyncio.to_thread(etcd.pause)
    with pytest.raises(EtcdUnavailable):
        await client.read("/key", timeout=0.3)


async def test_a_wait_on_an_etcd_that_does_not_answer_ends_in_time(etcd: EtcdServer, client: Client) -> None:
    await client.write("/key", "a")
    await asyncio.to_thread(etcd.pause)
    begin = time.monotonic()
    with pytest.raises(EtcdConnectionFailed):
        await client.read("/key", wait=True, timeout=0.3)
    assert time.monotonic() - begin < 5  # and not the client's ten seconds


async def test_a_cancelled_wait_leaves_the_client_usable(client: Client) -> None:
    await client.write("/key", "a")
    waiting = asyncio.create_task(client.read("/key", wait=True))
    await client.read("/key")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (await client.read("/key")).value == "a"


async def test_waits_hold_up_no_other_call(client: Client) -> None:
    waits = [asyncio.create_task(client.read(f"/{each}", wait=True)) for each in range(150)]
    async with asyncio.timeout(DEADLINE):
        await client.write("/key", "a")
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)


async def test_a_client_goes_on_after_etcd_was_killed_and_restarted(etcd: EtcdServer, client: Client) -> None:
    await client.write("/key", "a")
    await asyncio.to_thread(etcd.kill)
    await asyncio.to_thread(etcd.restart)
    await client.write("/key", "b")  # the first one may be lost: a single 3.5.1 answers before it is on the disk
    assert (await client.read("/key")).value == "b"
