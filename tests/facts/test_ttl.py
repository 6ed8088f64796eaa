"""Facts, section 3: TTLs, refreshing and expiring."""

from __future__ import annotations

import pytest

from etcdorm import UsageError
from etcdorm.testing import EtcdServer, FaultProxy
from etcdorm.v2 import Client, EtcdCompareFailed, EtcdKeyNotFound
from tests.support.wire import Raw


@pytest.mark.parametrize("form", ["value=b", "value=b&prevExist=true", "value=b&prevValue=a"])
async def test_every_write_without_a_ttl_takes_the_ttl_away(raw: Raw, form: str) -> None:
    await raw.put("/key", "value=a&ttl=60")
    assert "ttl" not in (await raw.put("/key", form)).node
    assert "ttl" not in (await raw.get("/key")).node


async def test_the_clients_update_sets_the_ttl_that_was_left(client: Client) -> None:
    await client.write("/key", "a", 60)
    result = await client.read("/key")
    result.value = "b"
    await client.update(result)
    assert (await client.read("/key")).ttl is not None


@pytest.mark.parametrize("form", ["", "ttl=60", "ttl=&prevExist=true", "prevExist=true"])
async def test_every_put_without_a_value_blanks_the_key(raw: Raw, client: Client, form: str) -> None:
    await raw.put("/key", "value=a")
    assert (await raw.put("/key", form)).node["value"] == ""
    with pytest.raises(UsageError, match="blank"):
        await client.write("/key", ttl=60)


async def test_a_refresh_needs_a_ttl_and_takes_no_value(etcd: EtcdServer, raw: Raw) -> None:
    await raw.put("/key", "value=a&ttl=60")
    assert (await raw.put("/key", "refresh=true&prevExist=true")).says == (400, 212)
    assert (await raw.put("/key", "refresh=true&prevExist=true&ttl=60&value=b")).says == (400, 211)
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as client:
        with pytest.raises(UsageError):
            await client.write("/key", refresh=True)
        with pytest.raises(UsageError):
            await client.write("/key", "b", 60, refresh=True)
        assert not proxy.seen


async def test_a_refresh_keeps_the_value_and_wakes_nobody_and_moves_the_index(raw: Raw, client: Client) -> None:
    before = (await raw.put("/key", "value=a&ttl=60")).node["modifiedIndex"]
    async with raw.waiting(f"/key?wait=true&waitIndex={before + 1}") as live:
        refreshed = await client.refresh("/key", 120)
        assert refreshed.modifiedIndex == refreshed.etcd_index == before + 1
        written = await client.write("/key", "b", 60)
        event = await live.event()
        assert event is not None
        assert event["node"]["modifiedIndex"] == written.modifiedIndex
    # Nor is it in the history.
    async with raw.waiting(f"/key?wait=true&waitIndex={before + 1}") as history:
        event = await history.event()
        assert event is not None
        assert (event["action"], event["node"]["modifiedIndex"]) == ("set", written.modifiedIndex)
    assert event["prevNode"]["value"] == "a"
    with pytest.raises(EtcdCompareFailed):
        await client.write("/key", "c", prevIndex=before)


async def test_a_refresh_without_prev_exist_resets_the_created_index_and_may_make_an_empty_key(raw: Raw) -> None:
    made = (await raw.put("/key", "value=a&ttl=60")).node["createdIndex"]
    assert (await raw.put("/key", "refresh=true&ttl=60&prevExist=true")).node["createdIndex"] == made
    reply = await raw.put("/key", "refresh=true&ttl=60")
    assert reply.json["action"] == "set"
    assert reply.node["createdIndex"] > made
    assert (await raw.put("/none", "refresh=true&ttl=60&prevExist=false")).status == 201
    assert (await raw.get("/none")).node["value"] == ""


async def test_the_clients_refresh_makes_no_key(client: Client) -> None:
    with pytest.raises(EtcdKeyNotFound):
        await client.refresh("/key", 60)
    with pytest.raises(UsageError):
        await client.write("/key", ttl=60, refresh=True, prevExist=False)
    assert not await client.contains("/key")


async def test_a_refresh_takes_conditions(raw: Raw, client: Client) -> None:
    index = (await raw.put("/key", "value=a&ttl=60")).node["modifiedIndex"]
    assert (await raw.put("/key", f"refresh=true&ttl=60&prevIndex={index}")).says == (200, "compareAndSwap")
    with pytest.raises(EtcdCompareFailed):
        await client.refresh("/key", 60, prevIndex=index)
    assert (await client.refresh("/key", 60, prevValue="a")).value == "a"


async def test_a_ttl_of_nothing_expires_with_the_next_sweep(raw: Raw, client: Client) -> None:
    reply = await raw.put("/key", "value=a&ttl=0")
    assert reply.status == 201
    event = await client.watch("/key", reply.index + 1, timeout=10)
    assert event.action == "expire"
    assert (await client.write("/key", "a", 0)).newKey is True


@pytest.mark.parametrize("ttl", ["-1", "1.5", "soon"])
async def test_a_ttl_that_is_no_whole_number_is_error_202(raw: Raw, ttl: str) -> None:
    assert (await raw.put("/key", f"value=a&ttl={ttl}")).says == (400, 202)


async def test_an_enormous_ttl_is_none_without_a_word(raw: Raw, client: Client) -> None:
    assert "ttl" not in (await raw.put("/key", "value=a&ttl=10000000000")).node
    with pytest.raises(UsageError, match="ttl must be"):
        await client.write("/key", "a", 10_000_000_000)
    assert (await client.write("/key", "a", 7_000_000_000)).ttl == 7_000_000_000


async def test_a_key_past_its_end_has_an_expiration_and_no_ttl_until_it_is_swept(raw: Raw, client: Client) -> None:
    for _ in range(50):
        await raw.put("/key", "value=a&ttl=0")
        reply = await raw.get("/key")
        if reply.status == 200:
            break  # the sweep has not come between
    assert "ttl" not in reply.node
    assert reply.node["expiration"].endswith("Z")
    # To the client it has no TTL left, and an update does not make it live for ever.
    await client.write("/key", "a", 0)
    result = await client.read("/key")
    assert (result.ttl, result.expiration is None) == (None, False)
    result.value = "b"
    updated = await client.update(result)
    assert updated.expiration is not None


async def test_an_expired_key_tells_its_last_value_and_has_an_index_of_its_own(client: Client) -> None:
    start = last = 0
    while last != start + 1:  # else a sweep came between
        start = (await client.write("/a", "1", 0)).modifiedIndex
        last = (await client.write("/b", "2", 0)).modifiedIndex
    first = await client.watch("/", last + 1, recursive=True, timeout=10)
    second = await client.watch("/", first.modifiedIndex + 1, recursive=True, timeout=10)
    assert {first.action, second.action} == {"expire"}
    assert (first.value, second.modifiedIndex) == (None, first.modifiedIndex + 1)
    assert {event.prev_node.value for event in (first, second) if event.prev_node} == {"1", "2"}
