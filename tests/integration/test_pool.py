"""``per_host_pool_size``: how many requests, and so connections, one endpoint has to bear."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm import UsageError
from etcdorm.testing import EtcdServer, Fate, FaultProxy, Seen
from etcdorm.v2 import Client, EtcdUnavailable, EtcdUnconfirmed


@pytest.mark.parametrize(("size", "most"), [(3, 3), (None, 20)])
async def test_ordinary_calls_use_no_more_connections_than_that(etcd: EtcdServer, size: int | None, most: int) -> None:
    async with (
        FaultProxy(etcd.url, delay=lambda seen: 0.02) as proxy,
        Client(proxy.url, per_host_pool_size=size) as client,
    ):
        await asyncio.gather(*(client.write(f"/{each}", "a") for each in range(20)))
        assert len({seen.connection for seen in proxy.seen}) == most


async def test_waits_take_nothing_of_it(etcd: EtcdServer) -> None:
    async with Client(etcd.url, per_host_pool_size=1) as client:
        waits = [asyncio.create_task(client.read(f"/{each}", wait=True)) for each in range(5)]
        await client.write("/key", "a")
        assert (await client.read("/key")).value == "a"
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)


async def test_a_call_that_never_had_its_turn_was_not_sent(etcd: EtcdServer) -> None:
    """So a write that waited in vain is known not to have happened, and its endpoint is not taken for a dead one."""
    held = asyncio.Event()

    def hold(seen: Seen) -> Fate:
        held.set()
        return Fate.STALL

    async with FaultProxy(etcd.url, judge=hold) as proxy, Client(proxy.url, per_host_pool_size=1) as client:
        first = asyncio.create_task(client.write("/first", "a", timeout=1))
        await held.wait()
        with pytest.raises(EtcdUnavailable, match="per_host_pool_size"):
            await client.write("/second", "a", timeout=0.1)
        with pytest.raises(EtcdUnconfirmed):
            await first
        assert len(proxy.seen) == 1


async def test_a_call_that_is_cancelled_gives_its_turn_to_the_next(etcd: EtcdServer) -> None:
    held = asyncio.Event()

    def hold_first(seen: Seen) -> Fate:
        held.set()
        return Fate.STALL if seen.target.endswith("/first") else Fate.PASS

    async with FaultProxy(etcd.url, judge=hold_first) as proxy, Client(proxy.url, per_host_pool_size=1) as client:
        first = asyncio.create_task(client.write("/first", "a"))
        await held.wait()
        waiting = asyncio.create_task(client.write("/waiting", "a"))
        second = asyncio.create_task(client.write("/second", "a"))
        await asyncio.sleep(0)
        waiting.cancel()
        first.cancel()
        await asyncio.wait([first, waiting])
        await second
        assert [seen.target for seen in proxy.seen] == ["/v2/keys/first", "/v2/keys/second"]


@pytest.mark.parametrize("size", [0, -1])
def test_a_pool_without_connections_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="per_host_pool_size"):
        Client(per_host_pool_size=size)


def test_the_directory_of_the_locks_is_a_property() -> None:
    assert Client().lock_prefix == "/_locks"
    assert Client(lock_prefix="/mine").lock_prefix == "/mine"
