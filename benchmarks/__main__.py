"""Measure etcdorm's client beside others, on one real etcd in one run, and print ratios.

usage: python -m benchmarks [--pairs N] [--seconds S] [--events N] [--instructions N]
"""

from __future__ import annotations

import argparse
import asyncio
import platform

from benchmarks import instructions, report, timing, watching
from benchmarks.contenders.found import CALLERS, WATCHERS, find
from benchmarks.server import serving


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=7, help="slices of each contender, each after one of the floor")
    parser.add_argument("--seconds", type=float, default=0.25, help="how long a slice of calls lasts")
    parser.add_argument("--events", type=int, default=500, help="events in a slice of a watch; at most 900")
    parser.add_argument("--instructions", type=int, default=0, metavar="N", help="count instructions too, of N calls")
    options = parser.parse_args()
    if options.pairs < 1 or options.seconds <= 0 or not 1 <= options.events <= 900 or options.instructions < 0:
        parser.error("pairs and events from 1 on, seconds above 0, events up to 900")
    with serving() as (server, host, port):
        print(f"{server.binary}, Python {platform.python_version()}", flush=True)
        _time(host, port, pairs=options.pairs, seconds=options.seconds)
        _watch(host, port, pairs=options.pairs, events=options.events)
        if options.instructions:
            _count(host, port, calls=options.instructions)


def _time(host: str, port: int, *, pairs: int, seconds: float) -> None:
    found = find(CALLERS)
    slices = 2 * len(found.there) * len(timing.COLUMNS) * pairs
    print(f"{slices} slices of {seconds} s: it takes {slices * seconds:.0f} s and some more", flush=True)
    measured, failed = asyncio.run(timing.measure(found.there, host, port, rounds=pairs, seconds=seconds))
    print(report.calls(measured, {**found.missing, **failed}), end="", flush=True)


def _watch(host: str, port: int, *, pairs: int, events: int) -> None:
    found = find(WATCHERS)
    measured, failed = asyncio.run(watching.measure(found.there, host, port, rounds=pairs, events=events))
    print(report.watches(measured, {**found.missing, **failed}), end="", flush=True)


def _count(host: str, port: int, *, calls: int) -> None:
    if why := instructions.missing():
        print(f"\nInstructions are not counted: {why}")
        return
    found = find(CALLERS)
    measured, failed = instructions.measure(found.there, instructions.counter(host, port), calls=calls)
    print(report.instructions(measured, {**found.missing, **failed}), end="")


if __name__ == "__main__":
    main()
