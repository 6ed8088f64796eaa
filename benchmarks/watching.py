"""A watch: the CPU time that this process takes for one event of a stream that another process writes."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.contenders.found import FLOOR
from benchmarks.contenders.port import Watcher
from benchmarks.timing import Measured, paired

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
    kinds: Mapping[str, type[Watcher]], host: str, port: int, *, pairs: int, events: int
) -> tuple[dict[str, Measured], dict[str, str]]:
    """The CPU time per event of each way to watch, and what ended those that failed.

    ``events`` must stay below the 1000 of etcd's history, out of which those that poll read what they are behind.
    """
    measured: dict[str, Measured] = {}
    failed: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(writing(host, port))
        watchers = {name: kind() for name, kind in kinds.items()}
        for watcher in watchers.values():
            await watcher.open(host, port)
            stack.push_async_callback(watcher.close)

        def slices(watcher: Watcher) -> Callable[[], Awaitable[float]]:
            return lambda: _slice(watcher, writer, events)

        floor = slices(watchers[FLOOR])
        await _order(writer, 1)
        for name, watcher in watchers.items():
            try:
                await slices(watcher)()
                measured[name] = await paired(floor, slices(watcher), pairs)
            except Exception as error:  # whatever another library raises: it is told, and the others go on
                failed[name] = f"{type(error).__name__}: {error}"
    return measured, failed


async def _order(writer: asyncio.subprocess.Process, events: int) -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{KEY} {events}\n".encode())
    await writer.stdout.readline()


async def _slice(watcher: Watcher, writer: asyncio.subprocess.Process, events: int) -> float:
    """The seconds of CPU per event."""
    assert writer.stdin is not None
    assert writer.stdout is not None
    order = writer.stdin
    gc.collect()
    begun = time.process_time()
    async with asyncio.timeout(_PATIENCE):
        await watcher.follow(KEY, events, lambda: order.write(f"{KEY} {events}\n".encode()))
        taken = time.process_time() - begun
        await writer.stdout.readline()
    return taken / events
