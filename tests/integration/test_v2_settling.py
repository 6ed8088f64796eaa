"""What becomes of a write whose answer was lost: what reading back can tell, and what it can't."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from etcdorm.testing import EtcdServer
from etcdorm.testing.faults import Fate, FaultProxy, Seen, first
from etcdorm.v2 import (
    Client,
    EtcdCompareFailed,
    EtcdKeyNotFound,
    EtcdResult,
    EtcdUnavailable,
    EtcdUnconfirmed,
)
from etcdorm.v2 import request as requests
from etcdorm.v2.request import Request
from etcdorm.v2.settle import settle

LOST = EtcdUnconfirmed("PUT /key at http://127.0.0.1: sent, and the answer was lost")


async def settled(client: Client, request: Request, *, unique: bool = False) -> EtcdResult | None:
    return await settle(client, request, LOST, unique=unique, deadline=time.monotonic() + 5)


def swap(index: int, value: str = "mine") -> Request:
    return requests.write("/v2/keys", "/key", value, prevIndex=index)


def drop(index: int) -> Request:
    return requests.delete("/v2/keys", "/key", prevIndex=index)


async def held(client: Client) -> int:
    return (await client.write("/key", "old")).modifiedIndex


# -- what a client's caller sees ------------------------------------------------------------------------------------

Change = Callable[[Client, int], Awaitable[EtcdResult]]
GUARDED: dict[str, Change] = {
    "PUT": lambda client, index: client.write("/key", "mine", prevIndex=index, unique=True),
    "DELETE": lambda client, index: client.delete("/key", prevIndex=index, unique=True),
}


@pytest.mark.parametrize("method", GUARDED)
async def test_a_guarded_write_that_never_arrived_is_sent_again(etcd: EtcdServer, client: Client, method: str) -> None:
    index = await held(client)
    async with FaultProxy(etcd.url, judge=first(method, Fate.CUT_BEFORE)) as proxy, Client(proxy.url) as unlucky:
        result = await GUARDED[method](unlucky, index)
        assert result.prev_node is not None
        assert result.prev_node.modifiedIndex == index
        assert proxy.methods() == [method, "GET", method]


@pytest.mark.parametrize("method", GUARDED)
async def test_a_guarded_write_that_landed_is_found_and_not_sent_again(
    etcd: EtcdServer, client: Client, method: str
) -> None:
    index = await held(client)
    async with FaultProxy(etcd.url, judge=first(method, Fate.CUT_AFTER)) as proxy, Client(proxy.url) as unlucky:
        result = await GUARDED[method](unlucky, index)
        assert result.action == {"PUT": "compareAndSwap", "DELETE": "compareAndDelete"}[method]
        assert result.modifiedIndex == index + 1
        assert proxy.methods() == [method, "GET", "GET"]


async def test_a_swap_that_landed_is_unconfirmed_when_another_could_have_made_it(
    etcd: EtcdServer, client: Client
) -> None:
    index = await held(client)
    async with FaultProxy(etcd.url, judge=first("PUT", Fate.CUT_AFTER)) as proxy, Client(proxy.url) as unlucky:
        with pytest.raises(EtcdUnconfirmed, match="say unique=True"):
            await unlucky.write("/key", "mine", prevIndex=index)
        assert proxy.methods().count("PUT") == 1


async def test_an_update_whose_answer_is_lost_is_settled(etcd: EtcdServer, client: Client) -> None:
    await client.write("/key", "old")
    async with FaultProxy(etcd.url, judge=first("PUT", Fate.CUT_BEFORE)) as proxy, Client(proxy.url) as unlucky:
        found = await unlucky.read("/key")
        found.value = "mine"
        assert (await unlucky.update(found)).value == "mine"


async def test_an_append_of_a_unique_value_is_found_and_not_sent_again(etcd: EtcdServer, client: Client) -> None:
    async with FaultProxy(etcd.url, judge=first("POST", Fate.CUT_AFTER)) as proxy, Client(proxy.url) as unlucky:
        result = await unlucky.write("/queue", "uuid", append=True, unique=True)
        assert [entry.key for entry in (await client.read("/queue")).children] == [result.key]
        assert proxy.methods() == ["POST", "GET"]


async def test_an_append_that_is_not_found_is_not_sent_again(etcd: EtcdServer, client: Client) -> None:
    await client.write("/queue", "another", append=True)
    async with FaultProxy(etcd.url, judge=first("POST", Fate.CUT_BEFORE)) as proxy, Client(proxy.url) as unlucky:
        with pytest.raises(EtcdUnconfirmed):
            await unlucky.write("/queue", "uuid", append=True, unique=True)
        assert proxy.methods() == ["POST", "GET"]


@pytest.mark.parametrize("exists", [False, None], ids=["create", "set"])
async def test_a_unique_value_without_an_index_is_found(etcd: EtcdServer, client: Client, exists: bool | None) -> None:
    async with FaultProxy(etcd.url, judge=first("PUT", Fate.CUT_AFTER)) as proxy, Client(proxy.url) as unlucky:
        result = await unlucky.write("/key", "uuid", prevExist=exists, unique=True)
        assert result.modifiedIndex == (await client.read("/key")).modifiedIndex
        assert proxy.methods() == ["PUT", "GET"]


@pytest.mark.parametrize("fate", [Fate.CUT_BEFORE, Fate.CUT_AFTER])
async def test_a_create_of_a_common_value_is_unconfirmed(etcd: EtcdServer, fate: Fate) -> None:
    async with FaultProxy(etcd.url, judge=first("PUT", fate)) as proxy, Client(proxy.url) as unlucky:
        with pytest.raises(EtcdUnconfirmed, match="may have happened"):
            await unlucky.write("/key", "1", prevExist=False)
        assert proxy.methods() == ["PUT"]


async def test_a_write_that_gets_no_answer_leaves_time_to_settle_it(etcd: EtcdServer, client: Client) -> None:
    index = await held(client)
    async with FaultProxy(etcd.url, judge=first("PUT", Fate.STALL)) as proxy, Client(proxy.url, timeout=1) as unlucky:
        assert (await unlucky.write("/key", "mine", prevIndex=index)).modifiedIndex == index + 1
        assert proxy.methods() == ["PUT", "GET", "PUT"]


async def test_a_lost_answer_stays_unconfirmed_when_nothing_answers_any_more(etcd: EtcdServer, client: Client) -> None:
    index = await held(client)
    async with (
        FaultProxy(etcd.url, judge=lambda seen: Fate.CUT_BEFORE) as proxy,
        Client(proxy.url, timeout=0.5) as unlucky,
    ):
        with pytest.raises(EtcdUnconfirmed) as caught:
            await unlucky.write("/key", "mine", prevIndex=index)
    assert isinstance(caught.value.__cause__, EtcdUnavailable)


async def test_a_counter_under_lost_answers_loses_nothing_that_was_told_done(etcd: EtcdServer, client: Client) -> None:
    outcomes: Counter[str] = Counter()
    chance = random.Random(7)

    def judge(seen: Seen) -> Fate:
        lost = seen.method == "PUT" and chance.random() < 0.3
        return chance.choice([Fate.CUT_BEFORE, Fate.CUT_AFTER]) if lost else Fate.PASS

    async def count(proxy: FaultProxy) -> None:
        async with Client(proxy.url) as mine:
            for _ in range(20):
                while True:
                    found = await mine.read("/counter", quorum=True)
                    found.value = str(int(found.value or 0) + 1)
                    try:
                        await mine.update(found)
                    except EtcdCompareFailed:
                        continue
                    except EtcdUnconfirmed:
                        outcomes["unconfirmed"] += 1
                    else:
                        outcomes["done"] += 1
                    break

    await client.write("/counter", 0)
    async with FaultProxy(etcd.url, judge=judge) as proxy:
        await asyncio.gather(*(count(proxy) for _ in range(4)))
    total = int((await client.read("/counter", quorum=True)).value or 0)
    assert outcomes["done"] <= total <= outcomes["done"] + outcomes["unconfirmed"]
    assert outcomes["unconfirmed"] > 0


# -- what reading back tells, for each thing that can have come between ------------------------------------------------


@pytest.mark.parametrize("request_at", [swap, drop])
async def test_a_key_still_at_its_index_is_free_to_be_sent_again(
    client: Client, request_at: Callable[[int], Request]
) -> None:
    assert await settled(client, request_at(await held(client))) is None


async def test_a_swap_is_found_behind_later_writes(client: Client) -> None:
    index = await held(client)
    landed = await client.write("/key", "mine", prevIndex=index)
    await client.write("/key", "theirs")
    await client.delete("/key")
    found = await settled(client, swap(index), unique=True)
    assert found is not None
    assert (found.value, found.modifiedIndex) == ("mine", landed.modifiedIndex)


@pytest.mark.parametrize("request_at", [swap, drop])
async def test_a_key_that_another_has_written_can_not_be_changed_by_it_any_more(
    client: Client, request_at: Callable[[int], Request]
) -> None:
    index = await held(client)
    await client.write("/key", "theirs")
    with pytest.raises(EtcdCompareFailed, match="did not happen") as caught:
        await settled(client, request_at(index))
    assert caught.value.code == 101


async def test_the_value_written_without_the_index_is_another_s(client: Client) -> None:
    index = await held(client)
    await client.write("/key", "mine")
    with pytest.raises(EtcdCompareFailed):
        await settled(client, swap(index), unique=True)


async def test_the_value_swapped_in_later_is_another_s(client: Client) -> None:
    index = await held(client)
    theirs = await client.write("/key", "theirs")
    await client.write("/key", "mine", prevIndex=theirs.modifiedIndex)
    with pytest.raises(EtcdCompareFailed):
        await settled(client, swap(index))


@pytest.mark.parametrize("key", ["/key", "/dir/key"])
async def test_a_key_that_is_gone_can_not_be_swapped_any_more(client: Client, key: str) -> None:
    index = (await client.write(key, "old")).modifiedIndex
    await client.delete("/" + key.split("/")[1], recursive=True)
    with pytest.raises(EtcdKeyNotFound, match="is gone"):
        await settled(client, requests.write("/v2/keys", key, "mine", prevIndex=index))


async def test_a_key_that_was_refreshed_by_another_can_not_be_swapped_any_more(client: Client) -> None:
    index = (await client.write("/key", "old", ttl=100)).modifiedIndex
    await client.refresh("/key", 200)
    with pytest.raises(EtcdCompareFailed):
        await settled(client, swap(index))


async def test_a_swap_after_another_s_refresh_is_another_s(client: Client) -> None:
    index = (await client.write("/key", "old", ttl=100)).modifiedIndex
    refreshed = await client.refresh("/key", 200)
    await client.write("/key", "mine", prevIndex=refreshed.modifiedIndex)
    with pytest.raises(EtcdCompareFailed):
        await settled(client, swap(index), unique=True)


async def test_a_refresh_that_moved_the_key_on_can_not_be_told_from_another_s(client: Client) -> None:
    index = (await client.write("/key", "old", ttl=100)).modifiedIndex
    await client.refresh("/key", 200)
    with pytest.raises(EtcdUnconfirmed):
        await settled(client, requests.write("/v2/keys", "/key", None, ttl=200, refresh=True, prevIndex=index))


async def test_what_happened_to_a_key_of_a_similar_name_is_passed_over(client: Client) -> None:
    index = await held(client)
    await client.write("/ke", "similar")
    await client.delete("/ke")
    await client.write("/key", "mine", prevIndex=index)
    found = await settled(client, swap(index), unique=True)
    assert found is not None
    assert found.key == "/key"


async def test_a_history_that_does_not_reach_back_settles_nothing(client: Client) -> None:
    index = await held(client)
    await client.write("/key", "mine", prevIndex=index)
    for start in range(0, 1050, 50):
        await asyncio.gather(*(client.write("/other", n) for n in range(start, start + 50)))
    with pytest.raises(EtcdUnconfirmed):
        await settled(client, swap(index), unique=True)
