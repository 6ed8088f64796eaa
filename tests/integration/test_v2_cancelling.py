"""A call of the v2 client that is cancelled, wherever it stands, leaves no task and no connection behind."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client, StopWatching
from tests.support.cancelling import Cancelled, cancel_everywhere

Call = Callable[[Client], Coroutine[Any, Any, object]]


async def update(client: Client) -> None:
    result = await client.read("/key")
    result.value = "b"
    await client.update(result)


async def swap_by_index(client: Client) -> None:
    await client.write("/key", "b", prevIndex=(await client.read("/key")).modifiedIndex)


async def callback(client: Client) -> None:
    def stop(event: object) -> None:
        raise StopWatching

    await client.eternal_watch("/key", 1_000_000).call(stop)


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
    "large write": lambda client: client.write("/key", "b" * 1_000_000),
    "append": lambda client: client.write("/queue", "b", append=True),
    "delete": lambda client: client.delete("/key"),
    "pop": lambda client: client.pop("/key"),
    "test_and_set": lambda client: client.test_and_set("/key", "b", "a"),
    "swap by index": swap_by_index,
    "refresh": lambda client: client.refresh("/key", 60),
    "update": update,
    "contains": lambda client: client.contains("/key"),
    "watch from an index": lambda client: client.watch("/key", 1),
    "eternal_watch": polled,
    "eternal_watch that streams": streamed,
    "machines": lambda client: client.machines(),
    "members": lambda client: client.members(),
    "leader": lambda client: client.leader(),
    "stats": lambda client: client.stats(),
    "leader_stats": lambda client: client.leader_stats(),
    "store_stats": lambda client: client.store_stats(),
    "version": lambda client: client.version(),
    "cluster_version": lambda client: client.cluster_version(),
}


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_is_cancelled_leaves_nothing_behind(etcd: EtcdServer, call: str, used: bool) -> None:
    async def scenario(cancelled: Cancelled) -> None:
        async with Client(etcd.url) as other:
            await other.write("/key", "a", 60)
        async with Client(etcd.url) as client:
            if used:
                await client.read("/key")
            await cancelled(CALLS[call](client))
            assert await client.contains("/")

    assert cancel_everywhere(scenario) > 2
