"""Facts, section 6: watches, polls and streams, and etcd's history."""

from __future__ import annotations

import asyncio

import pytest

from etcdorm import UsageError
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client, EtcdEventIndexCleared, EtcdWatchTimedOut
from tests.support.raw import flush_history, soon
from tests.support.wire import Raw

# -- waiting -----------------------------------------------------------------------------------------------------------


async def test_the_headers_of_a_wait_come_at_once_with_the_index_it_is_registered_at(raw: Raw, client: Client) -> None:
    index = (await raw.put("/key", "value=a")).index
    async with raw.waiting("/key?wait=true") as wait:
        assert wait.index == index
    with pytest.raises(EtcdWatchTimedOut) as caught:
        await client.watch("/key", timeout=0.1)
    assert caught.value.index == index


async def test_a_wait_index_is_the_first_index_that_counts(raw: Raw, client: Client) -> None:
    start = (await raw.put("/key", "value=1")).index
    await raw.put("/key", "value=2")
    await raw.put("/key", "value=3")
    assert (await client.watch("/key", start + 1)).value == "2"  # in the past: at once
    async with raw.waiting(f"/key?wait=true&waitIndex={start + 5}") as future:
        for number in (4, 5, 6):
            await raw.put("/key", f"value={number}")  # in the future: what comes before is ignored
        event = await future.event()
    assert event is not None
    assert (event["node"]["value"], event["node"]["modifiedIndex"]) == ("6", start + 5)


async def test_a_wait_index_of_0_is_now(raw: Raw, client: Client) -> None:
    await raw.put("/key", "value=1")
    async with raw.waiting("/key?wait=true&waitIndex=0") as wait:
        await raw.put("/key", "value=2")
        event = await wait.event()
    assert event is not None
    assert event["node"]["value"] == "2"
    with pytest.raises(UsageError, match="from 1 on"):
        await client.read("/key", wait=True, waitIndex=0)


async def test_waits_from_the_index_after_the_last_event_lose_nothing(client: Client) -> None:
    index = (await client.write("/key", 0)).modifiedIndex + 1
    writing = asyncio.create_task(_count(client, 200))
    seen: list[str | None] = []
    while len(seen) < 200:
        event = await client.watch("/key", index, timeout=10)
        index = event.modifiedIndex + 1
        seen.append(event.value)
    await writing
    assert seen == [str(number) for number in range(200)]


async def _count(client: Client, end: int) -> None:
    for number in range(end):
        await client.write("/key", number)


async def test_wait_together_with_quorum_is_a_plain_read(raw: Raw, client: Client) -> None:
    await raw.put("/key", "value=a")
    assert (await raw.get("/key?wait=true&quorum=true")).says == (200, "get")
    with pytest.raises(UsageError, match="ignores wait"):
        await client.read("/key", wait=True, quorum=True)


async def test_a_key_that_is_missing_can_be_waited_for(raw: Raw) -> None:
    async with raw.waiting("/no/such?wait=true") as wait:
        await raw.put("/no/such", "value=a")
        event = await wait.event()
    assert event is not None
    assert event["action"] == "set"


async def test_a_directory_is_waited_for_alone_and_what_is_below_with_recursive(raw: Raw) -> None:
    await raw.put("/dir", "dir=true")
    async with raw.waiting("/dir?wait=true") as alone, raw.waiting("/dir?wait=true&recursive=true") as below:
        await raw.put("/dir/key", "value=a")
        event = await below.event()
        assert event is not None
        assert event["node"]["key"] == "/dir/key"
        await raw.delete("/dir?recursive=true")
        event = await alone.event()
        assert event is not None
        assert event["node"]["key"] == "/dir"


# -- the history -------------------------------------------------------------------------------------------------------


async def test_the_history_is_the_last_1000_events_of_the_whole_store(raw: Raw, client: Client) -> None:
    index = (await raw.put("/key", "value=a")).index
    for start in range(0, 900, 100):
        await asyncio.gather(*(client.write(f"/foreign/{start + number}", "x") for number in range(100)))
    assert (await client.watch("/key", index)).value == "a"
    # Refreshes and hidden keys take up room in it too.
    await client.write("/other", "a", 60)
    await asyncio.gather(*(client.refresh("/other", 60) for _ in range(50)))
    await asyncio.gather(*(client.write(f"/_hidden/{number}", "a") for number in range(60)))
    reply = await raw.get(f"/key?wait=true&waitIndex={index}")
    now = (await raw.get("/")).index
    assert reply.says == (400, 401)
    assert reply.json["cause"] == f"the requested history has been cleared [{now - 999}/{index}]"
    assert (reply.json["index"], reply.index) == (now, now)
    with pytest.raises(EtcdEventIndexCleared) as caught:
        await client.watch("/key", index)
    assert caught.value.index == now


