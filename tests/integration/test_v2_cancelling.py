"""A call of the v2 client that is cancelled, wherever it stands, leaves no task and no connection behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest

from etcdorm import EtcdormError, UsageError
from etcdorm.testing import EtcdBinary, EtcdServer, Fate, FaultProxy
from etcdorm.testing.faults import always, first
from etcdorm.v2 import Client, EtcdException, StopWatching
from etcdorm.v2.eternal import EternalWatch
from tests.conftest import every_etcd
from tests.support.cancelling import Cancelled, cancel_everywhere
from tests.support.endpoints import silent_endpoint
from tests.support.raw import DEADLINE

Call = Callable[[Client], Coroutine[Any, Any, object]]


async def watch(client: Client) -> None:
    index = (await client.write("/key", "b")).modifiedIndex
    await client.watch("/key", index)


async def update(client: Client) -> None:
    result = await client.read("/key")
    result.value = "b"
    await client.update(result)


async def swap_by_index(client: Client) -> None:
    await client.write("/key", "b", prevIndex=(await client.read("/key")).modifiedIndex)


async def with_callback(client: Client) -> None:
    def stop(event: object) -> None:
        raise StopWatching

    index = (await client.write("/key", "b")).modifiedIndex
    await client.eternal_watch("/key", index).call(stop)


async def streamed(client: Client) -> None:
    async with client.eternal_watch("/key") as events:
        await client.write("/key", "b")
        await anext(events)


async def polled(client: Client) -> None:
    index = (await client.write("/key", "b")).modifiedIndex
    await anext(client.eternal_watch("/key", index))


CALLS: dict[str, Call] = {
    "read": lambda client: client.read("/key"),
    "read of a missing key": lambda client: client.contains("/no/such"),
    "quorum read": lambda client: client.read("/", quorum=True, recursive=True),
    "write": lambda client: client.write("/key", "b"),
    "large write": lambda client: client.write("/key", "b" * 600_000),
    "append": lambda client: client.write("/queue", "b", append=True),
    "delete": lambda client: client.delete("/key"),
    "pop": lambda client: client.pop("/key"),
    "test_and_set": lambda client: client.test_and_set("/key", "b", "a"),
    "swap by index": swap_by_index,
    "refresh": lambda client: client.refresh("/key", 60),
    "update": update,
    "contains": lambda client: client.contains("/key"),
    "watch": watch,
    "eternal_watch": polled,
    "eternal_watch that streams": streamed,
    "eternal_watch with a callback": with_callback,
    "machines": lambda client: client.machines(),
    "members": lambda client: client.members(),
    "leader": lambda client: client.leader(),
    "version": lambda client: client.version(),
}
PAGES: dict[str, Call] = {
    "stats": lambda client: client.stats(),
    "leader_stats": lambda client: client.leader_stats(),
    "store_stats": lambda client: client.store_stats(),
    "cluster_version": lambda client: client.cluster_version(),
}


@pytest.fixture(params=every_etcd()[:1], ids=lambda binary: binary.version)
def etcd_binary(request: pytest.FixtureRequest) -> EtcdBinary:
    """One is enough: what is cancelled is on this side."""
    binary: EtcdBinary = request.param
    return binary


async def prepare(etcd: EtcdServer) -> None:
    async with Client(etcd.url) as other:
        await other.write("/key", "a", 60)


@pytest.mark.parametrize(("used", "again"), [(False, False), (True, False), (True, True)], ids=["new", "used", "twice"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_is_cancelled_leaves_nothing_behind(etcd: EtcdServer, call: str, used: bool, again: bool) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        await prepare(etcd)
        async with Client(etcd.url) as client:
            if used:
                await client.read("/key")
            await cancelled(CALLS[call](client))
            assert await client.contains("/")

    assert cancel_everywhere(scenario, again=again) > 2


@pytest.mark.parametrize("call", PAGES)
def test_a_question_about_the_cluster_that_is_cancelled_leaves_nothing_behind(etcd: EtcdServer, call: str) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        async with Client(etcd.url) as client:
            await cancelled(PAGES[call](client))
            assert await client.version() == etcd.binary.version

    assert cancel_everywhere(scenario) > 2


@pytest.mark.parametrize("call", CALLS)
def test_a_client_whose_call_was_cancelled_can_be_closed_at_once(etcd: EtcdServer, call: str) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        await prepare(etcd)
        client = Client(etcd.url)
        await cancelled(CALLS[call](client))
        await client.close()

    cancel_everywhere(scenario)


def test_a_close_that_is_cancelled_has_closed_all_the_same(etcd: EtcdServer) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        client = Client(etcd.url)
        waiting = asyncio.create_task(client.watch("/key"))
        await asyncio.gather(client.read("/"), client.read("/"))
        await cancelled(client.close())
        if cancelled.step != 0:  # else it was not even begun
            with pytest.raises(UsageError, match="closed"):
                await client.read("/")
        await client.close()
        with pytest.raises(EtcdormError):
            await waiting

    cancel_everywhere(scenario)


@pytest.mark.parametrize(
    ("call", "fate"),
    [
        ("read", Fate.CUT_AFTER),
        ("write", Fate.CUT_AFTER),
        ("delete", Fate.CUT_AFTER),
        ("refresh", Fate.CUT_AFTER),
        ("swap by index", Fate.CUT_AFTER),
        ("swap by index", Fate.CUT_BEFORE),
        ("swap by index", Fate.STALL),
    ],
)
def test_settling_a_lost_answer_can_be_cancelled(etcd: EtcdServer, call: str, fate: Fate) -> None:
    timeout = 0.1 if fate is Fate.STALL else DEADLINE  # silence ends with the time of the call

    async def scenario(cancelled: Cancelled) -> None:
        await prepare(etcd)
        async with FaultProxy(etcd.url) as proxy, Client(proxy.url, timeout=timeout) as client:
            await client.read("/", timeout=DEADLINE)
            proxy.judge = first("GET" if call == "read" else "DELETE" if call == "delete" else "PUT", fate)
            await cancelled(ended(client, CALLS[call]))
            proxy.judge = always
            assert await client.contains("/", timeout=DEADLINE)

    cancel_everywhere(scenario)


async def ended(client: Client, call: Call) -> None:
    with suppress(EtcdException):
        await call(client)


@pytest.mark.parametrize("call", ["read", "write", "eternal_watch that streams"])
def test_connecting_to_a_silent_endpoint_can_be_cancelled(etcd: EtcdServer, call: str) -> None:
    with silent_endpoint() as silent:

        async def scenario(cancelled: Cancelled) -> None:
            async with Client([silent, etcd.url], connect_timeout=0.03) as client:
                await prepare(etcd)
                await cancelled(CALLS[call](client))
                assert await client.contains("/")

        cancel_everywhere(scenario)


@pytest.mark.parametrize("call", ["read", "write", "watch", "eternal_watch that streams"])
def test_going_over_to_the_next_endpoint_can_be_cancelled(etcd: EtcdServer, call: str) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        async with Client(["http://127.0.0.1:1", "http://127.0.0.1:2", etcd.url]) as client:
            await prepare(etcd)
            await cancelled(CALLS[call](client))
            assert await client.contains("/")

    cancel_everywhere(scenario)


def test_resolving_a_name_can_be_cancelled(etcd: EtcdServer) -> None:
    port = etcd.url.rpartition(":")[2]

    async def scenario(cancelled: Cancelled) -> None:
        client = Client(f"http://localhost:{port}")
        await cancelled(client.read("/"), may_leave_tasks=True)
        await client.close()

    cancel_everywhere(scenario)


@pytest.mark.parametrize("streams", [False, True], ids=["polls", "streams"])
def test_a_step_of_a_watch_that_is_cancelled_loses_no_event(etcd: EtcdServer, streams: bool) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        async with Client(etcd.url) as client, AsyncExitStack() as stack:
            start = (await client.write("/key", 0)).modifiedIndex
            for number in range(1, 4):
                await client.write("/key", number)
            events = client.eternal_watch("/key", start)
            if streams:
                await stack.enter_async_context(events)
            seen: list[str | None] = []
            await cancelled(take(events, seen), may_leave_tasks=streams)
            await take(events, seen)
            assert seen == ["0", "1", "2", "3"]

    assert cancel_everywhere(scenario) > 2


async def take(events: EternalWatch, seen: list[str | None]) -> None:
    while len(seen) < 4:
        seen.append((await anext(events)).value)
