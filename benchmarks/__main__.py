"""Measure etcdorm's client beside others, and its mapper beside what it can't do without, and print ratios.

usage: python -m benchmarks [--only client|mapper] [--pairs N] [--seconds S] [--events N] [--models N]
                            [--instructions N]
"""

from __future__ import annotations

import argparse
import asyncio
import platform

from benchmarks import instructions, report, timing, watching
from benchmarks.contenders.found import CALLERS, WATCHERS, find
from benchmarks.mapper import running
from benchmarks.server import serving


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("client", "mapper"), help="measure one of the two")
    parser.add_argument("--pairs", type=int, default=7, help="slices of each contender, each after one of the floor")
    parser.add_argument("--seconds", type=float, default=0.25, help="how long a slice of calls lasts")
    parser.add_argument("--events", type=int, default=500, help="events in a slice of a watch; at most 900")
    parser.add_argument("--models", type=int, default=1000, help="models to list, and ten times as many; and to save")
    parser.add_argument("--instructions", type=int, default=0, metavar="N", help="count instructions too, of N calls")
    options = parser.parse_args()
    if options.pairs < 1 or options.seconds <= 0 or not 1 <= options.events <= 900 or options.instructions < 0:
        parser.error("pairs and events from 1 on, seconds above 0, events up to 900")
    if options.models < 1:
        parser.error("models from 1 on")
    if options.only != "mapper":
        with serving() as (server, host, port):
            print(f"{server.binary}, Python {platform.python_version()}", flush=True)
            _time(host, port, pairs=options.pairs, seconds=options.seconds)
            _watch(host, port, pairs=options.pairs, events=options.events)
            if options.instructions:
                _count(host, port, calls=options.instructions)
    if options.only != "client":
        with serving() as (server, host, port):
            print(f"{server.binary}, Python {platform.python_version()}", flush=True)
            _map(host, port, pairs=options.pairs, seconds=options.seconds, models=options.models)
        for disk in (False, True):
            with serving(disk=disk) as (_, host, port):
                _map_many(host, port, pairs=options.pairs, models=options.models, disk=disk)


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


def _map(host: str, port: int, *, pairs: int, seconds: float, models: int) -> None:
    measured, memory = asyncio.run(running.calls(host, port, models=models, rounds=pairs, seconds=seconds))
    title = "Calls of a session, as multiples of what they can't do without"
    print(report.goals(title, measured) + report.memory(memory), end="", flush=True)


def _map_many(host: str, port: int, *, pairs: int, models: int, disk: bool) -> None:
    measured = asyncio.run(running.many(host, port, models=models, rounds=max(1, pairs // 2)))
    where = "on a disk, as etcd is run in earnest" if disk else "in memory"
    title = f"Saving one after the other, as a multiple of save_all; etcd's data {where}"
    print(report.goals(title, measured), end="", flush=True)


def _count(host: str, port: int, *, calls: int) -> None:
    if why := instructions.missing():
        print(f"\nInstructions are not counted: {why}")
        return
    found = find(CALLERS)
    measured, failed = instructions.measure(found.there, instructions.counter(host, port), calls=calls)
    print(report.instructions(measured, {**found.missing, **failed}), end="")


if __name__ == "__main__":
    main()
