"""The process whose instructions are counted: one contender makes so many calls of each kind, one at a time."""

from __future__ import annotations

import asyncio
import os
import sys
from functools import partial

from benchmarks.contenders.found import CALLERS
from benchmarks.workload import OPERATIONS, Running


async def main(name: str, host: str, port: str, *counts: str) -> None:
    kind = next(entry for entry in CALLERS if entry.name == name).load()
    # Several such processes run at once, and a swap must find the key as it left it.
    below = f"/bench/{os.getpid():07}"
    async with Running(kind, host, int(port), workers=1, below=below) as running:
        for operation, calls in zip(OPERATIONS, counts, strict=True):
            await running.run(operation, partial(range, int(calls)), at_once=1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
