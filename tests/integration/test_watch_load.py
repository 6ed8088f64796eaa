"""Feeds beside fast writers and many records that are kept alive.

In full, with ``ETCDORM_FULL_LOAD=1``: 2,000 changes a second for 20 s, and 10,000 records. Otherwise some tenth of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from etcdorm import Created, Feed, Lease, Session, Updated
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client
from tests.support.models import Doc

T = TypeVar("T")

FULL = bool(os.environ.get("ETCDORM_FULL_LOAD"))
RATE, SECONDS = (2000, 20) if FULL else (500, 4)
HISTORY = 1_000
"""Events that etcd remembers; each refresh is one of them."""
KEPT, TTL, TURNS = (10_000, 60, 10) if FULL else (1_200, 15, 1)

DOCUMENTS = 50
PATIENCE = 300 if FULL else 60

pytestmark = pytest.mark.xdist_group("heavy")


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    script = Path(__file__).parents[1] / "support" / "writing.py"
    arguments = (url, "/docs", str(DOCUMENTS), str(RATE), str(SECONDS))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def at_a_time(items: Sequence[T], size: int = 50) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def port_of(change: object) -> int:
    assert isinstance(change, Created | Updated)
    model = change.new
    assert isinstance(model, Doc)
    return model.port


async def every_port(feed: Feed[Doc], count: int) -> dict[str, list[int]]:
    """The ports that are told of each document, up to so many changes."""
    ports: dict[str, list[int]] = {}
    for _ in range(count):
        change = await anext(feed)
        assert not change.gap
        ports.setdefault(change.path, []).append(port_of(change))
    return ports


async def newest_ports(feed: Feed[Doc], last: int, waiting: list[int]) -> dict[str, int]:
    """The last port that is told of each document, up to when those of the last round are all there."""
    ports: dict[str, int] = {}
    while len(ports) < DOCUMENTS or min(ports.values()) <= last - DOCUMENTS:
        change = await anext(feed)
        assert port_of(change) > ports.get(change.path, -1)
        ports[change.path] = port_of(change)
        waiting.append(len(feed._changes._buffer))
        await asyncio.sleep(0.01)
    return ports


async def test_a_fast_consumer_loses_nothing_and_a_slow_one_is_told(etcd: EtcdServer, session: Session) -> None:
    total = RATE * SECONDS
    waiting: list[int] = []
    async with (
        session.watch(Doc) as fast,
        session.watch(Doc, buffer=100) as slow,
        writing(etcd.url) as writer,
        asyncio.timeout(PATIENCE),
        asyncio.TaskGroup() as group,
    ):
        every = group.create_task(every_port(fast, total))
        newest = group.create_task(newest_ports(slow, total - 1, waiting))
        assert writer.stdout is not None
        print("writes, and the seconds that they took:", (await writer.stdout.read()).decode())
    expected = {f"/docs/d{number}": list(range(number, total, DOCUMENTS)) for number in range(DOCUMENTS)}
    assert every.result() == expected
    assert newest.result() == {path: ports[-1] for path, ports in expected.items()}
    assert fast.fell_behind == 0
    assert slow.fell_behind >= 1
    assert max(waiting) <= 100 + DOCUMENTS


async def test_a_feed_beside_many_records_that_are_kept_alive_tells_each_change_and_nothing_else(
    etcd: EtcdServer, session: Session, client: Client
) -> None:
    names = [f"d{number}" for number in range(KEPT)]
    for some in at_a_time(names):
        await asyncio.gather(*(client.write(f"/docs/{name}", '{"port":0}', ttl=600) for name in some))
    kept = await session.list(Doc)
    async with session.watch(Doc) as feed, AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        for _ in range(KEPT):
            assert (await anext(feed)).gap is False
        leases: list[Lease] = []
        for docs in at_a_time(kept):
            entered = (stack.enter_async_context(session.keepalive(doc, ttl=TTL)) for doc in docs)
            leases += await asyncio.gather(*entered)
        for turn in range(1, TURNS + 1):
            start = (await client.read("/docs/d0", quorum=True)).etcd_index
            while (await client.read("/docs/d0", quorum=True)).etcd_index < start + 1.2 * HISTORY:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
            for doc in (kept[0], kept[-1]):
                doc.port = turn
                await session.save(doc)
                change = await anext(feed)
                assert (change.path, port_of(change), change.gap) == (doc.key(doc.name), turn, False)
        assert all(lease.valid for lease in leases)
    assert await session.count(Doc) == KEPT
    assert feed.fell_behind == 0
