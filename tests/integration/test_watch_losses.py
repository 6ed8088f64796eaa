"""How etcd's streams lose events without a sign, made to happen; and that a watch that streams does not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from etcdorm.embedded import EtcdBinary
from etcdorm.errors import UsageError
from etcdorm.testing import EtcdCluster, EtcdServer, Fate, FaultProxy, Seen
from etcdorm.v2 import Client, EtcdEventIndexCleared, EtcdResult, EternalWatch
from tests.support.raw import DEADLINE, flush_history, soon

SILENCE = 1.0
"""Seconds after which a raw stream that brings nothing counts as silent."""


class RawStream:
    """A bare ``stream=true``, as a simple client would read it."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def rest(self) -> list[int]:
        """The indexes of all events, until none comes any more."""
        found: list[int] = []
        while True:
            try:
                line = await asyncio.wait_for(self._reader.readline(), SILENCE)
            except TimeoutError:
                return found
            if line.startswith(b"{"):
                found.append(int(json.loads(line)["node"]["modifiedIndex"]))
            elif not line:
                return found


@asynccontextmanager
async def raw_stream(url: str, key: str, query: str = "") -> AsyncIterator[RawStream]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=8192)
    try:
        target = f"/v2/keys{key}?wait=true&stream=true&recursive=true{query}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        yield RawStream(reader)
    finally:
        writer.transport.abort()


async def all_until_cleared(events: EternalWatch) -> list[int]:
    """The indexes that a watch brings until it says that it has lost some, which it must."""
    found = []
    async with asyncio.timeout(6 * DEADLINE):
        try:
            async for event in events:
                found.append(event.modifiedIndex)
        except EtcdEventIndexCleared:
            return found
    raise AssertionError("the watch has ended")


async def take(events: EternalWatch, count: int) -> list[EtcdResult]:
    async with asyncio.timeout(3 * DEADLINE):
        return [await anext(events) for _ in range(count)]


async def write_many(client: Client, count: int, *, at_once: int = 50, size: int = 1) -> list[int]:
    """Write keys below /w; the indexes that they got."""
    gate = asyncio.Semaphore(at_once)

    async def write(number: int) -> int:
        async with gate:
            return (await client.write(f"/w/{number % 97}", "x" * size)).modifiedIndex

    return sorted(await asyncio.gather(*(write(number) for number in range(count))))


def streams(proxy: FaultProxy) -> int:
    return sum("stream=true" in seen.target for seen in proxy.seen)


def indexes(events: list[EtcdResult]) -> list[int]:
    return [event.modifiedIndex for event in events]


# -- a stream that begins in the history -----------------------------------------------------------------------------


async def test_a_raw_stream_from_the_history_brings_one_event_and_then_none(etcd: EtcdServer, client: Client) -> None:
    written = await write_many(client, 10)
    async with raw_stream(etcd.url, "/w", f"&waitIndex={written[0]}") as stream:
        await write_many(client, 10)
        assert await stream.rest() == written[:1]


async def test_a_watch_from_the_history_brings_everything(client: Client) -> None:
    written = await write_many(client, 300)
    async with client.eternal_watch("/w", written[0], recursive=True) as events:
        written += await write_many(client, 50)
        assert indexes(await take(events, 350)) == written


# -- a reader that is slower than the writers ------------------------------------------------------------------------

MANY, SIZE = 6000, 1000


async def test_a_raw_stream_whose_reader_pauses_falls_silent(etcd: EtcdServer, client: Client) -> None:
    async with raw_stream(etcd.url, "/w") as stream:
        await write_many(client, MANY, size=SIZE)
        found = await stream.rest()
        later = await write_many(client, 5)
        assert len(found) < MANY
        assert not set(later) & set(await stream.rest())


async def test_a_watch_whose_consumer_pauses_brings_everything(client: Client) -> None:
    async with asyncio.timeout(6 * DEADLINE):
        while True:
            async with client.eternal_watch("/w", recursive=True) as events:
                written = await write_many(client, MANY, size=SIZE, at_once=8)  # with more, it can't always keep up
                try:
                    found = indexes(await take(events, MANY))
                except EtcdEventIndexCleared:
                    continue  # nor on a busy machine, and it said so: once more, then
            assert found == written
            break


