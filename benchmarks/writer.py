"""The other process of the watch: for each line ``key events`` on its input it writes so many, and prints ``done``."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.contenders.floor import Floor
from benchmarks.workload import VALUE

WRITERS = 3


async def write(floor: Floor, key: str, events: int) -> None:
    left = iter(range(events))

    async def writer() -> None:
        for _ in left:
            await floor.write(key, VALUE)

    await asyncio.gather(*(writer() for _ in range(WRITERS)))


async def main(host: str, port: int) -> None:
    floor = Floor()
    await floor.open(host, port)
    while line := await asyncio.to_thread(sys.stdin.readline):
        key, events = line.split()
        await write(floor, key, int(events))
        print("done", flush=True)
    await floor.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
