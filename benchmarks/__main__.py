"""Measure etcdorm's client beside others, on one real etcd in one run, and print ratios.

usage: python -m benchmarks [--pairs N] [--calls N] [--events N] [--instructions N]
"""

from __future__ import annotations

import argparse
import asyncio
import platform

from benchmarks import instructions, timing, watching
from benchmarks.contenders.found import CALLERS, OURS, STREAM, TUNED, WATCHERS, find
from benchmarks.server import serving
from benchmarks.workload import OPERATIONS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="slices of each contender, each after one of the floor")
    parser.add_argument("--calls", type=int, default=512, help="calls in a slice")
    parser.add_argument("--events", type=int, default=500, help="events in a slice of a watch; at most 900")
    parser.add_argument("--instructions", type=int, default=0, metavar="N", help="count instructions too, of N calls")
    options = parser.parse_args()
    if options.pairs < 1 or options.calls < 32 or not 1 <= options.events <= 900 or options.instructions < 0:
        parser.error("pairs and events from 1 on, calls from 32 on, events up to 900")
    with serving() as (server, host, port):
        print(f"{server.binary}, Python {platform.python_version()}")
        asyncio.run(_time(host, port, pairs=options.pairs, calls=options.calls))
        asyncio.run(_watch(host, port, pairs=options.pairs, events=options.events))
        if options.instructions:
            _count(host, port, calls=options.instructions)


async def _time(host: str, port: int, *, pairs: int, calls: int) -> None:
    found = find(CALLERS)
    measured, failed = await timing.measure(found.there, host, port, pairs=pairs, calls=calls)
    print(f"\nTime per call, as a multiple of the floor's (median of {pairs} pairs of slices)\n")
    print(_row("", [str(column) for column in timing.COLUMNS]))
    for name, row in measured.items():
        print(_row(name, [f"{row[column].ratio:.2f}" for column in timing.COLUMNS]))
    _tell({**found.missing, **failed})
    print("\nCalls per second, as a multiple of the others'\n")
    ours = measured.get(OURS, {})
    for name, row in measured.items():
        if ours and name != OURS:
            print(_row(name, [f"{row[column].ratio / ours[column].ratio:.2f}" for column in timing.COLUMNS]))


async def _watch(host: str, port: int, *, pairs: int, events: int) -> None:
    found = find(WATCHERS)
    measured, failed = await watching.measure(found.there, host, port, pairs=pairs, events=events)
    print("\nCPU time per event of a watch: as a multiple of the floor's, and of a bare stream's; microseconds\n")
    bare = measured.get(STREAM)
    for name, row in measured.items():
        beside = f"{row.ratio / bare.ratio:.2f}" if bare else "-"
        print(_row(name, [f"{row.ratio:.2f}", beside, f"{row.seconds * 1e6:.0f}"]))
    _tell({**found.missing, **failed})


def _count(host: str, port: int, *, calls: int) -> None:
    if why := instructions.missing():
        print(f"\nInstructions are not counted: {why}")
        return
    found = find(CALLERS)
    measured, failed = instructions.measure(found.there, instructions.counter(host, port), calls=calls)
    print("\nThousand instructions per call, and as a multiple of tuned aiohttp's\n")
    print(_row("", list(OPERATIONS)))
    tuned = measured.get(TUNED)
    for name, row in measured.items():
        cells = []
        for operation in OPERATIONS:
            beside = f" ({row[operation] / tuned[operation]:.2f})" if tuned else ""
            cells.append(f"{row[operation] / 1000:.0f}{beside}")
        print(_row(name, cells))
    _tell({**found.missing, **failed})


def _row(name: str, cells: list[str]) -> str:
    return f"{name:24}" + "".join(f"{cell:>13}" for cell in cells)


def _tell(missing: dict[str, str]) -> None:
    for name, why in missing.items():
        print(f"{name}: not measured: {why}")


if __name__ == "__main__":
    main()