async def test_a_watch_keeps_up_with_many_writers_or_says_that_it_could_not(client: Client) -> None:
    async with client.eternal_watch("/w", recursive=True) as events:
        writing = asyncio.create_task(write_many(client, 4000, at_once=64))
        found: list[int] = []
        try:
            while len(found) < 4000:
                found.append((await soon(events)).modifiedIndex)
        except EtcdEventIndexCleared:
            pass
        written = await writing
        assert found == written[: len(found)]


# -- more than 100 events at one moment ------------------------------------------------------------------------------

TOGETHER = 150


async def expire_together(client: Client) -> None:
    """Keys whose time runs out in the same sweep of etcd's."""
    await asyncio.gather(*(client.write(f"/w/{number}", "x", ttl=60) for number in range(TOGETHER)))


async def run_out(client: Client) -> None:
    await asyncio.gather(*(client.refresh(f"/w/{number}", ttl=1) for number in range(TOGETHER)))


async def test_a_raw_stream_loses_what_expires_together(etcd: EtcdServer, client: Client) -> None:
    async with asyncio.timeout(2 * DEADLINE):
        while True:
            await expire_together(client)
            async with raw_stream(etcd.url, "/w") as stream:
                await run_out(client)
                while (await client.read("/w", quorum=True)).node.get("nodes"):
                    await client.watch("/w", recursive=True, timeout=DEADLINE)
                later = await client.write("/w/later", "x")
                found = await stream.rest()
            if len(found) < TOGETHER:
                break
            await client.delete("/w/later")  # on a busy machine they may run out in two sweeps: once more, then
    assert later.modifiedIndex not in found


async def test_a_watch_brings_what_expires_together(client: Client) -> None:
    await expire_together(client)
    async with client.eternal_watch("/w", recursive=True) as events:
        await run_out(client)
        found = await take(events, TOGETHER)
        assert {event.action for event in found} == {"expire"}
        assert len({event.key for event in found}) == TOGETHER
        await client.write("/w/later", "x")
        assert (await soon(events)).key == "/w/later"


# -- connections and members -----------------------------------------------------------------------------------------


async def test_a_watch_goes_on_after_its_stream_was_cut_in_the_middle_of_an_event(
    etcd: EtcdServer, client: Client
) -> None:
    def judge(seen: Seen) -> Fate:
        return Fate.CUT_BODY if "stream=true" in seen.target else Fate.PASS

    async with (
        FaultProxy(etcd.url, judge=judge) as proxy,
        Client(proxy.url) as watching,
        watching.eternal_watch("/w", recursive=True) as events,
    ):
        async with asyncio.timeout(DEADLINE):
            while streams(proxy) < 3:
                written = await client.write("/w/key", "x" * 500)
                assert (await soon(events)).modifiedIndex == written.modifiedIndex


async def test_a_watch_whose_stream_brings_garbage_goes_on(etcd: EtcdServer, client: Client) -> None:
    garbage = b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 1\r\nContent-Length: 9\r\n\r\nno json!\n"

    def answer(seen: Seen) -> bytes | None:
        return garbage if "stream=true" in seen.target else None

    async with (
        FaultProxy(etcd.url, answer=answer) as proxy,
        Client(proxy.url) as watching,
        watching.eternal_watch("/w", recursive=True) as events,
    ):
        written = await write_many(client, 20)
        assert indexes(await take(events, 20)) == written


async def test_a_watch_whose_network_falls_silent_goes_on_at_another_endpoint(etcd: EtcdServer, client: Client) -> None:
    async with (
        FaultProxy(etcd.url) as proxy,
        Client([proxy.url, etcd.url]) as watching,
        watching.eternal_watch("/w", recursive=True) as events,
    ):
        await client.write("/w/key", 0)
        await soon(events)
        proxy.freeze()
        written = await write_many(client, 20)
        assert indexes(await take(events, 20)) == written


