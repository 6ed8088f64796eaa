"""A process that holds models in one way, and prints how many, and how many bytes it takes for them.

``traced`` is what Python has allocated and not freed. ``resident`` is what the process has grown by; that has
in it what only the reading took, and was not given back to the system.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal, get_args

from benchmarks.coordination.models import KINDS, Layout, server
from benchmarks.mapper.models import Server
from etcdorm import connect

Way = Literal["made", "listed", "table"]
Measure = Literal["traced", "resident"]

WAYS: Final[tuple[Way, ...]] = get_args(Way)
MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)

_PATIENCE = 120.0  # seconds; a reading of all records takes its time where each allocation is traced


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


_COUNTS: Final[dict[Measure, Callable[[], int]]] = {"traced": _traced, "resident": _resident}


@asynccontextmanager
async def holding(url: str, records: int, layout: Layout, way: Way) -> AsyncIterator[Mapping[object, Server]]:
    """The models, by name: ``made`` anew and never saved, ``listed`` by a session, or in its ``table``."""
    kind = KINDS[layout]
    if way == "made":
        yield {model.name: model for model in (server(layout, number) for number in range(records))}
        return
    async with connect(url, timeout=_PATIENCE) as session:
        if way == "listed":
            yield {model.name: model for model in await session.list(kind)}
            return
        async with session.table(kind) as table:
            yield table


async def main(url: str, records: int, layout: Layout, way: Way, measure: Measure) -> None:
    count = _COUNTS[measure]
    if measure == "traced":
        tracemalloc.start()
    gc.collect()
    before = count()
    async with holding(url, records, layout, way) as models:
        gc.collect()
        print(len(models), count() - before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coordination.holding", description=__doc__.splitlines()[0]
    )
    parser.add_argument("url")
    parser.add_argument("records", type=int)
    parser.add_argument("layout", choices=KINDS)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("measure", choices=MEASURES)
    asyncio.run(main(**vars(parser.parse_args())))
