"""Measure what the mapper costs on top of what it can't do without, each on an etcd of its own, and print multiples.

usage: python -m benchmarks.mapper [--only PART...] [--pairs N] [--seconds S] [--models N] [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import platform
from typing import Final

from benchmarks import report
from benchmarks.mapper import running
from benchmarks.mapper.far import far
from benchmarks.server import serving
from etcdorm.testing import find_binary

PARTS: Final = ("calls", "many")
_AWAY: Final = (0.001, 0.005)
"""Seconds for which each request is held on its way, where etcd is a network away."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mapper", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS, help="the parts to measure; by default all")
    parser.add_argument("--pairs", type=int, default=25, help="slices of each call, each after one of its floor")
    parser.add_argument("--seconds", type=float, default=0.25, help="how long a slice of loads or saves lasts")
    parser.add_argument("--models", type=int, default=1000, help="models to list, and ten times as many; and to save")
    parser.add_argument("--rounds", type=int, default=4, help="how often all are saved at once and one by one")
    options = parser.parse_args()
    if options.pairs < 1 or options.seconds <= 0 or options.models < 1 or options.rounds < 1:
        parser.error("pairs, models and rounds from 1 on, seconds above 0")
    print(f"{find_binary()}, Python {platform.python_version()}", flush=True)
    if "calls" in options.only:
        _calls(pairs=options.pairs, seconds=options.seconds, models=options.models)
    if "many" in options.only:
        _many("in memory", rounds=options.rounds, models=options.models)
        _many("on a disk", rounds=options.rounds, models=options.models, disk=True)
        for away in _AWAY:
            where = f"on a disk, and {1000 * away:.0f} ms away"
            _many(where, rounds=max(1, options.rounds // 2), models=options.models, disk=True, away=away)


def _calls(*, pairs: int, seconds: float, models: int) -> None:
    with serving() as (_, host, port):
        measured, memory = asyncio.run(running.calls(host, port, models=models, rounds=pairs, seconds=seconds))
    title = "Calls of a session, as multiples of what they can't do without; etcd"
    print(report.goals(f"{title} in memory", measured) + report.memory(memory), end="", flush=True)
    with serving(disk=True) as (_, host, port):
        measured = asyncio.run(running.saves(host, port, models=models, rounds=pairs, seconds=seconds))
    print(report.goals(f"{title} on a disk", measured), end="", flush=True)


def _many(where: str, *, rounds: int, models: int, disk: bool = False, away: float = 0.0) -> None:
    with serving(disk=disk) as (etcd, host, port):
        if away:
            with far(etcd.url, away) as url:
                measured = asyncio.run(running.many(host, port, url=url, models=models, rounds=rounds))
        else:
            measured = asyncio.run(running.many(host, port, models=models, rounds=rounds))
    title = f"Saving one after the other, as a multiple of save_all; etcd {where}"
    print(report.goals(title, measured), end="", flush=True)


if __name__ == "__main__":
    main()
