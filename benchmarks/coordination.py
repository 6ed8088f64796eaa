"""What coordination costs: how long a lock takes from one holder to the next, and what it takes to keep records alive.

``python -m benchmarks.coordination [--leases 1000] [--ttl 30]``: a table; on an etcd of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

from etcdorm import EtcdModel, Session, connect
from etcdorm.testing import EtcdServer
from etcdorm.v2 import Client

_HELD = 0.02
"""Seconds that each holds the lock, so that those who come and go don't disturb the hand-over."""
_AT_ONCE = 100


class Record(EtcdModel, path="/records/{id}", layout="document"):
    id: int


@dataclass(frozen=True)
class HandOver:
    """Seconds from the moment when a holder's block ends to that when the next one's begins."""

    waiters: int
    seconds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


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


async def round_trip(client: Client, rest: float = 0.0) -> float:
    """How long a read with quorum takes, one after the other or after so many seconds of rest: the median of some."""
    await client.write("/key", "x")
    seconds = []
    for _ in range(100):
        await asyncio.sleep(rest)
        begun = time.perf_counter()
        await client.read("/key", quorum=True)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


async def hand_over(url: str, waiters: int, *, rounds: int = 1) -> HandOver:
    """One holder and its waiters, each of whom holds the lock once; all of it so many times."""
    seconds: list[float] = []
    left = 0.0

    async def hold(session: Session) -> None:
        nonlocal left
        async with session.lock("job", ttl=60):
            seconds.append(time.perf_counter() - left)
            await asyncio.sleep(_HELD)
            left = time.perf_counter()

    async with connect(url) as session, Client(url) as client:
        for _ in range(rounds):
            async with session.lock("job", ttl=60):
                waiting = [asyncio.create_task(hold(session)) for _ in range(waiters)]
                while len(await _places(client)) <= waiters:  # noqa: ASYNC110 - nothing tells it
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.5)  # all of them watch by now
                left = time.perf_counter()
            await asyncio.gather(*waiting)
    return HandOver(waiters, seconds)


async def _places(client: Client) -> list[str]:
    return [leaf.key for leaf in (await client.read("/_etcdorm/locks/job", recursive=True)).leaves]


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


async def main(leases: int, ttl: int) -> None:
    async with EtcdServer() as server:
        async with Client(server.url) as client:
            print(f"a read with quorum, in a row        {await round_trip(client) * 1000:8.2f} ms")
            trip = await round_trip(client, _HELD)
        print(f"a read with quorum, after a rest    {trip * 1000:8.2f} ms")
        for waiters, rounds in ((2, 20), (100, 1)):
            found = await hand_over(server.url, waiters, rounds=rounds)
            took = f"{found.median * 1000:8.2f} ms, {found.median / trip:.1f} of the latter"
            print(f"a lock's hand-over, {waiters:4} waiters    {took}")
        cost = await keeping(server.url, leases, ttl, ttl)
        print(f"{cost.leases} records with a TTL of {cost.ttl} s, for {cost.seconds:.0f} s; {cost.lost} were lost")
        print(f"  refreshes in a second             {cost.refreshes / cost.seconds:8.1f}, {cost.busiest} at most")
        print(f"  CPU, as a share of one            {100 * cost.cpu / cost.seconds:8.1f} %")
        print(f"  CPU for one refresh               {1e6 * cost.cpu / cost.refreshes:8.0f} us")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coordination", description=__doc__)
    parser.add_argument("--leases", type=int, default=1000)
    parser.add_argument("--ttl", type=int, default=30)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.leases, arguments.ttl))
