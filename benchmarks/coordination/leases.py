"""What it takes to keep records alive: requests, and this process's CPU time."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

from etcdorm import EtcdModel, connect
from etcdorm.v2 import Client

_AT_ONCE = 100


class Record(EtcdModel, path="/records/{id}", layout="document"):
    id: int


@dataclass(frozen=True)
class Keeping:
    """So many records kept alive for a while."""

    leases: int
    ttl: int
    seconds: float
    refreshes: int
    busiest: int
    """The most refreshes in one second."""
    cpu: float
    """Seconds of this process's time."""
    lost: int


async def keeping(url: str, leases: int, ttl: int, seconds: float) -> Keeping:
    """Keep so many records alive; what is measured begins when all of them are."""
    async with Client(url) as client, connect(url) as session:
        for start in range(0, leases, _AT_ONCE):
            made = (client.write(Record.key(id), "{}", ttl=600) for id in range(start, min(start + _AT_ONCE, leases)))
            await asyncio.gather(*made)
        await client.write("/key", "x")
        records = await session.list(Record)
        async with AsyncExitStack() as stack:
            kept = []
            for start in range(0, leases, _AT_ONCE):
                entering = [session.keepalive(record, ttl=ttl) for record in records[start : start + _AT_ONCE]]
                kept += await asyncio.gather(*(stack.enter_async_context(each) for each in entering))
            indexes = [(await client.read("/key", quorum=True)).etcd_index]
            cpu, begun = time.process_time(), time.monotonic()
            while (now := time.monotonic()) < begun + seconds:
                await asyncio.sleep(begun + len(indexes) - now)
                indexes.append((await client.read("/key", quorum=True)).etcd_index)
            lost = sum(not lease.valid for lease in kept)
            took, cpu = time.monotonic() - begun, time.process_time() - cpu
    busiest = max(after - before for before, after in pairwise(indexes))
    return Keeping(leases, ttl, took, indexes[-1] - indexes[0], busiest, cpu, lost)
