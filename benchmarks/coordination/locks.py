"""How long a lock takes from one holder to the next."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from etcdorm import Session, connect
from etcdorm.v2 import Client

HELD = 0.02
"""Seconds that each holds the lock, so that those who come and go don't disturb the hand-over."""


@dataclass(frozen=True)
class HandOver:
    """Seconds from the moment when a holder's block ends to that when the next one's begins."""

    waiters: int
    seconds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


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
            await asyncio.sleep(HELD)
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