async def test_a_silent_network_that_comes_back_brings_everything_once(etcd: EtcdServer, client: Client) -> None:
    async with (
        FaultProxy(etcd.url) as proxy,
        Client(proxy.url) as watching,
        watching.eternal_watch("/w", recursive=True) as events,
    ):
        await client.write("/w/key", 0)
        await soon(events)
        proxy.freeze()
        written = await write_many(client, 20)
        proxy.thaw()
        assert indexes(await take(events, 20)) == written


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_a_watch_outlives_the_member_that_it_streams_from(cluster: EtcdCluster, how: str) -> None:
    member = (await asyncio.to_thread(cluster.followers))[0]
    others = [url for url in cluster.urls if url != member.url]
    async with (
        Client([member.url, *others]) as watching,
        Client(others) as client,
        watching.eternal_watch("/w", recursive=True) as events,
    ):
        await client.write("/w/key", 0)
        await soon(events)
        await asyncio.to_thread(member.kill if how == "kill" else member.pause)
        written = await write_many(client, 20)
        assert indexes(await take(events, 20)) == written


async def test_a_member_that_was_sent_a_snapshot_does_not_make_a_watch_skip_in_silence(etcd_binary: EtcdBinary) -> None:
    """The one loss after which a stream goes on: its member was away, and the others no longer have what it missed."""
    quick = ["--snapshot-count=100"]
    async with EtcdCluster(binary=etcd_binary, extra_args=quick) as cluster:
        member = (await asyncio.to_thread(cluster.followers))[0]
        others = [url for url in cluster.urls if url != member.url]
        async with (
            Client(member.url) as watching,
            Client(others) as client,
            raw_stream(member.url, "/w") as stream,
            watching.eternal_watch("/w", recursive=True) as events,
        ):
            begin = (await client.write("/w/first", "x")).modifiedIndex
            await soon(events)
            bare = watching.eternal_watch("/w", begin, recursive=True)
            await soon(bare)
            polling = asyncio.create_task(all_until_cleared(bare))
            await asyncio.to_thread(member.pause)
            await write_elsewhere(client, 5000)
            missed = (await client.write("/w/missed", "x")).modifiedIndex
            await write_elsewhere(client, 5200)
            await asyncio.to_thread(member.resume)
            await until_caught_up(member.url, missed)
            last = (await client.write("/w/last", "x")).modifiedIndex

            raw = await stream.rest()
            assert raw[-1] == last  # it goes on
            assert missed not in raw  # behind a gap, without a sign
            assert missed not in await all_until_cleared(events)
            assert missed not in await polling


async def write_elsewhere(client: Client, count: int) -> None:
    gate = asyncio.Semaphore(100)

    async def write(number: int) -> None:
        async with gate:
            await client.write(f"/elsewhere/{number % 97}", "x", timeout=60)

    await asyncio.gather(*(write(number) for number in range(count)))


async def until_caught_up(url: str, index: int) -> None:
    deadline = time.monotonic() + 3 * DEADLINE
    async with Client(url) as client:
        while (await client.read("/", timeout=DEADLINE)).etcd_index < index:
            assert time.monotonic() < deadline


async def test_members_that_answer_late_are_no_reason_to_drop_a_stream(etcd: EtcdServer, client: Client) -> None:
    """As they do with a password: etcd takes 0.1 s to check it. The checks of a busy stream don't wait longer."""
    async with (
        FaultProxy(etcd.url, delay=lambda seen: 0.2) as proxy,
        Client(proxy.url) as watching,
        watching.eternal_watch("/w", recursive=True) as events,
    ):
        written = await write_many(client, 1)
        assert indexes(await take(events, 1)) == written
        async with asyncio.timeout(DEADLINE):
            while streams(proxy) < 1:
                await write_many(client, 1)
                await soon(events)
        written = await write_many(client, 6000, at_once=8)
        assert indexes(await take(events, 6000)) == written
        assert streams(proxy) == 1


async def test_a_stream_that_ends_by_itself_is_opened_again(etcd: EtcdServer, client: Client) -> None:
    empty = b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"

    def answer(seen: Seen) -> bytes | None:
        return empty if "stream=true" in seen.target and streams(proxy) < 3 else None

    async with (
        FaultProxy(etcd.url, answer=answer) as proxy,
        Client(proxy.url) as watching,
        watching.eternal_watch("/w", recursive=True) as events,
    ):
        async with asyncio.timeout(DEADLINE):
            while streams(proxy) < 3:
                written = await client.write("/w/key", "x")
                assert (await soon(events)).modifiedIndex == written.modifiedIndex


# -- what comes twice, and what does not come back -------------------------------------------------------------------