async def test_the_history_outlives_a_restart(etcd: EtcdServer, raw: Raw, client: Client) -> None:
    index = (await raw.put("/key", "value=1")).index
    await raw.put("/key", "value=2")
    await asyncio.to_thread(etcd.restart)
    assert (await client.watch("/key", index, timeout=10)).value == "1"


async def test_the_client_tells_where_to_go_on_when_the_history_is_cleared(client: Client) -> None:
    index = (await client.write("/key", "a")).modifiedIndex
    await flush_history(client)
    async with client.eternal_watch("/key", index) as events:
        with pytest.raises(EtcdEventIndexCleared, match="read the keys anew") as caught:
            await soon(events)
    assert caught.value.index == (await client.read("/key")).etcd_index


# -- events of others --------------------------------------------------------------------------------------------------


async def test_a_watcher_is_told_of_the_directory_above_that_was_deleted(raw: Raw, client: Client) -> None:
    start = (await raw.put("/dir/key", "value=a")).index
    async with raw.waiting("/dir/key?wait=true") as live:
        await raw.delete("/dir?recursive=true")
        event = await live.event()
    assert event is not None
    assert (event["node"]["key"], event["node"]["dir"]) == ("/dir", True)
    # To the client it is an event of the key's watch: the key is gone.
    async with client.eternal_watch("/dir/key", start + 1) as events:
        told = await soon(events)
    assert (told.action, told.key) == ("delete", "/dir")


async def test_the_history_also_tells_of_keys_that_only_begin_alike_and_the_client_leaves_them_out(
    raw: Raw, client: Client
) -> None:
    await raw.put("/p/key", "value=a")
    deleted = (await raw.delete("/p?recursive=true")).index
    async with raw.waiting(f"/pxx?wait=true&waitIndex={deleted}") as history:
        event = await history.event()
        assert event is not None
        assert event["node"]["key"] == "/p"
    await raw.put("/pxx", "value=b")
    async with client.eternal_watch("/pxx", deleted) as events:
        assert (await soon(events)).key == "/pxx"
    assert (await soon(client.eternal_watch("/pxx", deleted))).key == "/pxx"


async def test_hidden_keys_are_told_from_the_history_and_not_live_and_by_the_client_never(
    raw: Raw, client: Client
) -> None:
    async with raw.waiting("/dir?wait=true&recursive=true") as live:
        hidden = (await raw.put("/dir/_hidden", "value=a")).index
        await raw.put("/dir/key", "value=b")
        event = await live.event()
        assert event is not None
        assert event["node"]["key"] == "/dir/key"
    async with raw.waiting(f"/dir?wait=true&recursive=true&waitIndex={hidden}") as history:
        event = await history.event()
        assert event is not None
        assert event["node"]["key"] == "/dir/_hidden"
    assert (await soon(client.eternal_watch("/dir", hidden, recursive=True))).key == "/dir/key"
    async with client.eternal_watch("/dir", hidden, recursive=True) as events:
        assert (await soon(events)).key == "/dir/key"


# -- streams -----------------------------------------------------------------------------------------------------------


async def test_a_stream_from_the_past_sends_one_event_and_then_nothing(raw: Raw, client: Client) -> None:
    start = (await raw.put("/key", "value=1")).index
    await raw.put("/key", "value=2")
    async with raw.waiting(f"/key?wait=true&stream=true&waitIndex={start}") as stream:
        event = await stream.event()
        assert event is not None
        assert event["node"]["value"] == "1"
        await raw.put("/key", "value=3")
        assert await stream.silent()
    # The client's streams begin now, and polls close the gap.
    async with client.eternal_watch("/key", start) as events:
        assert [(await soon(events)).value for _ in range(3)] == ["1", "2", "3"]


async def test_a_stream_brings_the_deletion_of_its_key_twice_and_the_client_once(raw: Raw, client: Client) -> None:
    start = (await raw.put("/key", "value=a")).index
    async with raw.waiting("/key?wait=true&stream=true") as stream, client.eternal_watch("/key", start) as events:
        assert (await soon(events)).value == "a"
        await raw.delete("/key")
        first, second = await stream.event(), await stream.event()
        assert first is not None
        assert first == second
        await raw.put("/key", "value=b")
        assert [(await soon(events)).action for _ in range(2)] == ["delete", "set"]
