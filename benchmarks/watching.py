"""A watch: the CPU time that this process takes for one event of a stream that another process writes."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.contenders.found import FLOOR
from benchmarks.contenders.port import Watcher
from benchmarks.pairs import Pair, Run, Slice, collect

KEY = "/bench/watched"
_PATIENCE = 30.0  # seconds for one slice
ROOT = Path(__file__).parents[1]


@asynccontextmanager
async def writing(host: str, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.writer", host, str(port)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def measure(
    kinds: Mapping[str, type[Watcher]], host: str, port: int, *, rounds: int, events: int
) -> tuple[dict[str, list[Pair]], dict[str, str]]:
    """The pairs of each way to watch, and what ended those that failed.

    ``events`` must stay below the 1000 of etcd's history, out of which those that poll read what they are behind.
    """
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(writing(host, port))
        watchers = {name: kind() for name, kind in kinds.items()}
        for watcher in watchers.values():
            await watcher.open(host, port)
            stack.push_async_callback(watcher.close)

        def slices(watcher: Watcher) -> Run[None]:
            return lambda _: _slice(watcher, writer, events)

        contenders = {name: slices(watcher) for name, watcher in watchers.items()}
        await _order(writer, 1)
        _, unable = await collect(contenders[FLOOR], contenders, [None], 1)  # the first slice of each costs more
        able = {name: run for name, run in contenders.items() if name not in unable}
        measured, failed = await collect(contenders[FLOOR], able, [None], rounds)
    return {name: columns[None] for name, columns in measured.items()}, {**unable, **failed}


async def _order(writer: asyncio.subprocess.Process, events: int) -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{KEY} {events}\n".encode())
    await writer.stdout.readline()


async def _slice(watcher: Watcher, writer: asyncio.subprocess.Process, events: int) -> Slice:
    assert writer.stdin is not None
    assert writer.stdout is not None
    order = writer.stdin
    gc.collect()
    begun, begun_cpu = time.perf_counter(), time.process_time()
    async with asyncio.timeout(_PATIENCE):
        await watcher.follow(KEY, events, lambda: order.write(f"{KEY} {events}\n".encode()))
        taken, taken_cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
        await writer.stdout.readline()
    return Slice(taken / events, taken_cpu / events)