async def test_a_raw_stream_brings_the_deletion_of_its_key_twice(etcd: EtcdServer, client: Client) -> None:
    await client.write("/w", "x")
    async with raw_stream(etcd.url, "/w") as stream:
        deleted = await client.delete("/w")
        assert await stream.rest() == [deleted.modifiedIndex] * 2


async def test_a_watch_brings_the_deletion_of_its_key_once(client: Client) -> None:
    await client.write("/w", "x")
    async with client.eternal_watch("/w", recursive=True) as events:
        await client.delete("/w")
        await client.write("/w", "y")
        assert [event.action for event in await take(events, 2)] == ["delete", "set"]


async def test_a_watch_of_a_history_that_is_gone_says_so(client: Client) -> None:
    written = await client.write("/w/key", "x")
    await flush_history(client)
    async with client.eternal_watch("/w", written.modifiedIndex, recursive=True) as events:
        with pytest.raises(EtcdEventIndexCleared) as caught:
            await soon(events)
    assert caught.value.index > written.modifiedIndex + 1000


async def test_a_watch_of_a_store_that_was_made_anew_says_so(etcd_binary: EtcdBinary) -> None:
    async with EtcdServer(binary=etcd_binary) as old:
        proxy = FaultProxy(old.url)
        async with proxy, Client(proxy.url) as watching, watching.eternal_watch("/w", recursive=True) as events:
            async with Client(old.url) as client:
                await write_many(client, 20)
            await take(events, 20)
            async with EtcdServer(binary=etcd_binary) as new:
                proxy.redirect(new.url)
                await proxy.cut()
                with pytest.raises(EtcdEventIndexCleared, match="made anew"):
                    await soon(events)


async def test_what_only_the_history_shows_does_not_end_a_stream(etcd: EtcdServer, client: Client) -> None:
    async with (
        FaultProxy(etcd.url) as proxy,
        Client(proxy.url) as watching,
        watching.eternal_watch("/w", recursive=True) as events,
    ):
        written = []
        for number in range(20):
            await client.write("/w/_hidden", number)
            await client.write("/w2", number)
            await client.delete("/w2")
            written.append((await client.write("/w/key", number)).modifiedIndex)
            assert (await soon(events)).modifiedIndex == written[-1]
        assert streams(proxy) == 1


# -- its end ---------------------------------------------------------------------------------------------------------


async def test_leaving_the_block_leaves_no_task_and_no_connection(etcd: EtcdServer, client: Client) -> None:
    async with FaultProxy(etcd.url) as proxy, Client(proxy.url) as watching:
        before = asyncio.all_tasks()
        for _ in range(3):
            watch = watching.eternal_watch("/w", recursive=True)
            async with watch as events:
                await client.write("/w/key", "x")
                await soon(events)
        await watching.close()
        left = {task for task in asyncio.all_tasks() - before if not task.done()}
        assert {task for task in left if "etcdorm" in task.get_name() or "read_streams" in repr(task)} == set()


async def test_a_slow_consumer_of_more_than_is_kept_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etcdorm.v2.stream._BUFFER", 500)
    async with client.eternal_watch("/w", recursive=True) as events:
        written = await write_many(client, 4000)
        found = await all_until_cleared(events)
        assert found == written[: len(found)]
        assert 0 < len(found) < 4000


async def test_a_cancelled_step_loses_nothing(client: Client) -> None:
    async with client.eternal_watch("/w", recursive=True) as events:
        found: list[EtcdResult] = []
        for number in range(20):
            waiting = asyncio.create_task(anext(events))
            await asyncio.sleep(0)
            waiting.cancel()
            (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
            if isinstance(outcome, EtcdResult):
                found.append(outcome)
            await client.write("/w/key", number)
        found += await take(events, 20 - len(found))
        assert [event.value for event in found] == [str(number) for number in range(20)]


async def test_closing_the_client_ends_a_watch(etcd: EtcdServer) -> None:
    client = Client(etcd.url)
    async with client.eternal_watch("/w", recursive=True) as events:
        await client.write("/w/key", "x")
        await soon(events)
        waiting = asyncio.create_task(soon(events))
        await client.close()
        with pytest.raises(UsageError, match="closed"):
            await waiting


async def test_a_watch_is_entered_once(client: Client) -> None:
    watch = client.eternal_watch("/w", 1)
    async with watch:
        pass
    with pytest.raises(ValueError, match="entered before"):
        await watch.__aenter__()
