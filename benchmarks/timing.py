"""Time per call: each slice of a contender has a slice of the floor right before it, and their ratio counts."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.contenders.found import FLOOR
from benchmarks.contenders.port import Blocking, Contender
from benchmarks.workload import OPERATIONS, Operation, Running

AT_ONCE = (1, 32)


@dataclass(frozen=True, slots=True)
class Column:
    """One operation, one at a time or many at once."""

    operation: Operation
    at_once: int

    def __str__(self) -> str:
        return f"{self.operation} x {self.at_once}"


COLUMNS = tuple(Column(operation, at_once) for at_once in AT_ONCE for operation in OPERATIONS)


@dataclass(frozen=True, slots=True)
class Measured:
    """``ratio`` is the median of contender / floor over the pairs; ``seconds`` the median of the contender's slices."""

    ratio: float
    seconds: float


async def paired(
    floor: Callable[[], Awaitable[float]], contender: Callable[[], Awaitable[float]], pairs: int
) -> Measured:
    """Run slices of both in turn. What slows the machine down for a while slows both halves of a pair."""
    slices = []
    for _ in range(pairs):
        base = await floor()
        own = await contender()
        slices.append((own / base, own))
    return Measured(*(statistics.median(column) for column in zip(*slices, strict=True)))


async def measure(
    kinds: Mapping[str, type[Contender | Blocking]], host: str, port: int, *, pairs: int, calls: int
) -> tuple[dict[str, dict[Column, Measured]], dict[str, str]]:
    """The time per call of every contender in every column, and what ended the contenders that failed."""
    measured: dict[str, dict[Column, Measured]] = {}
    failed: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        running: dict[str, Running] = {}
        for name, kind in kinds.items():
            running[name] = await stack.enter_async_context(Running(kind, host, port, workers=max(AT_ONCE)))
        floor = running[FLOOR]
        await floor.check()
        for name, contender in running.items():
            try:
                await contender.check()
                measured[name] = {
                    column: await _column(floor, contender, column, pairs=pairs, calls=calls) for column in COLUMNS
                }
            except Exception as error:  # whatever another library raises: it is told, and the others go on
                failed[name] = f"{type(error).__name__}: {error}"
    await asyncio.sleep(0)
    return measured, failed


async def _column(floor: Running, contender: Running, column: Column, *, pairs: int, calls: int) -> Measured:
    async def one(of: Running) -> float:
        return await of.run(column.operation, calls=calls, at_once=column.at_once) / calls

    return await paired(lambda: one(floor), lambda: one(contender), pairs)
