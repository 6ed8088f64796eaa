"""How long a change takes from the call that saves it, in another process, to its watcher here.

A round of ``session.watch`` comes beside one of a bare stream of the same keys, changed by the same saves, and one
of a bare stream of keys that are changed by bare writes. Only one of them watches at a time.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import aiohttp

from benchmarks.coordination.changing import BARE
from benchmarks.coordination.models import KINDS, Layout
from benchmarks.mapper.models import Server
from etcdorm import Session, Updated, connect

Way = Literal["typed", "bare", "floor"]
"""``session.watch`` of saves; a bare stream of the same saves; a bare stream of bare writes."""

GOAL = 1.5
"""What the median of ``typed`` may be at most, as a multiple of that of ``bare``."""

_WARMING: Final = 3
"""Changes at the beginning of a round that are not counted: the watch was opened right before them."""
_PATIENCE = 30.0  # seconds for one round
_ROOT = Path(__file__).parents[2]

Follow = Callable[[Callable[[], None], int], Awaitable[Mapping[int, float]]]
"""Call what is given once the watch is open; bring at which moment each change came, up to the one of that number."""


@dataclass(frozen=True)
class Arrivals:
    """Seconds from the call to the change at its watcher."""

    seconds: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[98]


async def arrivals(url: str, layout: Layout, *, rounds: int, changes: int) -> Mapping[Way, Arrivals]:
    """The arrivals of so many changes in each of the rounds, by way of watching."""
    async with connect(url) as session, aiohttp.ClientSession() as http, _changing(url) as changer:
        above, _, _ = KINDS[layout].key("any").rpartition("/")
        ways: dict[Way, tuple[str, Follow]] = {
            "typed": (f"save-{layout}", lambda began, last: _typed(session, KINDS[layout], began, last)),
            "bare": (f"save-{layout}", lambda began, last: _bare(http, f"{url}/v2/keys{above}", began, last)),
            "floor": (f"write-{layout}", lambda began, last: _bare(http, f"{url}/v2/keys{BARE}", began, last)),
        }
        order = list(ways)
        seconds: dict[Way, list[float]] = {way: [] for way in ways}
        turn = 1
        for _ in range(rounds):
            for way in order:
                what, follow = ways[way]
                seconds[way] += await _round(changer, what, follow, turn, changes)
                turn += _WARMING + changes
            order.append(order.pop(0))
    return {way: Arrivals(found) for way, found in seconds.items()}


async def _typed(session: Session, kind: type[Server], began: Callable[[], None], last: int) -> Mapping[int, float]:
    arrived: dict[int, float] = {}
    async with session.watch(kind) as changes:
        began()
        async for change in changes:
            now = time.monotonic()
            if isinstance(change, Updated):
                arrived[_turn(change.new.owner)] = now
            if last in arrived:
                break
    return arrived


async def _bare(http: aiohttp.ClientSession, url: str, began: Callable[[], None], last: int) -> Mapping[int, float]:
    """A directory's save shows three times; the first of them is the one that ``session.watch`` tells."""
    arrived: dict[int, float] = {}
    query = "?wait=true&recursive=true&stream=true"
    async with http.get(url + query, timeout=aiohttp.ClientTimeout()) as answer:
        began()
        while last not in arrived:
            event = json.loads(await answer.content.readline())
            now = time.monotonic()
            arrived.setdefault(_turn(event["node"]["value"]), now)
    return arrived


def _turn(text: str) -> int:
    """The number of the change that a text is of; 0 when it tells none."""
    found = re.search(r"turn-(\d+)", text)
    return int(found[1]) if found else 0


async def _round(
    changer: asyncio.subprocess.Process, what: str, follow: Follow, first: int, changes: int
) -> list[float]:
    assert changer.stdin is not None
    assert changer.stdout is not None
    order, count = changer.stdin, _WARMING + changes
    async with asyncio.timeout(_PATIENCE):
        arrived = await follow(lambda: order.write(f"{what} {first} {count}\n".encode()), first + count - 1)
        called: list[float] = json.loads(await changer.stdout.readline())
    return [arrived[turn] - at for turn, at in enumerate(called, first)][_WARMING:]


@asynccontextmanager
async def _changing(url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The other process, once there is something to change."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.coordination.changing", url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=_ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield process
    finally:
        process.stdin.close()
        await process.wait()
