"""What coordination costs: locks, leases, watches and tables, each on an etcd of its own.

usage: python -m benchmarks.coordination [--only PART...] [--leases N] [--ttl S] [--rounds N] [--changes N]
                                         [--records N]
"""

from __future__ import annotations

import argparse
import asyncio
import platform
from typing import Final

from benchmarks.coordination import arrival, holding, tables
from benchmarks.coordination.leases import keeping
from benchmarks.coordination.locks import HELD, hand_over, round_trip
from benchmarks.coordination.models import KINDS, server
from benchmarks.filling import fill
from benchmarks.server import serving
from etcdorm.testing import EtcdServer, find_binary
from etcdorm.v2 import Client

PARTS: Final = ("locks", "leases", "watches", "tables")

_WATCHED: Final[dict[arrival.Way, str]] = {
    "typed": "session.watch, of a save",
    "bare": "a bare stream, of the same save",
    "floor": "a bare stream, of a bare write",
}
_HELD: Final[dict[holding.Way, str]] = {
    "made": "models that were never saved, in a dict",
    "listed": "those of session.list, in a dict",
    "table": "those of session.table",
}


async def locks(url: str, rounds: int) -> None:
    async with Client(url) as client:
        row("a read with quorum, in a row", f"{1000 * await round_trip(client):8.2f} ms")
        trip = await round_trip(client, HELD)
    row("a read with quorum, after a rest", f"{1000 * trip:8.2f} ms")
    for waiters, times in ((2, rounds), (100, 1)):
        median = (await hand_over(url, waiters, rounds=times)).median
        row(f"a lock's hand-over, {waiters} waiters", f"{1000 * median:8.2f} ms, {median / trip:.1f} of the latter")


async def leases(url: str, number: int, ttl: int) -> None:
    cost = await keeping(url, number, ttl, ttl)
    title(f"{cost.leases} records with a TTL of {cost.ttl} s, kept for {cost.seconds:.0f} s; {cost.lost} were lost")
    row("refreshes in a second", f"{cost.refreshes / cost.seconds:8.1f}, {cost.busiest} at most")
    row("CPU, as a share of one", f"{100 * cost.cpu / cost.seconds:8.1f} %")
    row("CPU for one refresh", f"{1e6 * cost.cpu / cost.refreshes:8.0f} us")


async def watches(url: str, rounds: int, changes: int) -> None:
    for layout in KINDS:
        title(f"from the call to the change at a watcher, {rounds * changes} changes of one field of ten, {layout}")
        found = await arrival.arrivals(url, layout, rounds=rounds, changes=changes)
        for way, name in _WATCHED.items():
            row(name, f"p50{1000 * found[way].median:8.2f} ms, p99{1000 * found[way].p99:8.2f} ms")
        typed, bare, floor = (found[way].median for way in _WATCHED)
        row("p50 over a bare stream's, of the save", f"{typed / bare:8.2f}, goal: {arrival.GOAL} at most")
        row("p50 over a bare stream's, of the write", f"{typed / floor:8.2f}")


async def memory(host: str, port: int, records: int) -> None:
    url = f"http://{host}:{port}"
    for layout in KINDS:
        title(f"memory of {records} models of ten fields, {layout}: allocated by Python, and of the process")
        await fill((server(layout, number) for number in range(records)), host, port)
        found = [await tables.held(url, layout, records, measure) for measure in holding.MEASURES]
        for way, name in _HELD.items():
            row(name, "".join(_each(taken[way], records) for taken in found))
        for way, name in (("made", "the table, above what was never saved"), ("listed", "the table, above the list")):
            row(name, "".join(_each(taken["table"] - taken[way], records) for taken in found))
    print(f"  goal: a table of 10000 takes less than {tables.GOAL} MiB above the models themselves")


def _each(bytes: int, records: int) -> str:
    return f"{bytes / 2**20:8.1f} MiB,{bytes / 2**10 / records:5.1f} KiB each"


def title(text: str) -> None:
    print(f"\n{text}", flush=True)


def row(name: str, text: str) -> None:
    print(f"  {name:46}{text}", flush=True)


async def main(options: argparse.Namespace) -> None:
    print(f"{find_binary()}, Python {platform.python_version()}", flush=True)
    if "locks" in options.only:
        async with EtcdServer() as etcd:
            await locks(etcd.url, options.rounds)
    if "leases" in options.only:
        async with EtcdServer() as etcd:
            await leases(etcd.url, options.leases, options.ttl)
    if "watches" in options.only:
        with serving() as (etcd, _, _):
            await watches(etcd.url, options.rounds, options.changes)
    if "tables" in options.only:
        with serving() as (_, host, port):
            await memory(host, port, options.records)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coordination", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="the parts to measure; by default all")
    parser.add_argument("--leases", type=int, default=1000, help="records that are kept alive")
    parser.add_argument("--ttl", type=int, default=30, help="their TTL in seconds, and how long they are kept")
    parser.add_argument("--rounds", type=int, default=20, help="of hand-overs between two, and of watches")
    parser.add_argument("--changes", type=int, default=20, help="in one round of each kind of watch")
    parser.add_argument("--records", type=int, default=10_000, help="in a table")
    options = parser.parse_args()
    if min(options.leases, options.ttl, options.rounds, options.changes, options.records) < 1:
        parser.error("every number from 1 on")
    asyncio.run(main(options))
